//! Decoding against Pillow, on the pictures that `golden/make_pictures.py` writes.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use effigy_vision::{Limits, Picture, VisionError, decode_bytes, decode_file};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pictures")
}

/// File name and expected picture, and the largest difference allowed.
fn goldens() -> Vec<(&'static str, Picture, u8)> {
    let lines = include_str!("golden/pictures.tsv").lines().filter(|line| !line.starts_with('#'));
    let golden = |line: &'static str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let byte = |at| u8::from_str_radix(&fields[4][at..at + 2], 16).unwrap();
        let pixels = (0..fields[4].len()).step_by(2).map(byte).collect();
        let picture = Picture::new(fields[1].parse().unwrap(), fields[2].parse().unwrap(), pixels).unwrap();
        (fields[0], picture, fields[3].parse().unwrap())
    };
    lines.map(golden).collect()
}

fn decode(bytes: &[u8], name: &str) -> Result<Picture, VisionError> {
    decode_bytes(bytes, name, &Limits::default())
}

#[test]
fn every_kind_equals_pillow() {
    let mut wrong = Vec::new();
    for (file, expected, tolerance) in goldens() {
        match decode_file(folder().join(file), &Limits::default()) {
            Ok(picture) if (picture.width(), picture.height()) != (expected.width(), expected.height()) => {
                wrong.push(format!("{file}: {}×{}", picture.width(), picture.height()));
            }
            Ok(picture) => {
                let pairs = picture.pixels().iter().zip(expected.pixels());
                let worst = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                if worst > tolerance {
                    wrong.push(format!("{file}: differs by {worst}, allowed {tolerance}"));
                }
            }
            Err(error) => wrong.push(error.to_string()),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_truncated_file_is_an_error_that_names_it() {
    let mut accepted = Vec::new();
    // Cut behind its first frame, which is all that is wanted, an animation is still whole.
    for (file, _, _) in goldens().into_iter().filter(|(file, ..)| !file.starts_with("animated")) {
        let bytes = fs::read(folder().join(file)).unwrap();
        for share in [0.3, 0.5, 0.7, 0.85] {
            let cut = (bytes.len() as f64 * share) as usize;
            match decode(&bytes[..cut], file) {
                Ok(_) => accepted.push(format!("{file} at {cut} of {}", bytes.len())),
                Err(error) => assert!(error.to_string().starts_with(file), "{error}"),
            }
        }
    }
    assert!(accepted.is_empty(), "\n{}", accepted.join("\n"));
}

#[test]
fn an_unsupported_kind_is_named() {
    let error = decode_file(folder().join("palette.tif"), &Limits::default()).unwrap_err();
    assert!(matches!(&error, VisionError::Unsupported { format: "TIFF", .. }), "{error}");
    assert!(error.to_string().contains("palette.tif"), "{error}");
}

#[test]
fn what_is_no_picture_is_named() {
    for bytes in [&b""[..], b"GIF", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"just text, called .jpg"] {
        let error = decode(bytes, "notes.jpg").unwrap_err();
        assert!(matches!(error, VisionError::NotAPicture { .. }), "{error}");
        assert!(error.to_string().starts_with("notes.jpg: "), "{error}");
    }
    let error = decode_file("no/such.jpg", &Limits::default()).unwrap_err();
    assert!(
        matches!(error, VisionError::Read { .. }) && error.to_string().starts_with("no/such.jpg: "),
        "{error}"
    );
    assert!(matches!(decode_file(folder(), &Limits::default()), Err(VisionError::Read { .. })));
}

#[test]
fn limits_hold_for_every_kind() {
    for (file, picture, _) in goldens() {
        let bytes = fs::read(folder().join(file)).unwrap();
        let pixels = (picture.width() * picture.height()) as u64;

        let limits = Limits { max_pixels: pixels, ..Limits::default() };
        assert!(decode_bytes(&bytes, file, &limits).is_ok(), "{file}: exactly the limit");
        let limits = Limits { max_pixels: pixels - 1, ..Limits::default() };
        let error = decode_bytes(&bytes, file, &limits).unwrap_err();
        assert!(matches!(error, VisionError::TooManyPixels { .. }), "{error}");
        assert!(error.to_string().starts_with(file) && error.to_string().contains(&(pixels - 1).to_string()));

        let limits = Limits { max_bytes: pixels * 3, ..Limits::default() };
        let error = decode_bytes(&bytes, file, &limits).unwrap_err();
        assert!(matches!(error, VisionError::TooMuchMemory { .. }), "{error}");
    }
}

#[test]
fn a_bomb_is_refused_by_its_header() {
    // A PNG that states 60000×60000 pixels.
    let mut bytes = fs::read(folder().join("rgb.png")).unwrap();
    let ihdr: Vec<u8> =
        [&b"IHDR"[..], &60_000u32.to_be_bytes(), &60_000u32.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    bytes[12..29].copy_from_slice(&ihdr);
    bytes[29..33].copy_from_slice(&common::crc32(&ihdr).to_be_bytes());
    let error = decode(&bytes, "bomb.png").unwrap_err();
    assert!(matches!(error, VisionError::TooManyPixels { width: 60_000, height: 60_000, .. }), "{error}");
}

#[test]
fn a_long_strip_is_a_picture_too() {
    // An uncompressed BMP of 20000×10 pixels: 24 bits, rows bottom-up, all of one colour.
    let (width, height) = (20_000u32, 10u32);
    let mut bytes = b"BM".to_vec();
    for word in [54 + width * height * 3, 0, 54, 40, width, height, 1 | 24 << 16, 0, 0, 0, 0, 0, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([30u8, 20, 10].repeat((width * height) as usize));
    let picture = decode(&bytes, "strip.bmp").unwrap();
    assert_eq!((picture.width(), picture.height(), picture.row(9)[19_999]), (20_000, 10, [10, 20, 30]));
}
