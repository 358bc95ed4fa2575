//! Bilinear resizing without antialiasing, from bytes to normalised floats.

use effigy_arch::Fit;

use crate::Picture;
use crate::normalised::Normalised;

/// The two samples that an output sample lies between, and the second one's share.
struct Tap {
    low: usize,
    high: usize,
    share: f32,
}

/// Writes the picture, resized to `[height, width]`, into as many rows of as many pixels.
pub(super) fn resize<'a>(
    picture: &Picture,
    [height, width]: [usize; 2],
    fit: Fit,
    normalised: &Normalised,
    rows: impl Iterator<Item = &'a mut [[f32; 3]]>,
) {
    let columns = taps(picture.width(), width, fit);
    let mut across = [Across::new(width), Across::new(width)];
    for (tap, output) in taps(picture.height(), height, fit).iter().zip(rows) {
        // Growing, neighbouring output rows lie between the same two rows of the picture.
        if across[1].row == Some(tap.low) {
            across.swap(0, 1);
        }
        across[0].compute(tap.low, picture, &columns, normalised);
        across[1].compute(tap.high, picture, &columns, normalised);
        let [low, high] = &across;
        let sides = low.samples.as_flattened().iter().zip(high.samples.as_flattened());
        for (to, (low, high)) in output.as_flattened_mut().iter_mut().zip(sides) {
            *to = low + (high - low) * tap.share;
        }
    }
}

/// A row of the picture, normalised and resized across.
struct Across {
    row: Option<usize>,
    samples: Vec<[f32; 3]>,
}

impl Across {
    fn new(width: usize) -> Self {
        Self { row: None, samples: vec![[0.0; 3]; width] }
    }

    fn compute(&mut self, row: usize, picture: &Picture, columns: &[Tap], normalised: &Normalised) {
        if self.row == Some(row) {
            return;
        }
        self.row = Some(row);
        let pixels = picture.row(row);
        for (to, tap) in self.samples.iter_mut().zip(columns) {
            let low = normalised.pixel(pixels[tap.low]);
            let high = normalised.pixel(pixels[tap.high]);
            *to = std::array::from_fn(|c| low[c] + (high[c] - low[c]) * tap.share);
        }
    }
}

/// Along one side, `input` samples resized to `output`. Where a sample lies is computed in f64, as OpenCV
/// does for zylo117's pictures of f64, or in f32, as TensorFlow does.
fn taps(input: usize, output: usize, fit: Fit) -> Vec<Tap> {
    let last = input - 1;
    let scale = input as f64 / output as f64;
    let scale_f32 = input as f32 / output as f32;
    let taps = (0..output).map(|index| {
        let place = match fit {
            Fit::OneScaleF32 => f64::from((index as f32 + 0.5) * scale_f32 - 0.5),
            Fit::OneScale | Fit::ScalePerSide => (index as f64 + 0.5) * scale - 0.5,
        };
        let low = place.floor();
        let first = low as usize; // What lies before the first sample becomes the first.
        let high = if low < 0.0 { 0 } else { first + 1 };
        Tap { low: first.min(last), high: high.min(last), share: (place - low) as f32 }
    });
    taps.collect()
}
