//! The evaluation transform: resize, centre crop, normalise, as timm and torchvision do it.

use effigy_arch::{Normalisation, Preprocessing};

use crate::Picture;
use crate::normalised::normalise_into;
use crate::resize::{Window, resize_window};

/// A picture as a network's input: `height · width · 3` floats, NHWC with N = 1.
///
/// The picture is resized so that its shorter side is `floor(size / crop_pct)`, its centre is cropped to
/// `size`, and each sample becomes `(x / 255 − mean) / std`. Where the sides of `size` differ, the resized
/// picture keeps its ratio and just covers `size / crop_pct`. A crop that reaches over the picture's edge
/// (`crop_pct` above 1) is filled with black, as torchvision does.
///
/// # Panics
/// Where a side of `preprocessing.size` is zero, or `crop_pct` is not above zero.
pub fn preprocess(picture: &Picture, preprocessing: &Preprocessing) -> Vec<f32> {
    let [height, width] = preprocessing.size;
    let mut input = vec![0.0; height * width * 3];
    preprocess_into(picture, preprocessing, &mut input);
    input
}

/// [`preprocess`] into one picture's part of a batch.
///
/// # Panics
/// As [`preprocess`], and where `input` is not `height · width · 3` long.
pub fn preprocess_into(picture: &Picture, preprocessing: &Preprocessing, input: &mut [f32]) {
    let [height, width] = preprocessing.size;
    assert_eq!(input.len(), height * width * 3, "an input of {height}×{width}×3");
    let Preprocessing { mean, std, .. } = *preprocessing;
    normalise_into(&cropped(picture, preprocessing), Normalisation { mean, std }, input);
}

/// What [`preprocess`] normalises: the picture resized, and cropped to the input's size.
///
/// # Panics
/// As [`preprocess`].
#[must_use]
pub fn cropped(picture: &Picture, preprocessing: &Preprocessing) -> Picture {
    let [height, width] = preprocessing.size;
    let Crop { resized, window, margin: [left, top] } = Crop::new(picture, preprocessing);
    let pixels = resize_window(picture, resized, window, preprocessing.interpolation);
    let pixels = if [window.height, window.width] == preprocessing.size {
        pixels
    } else {
        let mut whole = vec![0; height * width * 3];
        let rows = pixels.chunks_exact(window.width * 3);
        for (to, from) in whole.chunks_exact_mut(width * 3).skip(top).zip(rows) {
            to[left * 3..][..from.len()].copy_from_slice(from);
        }
        whole
    };
    Picture::new(width, height, pixels).expect("an input has as many pixels as its sides say")
}

/// Where the input's pixels come from. All in the order width, height.
#[derive(Debug, PartialEq)]
struct Crop {
    /// The size to which the whole picture is resized.
    resized: [usize; 2],
    /// The part of it that the input keeps.
    window: Window,
    /// Black pixels at the input's left and top.
    margin: [usize; 2],
}

impl Crop {
    fn new(picture: &Picture, preprocessing: &Preprocessing) -> Self {
        let resized = resized(picture, preprocessing);
        let [height, width] = preprocessing.size;
        let (left, margin_left, width) = centre(resized[0], width);
        let (top, margin_top, height) = centre(resized[1], height);
        Self { resized, window: Window { left, top, width, height }, margin: [margin_left, margin_top] }
    }
}

/// Width and height of the whole picture before the crop.
fn resized(picture: &Picture, preprocessing: &Preprocessing) -> [usize; 2] {
    assert!(preprocessing.crop_pct > 0.0, "crop_pct must be above 0, not {}", preprocessing.crop_pct);
    let [target_height, target_width] = preprocessing.size.map(|side| scaled(side, preprocessing.crop_pct));
    let (width, height) = (picture.width(), picture.height());
    if target_height == target_width {
        // torchvision's Resize: the shorter side is exact, the longer is cut to a whole number.
        let longer = |long: usize, short: usize| (target_width as f64 * long as f64 / short as f64) as usize;
        if width <= height {
            [target_width, longer(height, width)]
        } else {
            [longer(width, height), target_height]
        }
    } else {
        // timm's ResizeKeepRatio: cover both sides, both rounded.
        let ratio = (height as f64 / target_height as f64).min(width as f64 / target_width as f64);
        [width, height].map(|side| (side as f64 / ratio).round_ties_even() as usize)
    }
}

/// `floor(side / crop_pct)`, with `crop_pct` as the decimal it was written as: 0.8 as f32 is a little
/// more than 0.8, and 224 / 0.8 must stay 280.
fn scaled(side: usize, crop_pct: f32) -> usize {
    let crop_pct: f64 = crop_pct.to_string().parse().expect("a float's own decimal parses");
    (side as f64 / crop_pct) as usize
}

/// Along one side: first pixel kept, black pixels before it, pixels kept. torchvision rounds halves to
/// even when it crops, and down when it pads.
fn centre(side: usize, crop: usize) -> (usize, usize, usize) {
    if side < crop {
        (0, (crop - side) / 2, side)
    } else {
        (((side - crop) as f64 / 2.0).round_ties_even() as usize, 0, crop)
    }
}
