//! What a network is given.

use effigy_arch::Normalisation;
use effigy_kernels::{Levels, Samples};
use effigy_tensor::Tensor;

use crate::error::EngineError;

/// A batch of pictures as a network is given them: `[N, H, W, C]`, any N, H and W from 1 on.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Normalised already.
    Values(&'a Tensor),
    /// 8-bit samples, which are normalised where the network's first convolution reads them.
    Pixels {
        /// N, H, W and C.
        shape: [usize; 4],
        /// In row-major order.
        samples: &'a [u8],
        /// What they stand for.
        normalisation: &'a PixelNormalisation,
    },
}

/// What 8-bit samples stand for: `(sample / 255 − mean) / std`, ready to be computed.
#[derive(Clone, Debug)]
pub struct PixelNormalisation(Levels);

impl PixelNormalisation {
    /// For pictures of three channels, or of one, whose statistics are the first ones.
    ///
    /// # Panics
    /// When there are neither three channels nor one.
    #[must_use]
    pub fn new(Normalisation { mean, std }: Normalisation, channels: usize) -> Self {
        assert!(channels == 1 || channels == 3, "pictures of {channels} channels");
        let level = |c: usize| (1.0 / (255.0 * std[c]), -mean[c] / std[c]);
        Self(Levels::new(&[0, 1, 2].map(level)[..channels]))
    }
}

impl<'a> From<&'a Tensor> for Input<'a> {
    fn from(values: &'a Tensor) -> Self {
        Self::Values(values)
    }
}

impl<'a> Input<'a> {
    /// N, H and W, for a network that reads pictures of so many channels.
    pub(crate) fn pictures(&self, channels: usize) -> Result<[usize; 3], EngineError> {
        let shape = match self {
            Self::Values(values) => values.shape(),
            Self::Pixels { shape, .. } => shape,
        };
        let [n, h, w] = match *shape {
            [n, h, w, c] if n > 0 && h > 0 && w > 0 && c == channels => [n, h, w],
            _ => return Err(EngineError::InputShape { actual: shape.to_vec(), channels }),
        };
        match self {
            Self::Pixels { samples, normalisation, .. }
                if samples.len() != n * h * w * channels || normalisation.0.channels() != channels =>
            {
                Err(EngineError::Pixels {
                    shape: [n, h, w, channels],
                    samples: samples.len(),
                    channels: normalisation.0.channels(),
                })
            }
            _ => Ok([n, h, w]),
        }
    }

    pub(crate) fn samples(&self) -> Samples<'a> {
        match *self {
            Self::Values(values) => Samples::Floats(values.data()),
            Self::Pixels { samples, normalisation, .. } => Samples::Bytes(samples, &normalisation.0),
        }
    }
}
