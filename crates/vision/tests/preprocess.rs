//! The evaluation transform against timm's, through goldens that `golden/make_preprocess.py` writes.

mod common;

use effigy_arch::{Interpolation, Preprocessing};
use effigy_vision::{Picture, preprocess, preprocess_into};

/// Leaves samples in 0..1, from which the bytes can be had back.
fn bare(size: [usize; 2], crop_pct: f32, interpolation: Interpolation) -> Preprocessing {
    Preprocessing { size, crop_pct, interpolation, mean: [0.0; 3], std: [1.0; 3] }
}

#[test]
fn keeps_the_bytes_that_timm_keeps() {
    let goldens = include_str!("golden/preprocess.tsv");
    let mut wrong = Vec::new();
    let mut rows = 0;
    for line in goldens.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let number = |index: usize| fields[index].parse::<usize>().unwrap();
        let source = common::noise(number(0), number(1), number(2) as u32);
        let size = [number(3), number(4)];
        let preprocessing = bare(size, fields[5].parse().unwrap(), common::interpolation(fields[6]));
        let input = preprocess(&source, &preprocessing);
        let bytes: Vec<u8> = input.iter().map(|sample| (sample * 255.0).round() as u8).collect();
        if common::crc32(&bytes) as usize != number(7) {
            wrong.push(line);
        }
        rows += 1;
    }
    assert!(wrong.is_empty(), "{} of {rows} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(rows, 110);
}

#[test]
fn normalises_each_channel_in_f32() {
    let picture = Picture::new(1, 1, vec![0, 128, 255]).unwrap();
    let (mean, std) = (Preprocessing::IMAGENET_MEAN, Preprocessing::IMAGENET_STD);
    let preprocessing = Preprocessing { mean, std, ..bare([1, 1], 1.0, Interpolation::Bicubic) };
    let expected =
        [(0.0 - mean[0]) / std[0], (128.0 / 255.0 - mean[1]) / std[1], (255.0 / 255.0 - mean[2]) / std[2]];
    assert_eq!(preprocess(&picture, &preprocessing), expected);
}

#[test]
fn the_border_of_a_small_picture_is_black() {
    let white = Picture::new(4, 4, vec![255; 48]).unwrap();
    let preprocessing =
        Preprocessing { mean: [0.5; 3], std: [0.5; 3], ..bare([6, 6], 1.5, Interpolation::Bilinear) };
    let input = preprocess(&white, &preprocessing);
    for (index, pixel) in input.as_chunks::<3>().0.iter().enumerate() {
        let inside = (1..5).contains(&(index / 6)) && (1..5).contains(&(index % 6));
        assert_eq!(*pixel, [if inside { 1.0 } else { -1.0 }; 3], "pixel {index}");
    }
}

#[test]
fn crop_pct_is_read_as_the_decimal_it_is() {
    // 224 / 0.8 is 280 exactly: a picture of that size is only cropped, from 28 on.
    let source = common::noise(280, 280, 7);
    let input = preprocess(&source, &bare([224, 224], 0.8, Interpolation::Bicubic));
    assert_eq!(input[..3], source.row(28)[28].map(|byte| f32::from(byte) / 255.0));
}

#[test]
fn an_extreme_ratio_costs_no_more_than_the_crop() {
    // The shorter side at 256 would make the whole picture 512000 pixels wide.
    let source = common::noise(20_000, 10, 9);
    assert_eq!(preprocess(&source, &bare([224, 224], 0.875, Interpolation::Bicubic)).len(), 224 * 224 * 3);
}

#[test]
fn writes_into_a_batch() {
    let source = common::noise(31, 17, 5);
    let preprocessing = bare([8, 10], 0.9, Interpolation::Bilinear);
    let mut batch = vec![f32::NAN; 2 * 8 * 10 * 3];
    preprocess_into(&source, &preprocessing, &mut batch[240..]);
    assert_eq!(batch[240..], preprocess(&source, &preprocessing));
    assert!(batch[..240].iter().all(|sample| sample.is_nan()));
}

#[test]
#[should_panic(expected = "an input of 8×10×3")]
fn refuses_a_batch_of_another_shape() {
    preprocess_into(&common::noise(3, 3, 1), &bare([8, 10], 0.9, Interpolation::Bilinear), &mut [0.0; 239]);
}
