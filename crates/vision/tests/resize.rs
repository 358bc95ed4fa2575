//! Resizing against Pillow, through goldens that `golden/make_resize.py` writes.

mod common;

use effigy_arch::Interpolation;
use effigy_vision::resize;

use common::{crc32, interpolation, noise};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn equals_pillow_to_the_byte() {
    let goldens = include_str!("golden/resize.tsv");
    let mut rows = 0;
    for line in goldens.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let number = |index: usize| fields[index].parse::<usize>().unwrap();
        let source = noise(number(0), number(1), number(2) as u32);
        let resized = resize(&source, number(4), number(5), interpolation(fields[3]));
        let pixels = resized.pixels();
        assert_eq!(hex(&pixels[..pixels.len().min(24)]), fields[7], "{line}");
        assert_eq!(crc32(pixels) as usize, number(6), "{line}");
        rows += 1;
    }
    assert_eq!(rows, 170);
}

#[test]
fn the_same_size_is_the_same_picture() {
    let source = noise(13, 7, 3);
    assert_eq!(resize(&source, 13, 7, Interpolation::Bicubic), source);
}

#[test]
#[should_panic(expected = "cannot be resized to 0×4")]
fn refuses_a_side_of_nothing() {
    let _ = resize(&noise(2, 2, 1), 0, 4, Interpolation::Bilinear);
}
