//! Letterboxes against effdet's, zylo117's and google/automl's code, through goldens that
//! `golden/make_letterbox.py` writes.

mod common;

use effigy_arch::{Fill, Fit, Interpolation, Letterbox, Normalisation};
use effigy_vision::{InputBox, Limits, Picture, PixelBox, Placement, decode_file, letterbox, letterbox_into};

fn by(code: &str, size: [usize; 2]) -> Letterbox {
    let square = Letterbox::square(1, Normalisation::IMAGENET);
    let letterbox = match code {
        "effdet" => square.as_effdet(),
        "zylo117" => square.as_zylo117(),
        "official" => square,
        other => panic!("no code is called {other}"),
    };
    Letterbox { size, ..letterbox }
}

fn picture(width: usize, height: usize, seed: u32) -> Picture {
    if seed != 0 {
        return common::noise(width, height, seed);
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/pictures/rgb.png");
    decode_file(std::path::Path::new(path), &Limits::default()).unwrap()
}

#[test]
fn equals_the_code_of_each_convention() {
    let mut rows = 0;
    for line in include_str!("golden/letterbox.tsv").lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let number = |index: usize| fields[index].parse::<usize>().unwrap();
        let source = picture(number(1), number(2), number(3) as u32);
        let (input, _) = letterbox(&source, &by(fields[0], [number(4), number(5)]));
        // effdet's bytes are equal, so that only the normalisation rounds.
        let tolerance = if fields[0] == "effdet" { 1e-6 } else { 1e-5 };
        for index in 0..fields[6].len() / 8 {
            let bits = u32::from_str_radix(&fields[6][8 * index..][..8], 16).unwrap().swap_bytes();
            let (expected, found) = (f32::from_bits(bits), input[index * 7919 % input.len()]);
            assert!((found - expected).abs() <= tolerance, "{index}: {found}, not {expected}: {line}");
        }
        rows += 1;
    }
    assert_eq!(rows, 160);
}

#[test]
fn whatever_the_shape_something_is_left_of_the_picture() {
    for code in ["effdet", "zylo117", "official"] {
        for (width, height) in [(20_000, 10), (10, 20_000), (1, 1), (1, 4000), (3, 2)] {
            let (input, placement) = letterbox(&common::noise(width, height, 3), &by(code, [64, 96]));
            let [rows, columns] = placement.resized;
            assert!((1..=64).contains(&rows) && (1..=96).contains(&columns), "{code} {placement:?}");
            // A side that would fill the input just so may be cut by a rounding error, as the codes do.
            assert!(rows >= 63 || columns >= 95, "{code} {placement:?}");
            assert!(input.iter().all(|sample| sample.is_finite()));
        }
    }
}

#[test]
fn boxes_go_there_and_back() {
    let bounds = PixelBox { x1: -3.0, y1: 10.5, x2: 300.25, y2: 199.0 };
    for code in ["effdet", "zylo117", "official"] {
        let placement = Placement::new([333, 500], &by(code, [128, 96]));
        let back = placement.to_picture(placement.to_input(bounds));
        let pairs = back.to_yxyx().into_iter().zip(bounds.to_yxyx());
        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-4), "{code}: {back:?}");
    }
    // 96 of 500 columns: one scale for both sides, or 63 of 333 rows a scale of their own.
    let corner = InputBox { y1: 0.0, x1: 0.0, y2: 63.0, x2: 96.0 };
    let one = Placement::new([333, 500], &by("effdet", [128, 96])).to_picture(corner);
    let own = Placement::new([333, 500], &by("zylo117", [128, 96])).to_picture(corner);
    assert_eq!((one.x2, one.y2), (500.0, 328.125));
    assert_eq!((own.x2, own.y2), (500.0, 333.0));
}

#[test]
fn what_is_beside_the_picture() {
    let white = Picture::new(2, 1, vec![255; 6]).unwrap();
    let normalisation = Normalisation::HALF;
    for (fill, expected) in [(Fill::Mean, 0.0), (Fill::MeanByte, 128.0 / 127.5 - 1.0), (Fill::Black, -1.0)] {
        let options = Letterbox { fill, normalisation, ..by("effdet", [3, 2]) };
        let mut batch = [f32::NAN; 36];
        letterbox_into(&white, &options, &mut batch[18..]);
        assert!(batch[..18].iter().all(|sample| sample.is_nan()));
        assert!(batch[18..24].iter().all(|&sample| sample == 1.0));
        assert!(batch[24..].iter().all(|&sample: &f32| (sample - expected).abs() < 1e-6), "{fill:?}");
    }
    let plain = by("zylo117", [3, 2]);
    assert_eq!((plain.interpolation, plain.fit), (Interpolation::PlainBilinear, Fit::ScalePerSide));
}

#[test]
#[ignore = "prints how long it takes: cargo test -p effigy-vision --release -- --ignored --nocapture times"]
fn times() {
    for (width, height) in [(640, 480), (4000, 3000)] {
        let source = common::noise(width, height, 3);
        for code in ["effdet", "zylo117", "official"] {
            let mut input = vec![0.0; 512 * 512 * 3];
            let mut times = [0; 11].map(|_| {
                let start = std::time::Instant::now();
                letterbox_into(&source, &by(code, [512, 512]), &mut input);
                start.elapsed().as_secs_f64() * 1e3
            });
            times.sort_by(f64::total_cmp);
            println!("{width}×{height}, {code}: {:.2} ms, least {:.2}", times[5], times[0]);
        }
    }
}
