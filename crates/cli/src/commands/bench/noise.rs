//! Pictures to measure with.

use effigy::Tensor;
use effigy::arch::Normalisation;
use effigy::engine::{Input, PixelNormalisation};

/// A batch of noise.
pub(super) enum Noise {
    /// In the range of normalised pictures.
    Values(Tensor),
    /// As 8-bit pixels.
    Pixels { shape: [usize; 4], samples: Vec<u8>, normalisation: Box<PixelNormalisation> },
}

impl Noise {
    pub(super) fn values(shape: [usize; 4]) -> Tensor {
        let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
        let values = (0..shape.iter().product()).map(value).collect();
        Tensor::new(&shape, values).expect("as many values as the shape says")
    }

    pub(super) fn pixels(shape: [usize; 4]) -> Self {
        let samples = Self::values(shape).data().iter().map(|value| (127.5 + 127.5 * value) as u8).collect();
        let normalisation = PixelNormalisation::new(Normalisation::HALF, shape[3]);
        Self::Pixels { shape, samples, normalisation: Box::new(normalisation) }
    }

    pub(super) fn input(&self) -> Input<'_> {
        match self {
            Self::Values(values) => values.into(),
            Self::Pixels { shape, samples, normalisation } => {
                Input::Pixels { shape: *shape, samples, normalisation }
            }
        }
    }
}
