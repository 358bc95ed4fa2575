//! Changes of pictures are Pillow's, to the byte (`golden/make_operations.py`).

use effigy_arch::Interpolation;
use effigy_data::augment::{colour, geometry};
use effigy_vision::{Picture, resize};

fn picture() -> Picture {
    Picture::new(9, 7, (0..9 * 7 * 3).map(|i| (20 + (i * i * 7 + i * 31) % 211) as u8).collect()).unwrap()
}

/// Every pixel ten times in a row and ten times in a column.
fn enlarged(picture: &Picture) -> Picture {
    let pixels = (0..70).flat_map(|y| (0..90).flat_map(move |x| picture.row(y / 10)[x / 10]));
    Picture::new(90, 70, pixels.collect()).unwrap()
}

fn changed(name: &str, amount: f64) -> Picture {
    let (picture, factor) = (picture(), amount as f32);
    match name {
        "brightness" => colour::brightness(picture, factor),
        "contrast" => colour::contrast(picture, factor),
        "saturation" => colour::saturation(picture, factor),
        "sharpness" => colour::sharpness(&picture, factor),
        "autocontrast" => colour::autocontrast(picture),
        "equalize" => colour::equalize(picture),
        "equalize_large" => colour::equalize(enlarged(&picture)),
        "invert" => colour::invert(picture),
        "solarize" => colour::solarize(picture, amount as u16),
        "posterize" => colour::posterize(picture, amount as u8),
        "rotate" => geometry::rotate(&picture, amount),
        "shear_x" => geometry::shear_x(&picture, amount),
        "shear_y" => geometry::shear_y(&picture, amount),
        "translate_x" => geometry::translate_x(&picture, amount),
        "translate_y" => geometry::translate_y(&picture, amount),
        name => panic!("{name}"),
    }
}

#[test]
fn changes_are_pillows() {
    let mut wrong = Vec::new();
    for line in include_str!("golden/operations.tsv").lines() {
        let [name, amount, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let found = changed(name, amount.parse().unwrap());
        let found: String = found.pixels().iter().map(|byte| format!("{byte:02x}")).collect();
        if found != expected {
            wrong.push(format!("{name} {amount}\n{found}\n{expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_changes_nothing() {
    let one = picture();
    for changed in [
        colour::brightness(one.clone(), 1.0),
        colour::contrast(one.clone(), 1.0),
        colour::saturation(one.clone(), 1.0),
        colour::sharpness(&one, 1.0),
        colour::solarize(one.clone(), 256),
        colour::solarize_add(one.clone(), 0),
        colour::posterize(one.clone(), 8),
        colour::invert(colour::invert(one.clone())),
        geometry::rotate(&one, 0.0),
        geometry::shear_x(&one, 0.0),
        geometry::translate_y(&one, 0.0),
        geometry::cutout(one.clone(), [3, 3], 0),
        resize(&one, 9, 7, Interpolation::Bicubic),
    ] {
        assert_eq!(changed, one);
    }
    let flat = Picture::new(3, 2, vec![77; 18]).unwrap();
    assert_eq!(colour::autocontrast(flat.clone()), flat);
    assert_eq!(colour::equalize(flat.clone()), flat);
}

#[test]
fn known_pixels() {
    let one = Picture::new(4, 1, vec![0, 100, 127, 128, 200, 255, 1, 2, 3, 9, 9, 9]).unwrap();
    let added = colour::solarize_add(one.clone(), 110);
    assert_eq!(added.pixels(), [110, 210, 237, 128, 200, 255, 111, 112, 113, 119, 119, 119]);
    let cut = geometry::cutout(one, [1, 0], 1);
    assert_eq!(cut.pixels(), [128, 128, 128, 128, 128, 128, 1, 2, 3, 9, 9, 9]);
}
