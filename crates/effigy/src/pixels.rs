//! Pictures as a classifier's input.

use effigy_arch::EfficientNet;
use effigy_engine::{Input, PixelNormalisation};
use effigy_vision::{Picture, cropped};

use crate::Error;
use crate::network::{check_channels, in_channels_of};

/// Pictures as a network wants them, resized and cropped, but not normalised: 8-bit samples `[N, H, W, C]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    shape: [usize; 4],
    samples: Vec<u8>,
}

impl Pixels {
    /// One picture: its luma for a network of one channel.
    pub(crate) fn of(picture: &Picture, network: &EfficientNet) -> Result<Self, Error> {
        check_channels(&network.name, network.in_channels)?;
        let crop = |picture: &Picture| cropped(picture, &network.preprocessing).into_pixels();
        let samples = in_channels_of(picture, network.in_channels, crop);
        let [height, width] = network.preprocessing.size;
        Ok(Self { shape: [1, height, width, network.in_channels], samples })
    }

    /// A batch of no picture, which no network takes.
    pub(crate) fn none(network: &EfficientNet) -> Self {
        let [height, width] = network.preprocessing.size;
        Self { shape: [0, height, width, network.in_channels], samples: Vec::new() }
    }

    /// Several batches as one, in their order; a single one is not copied.
    ///
    /// # Panics
    /// Where they differ in height, width or channels, or there are none.
    #[must_use]
    pub fn joined(batches: impl IntoIterator<Item = Self>) -> Self {
        let mut batches = batches.into_iter();
        let mut joined = batches.next().expect("pictures");
        for Self { shape, samples } in batches {
            assert_eq!(shape[1..], joined.shape[1..], "height, width and channels of a batch");
            joined.shape[0] += shape[0];
            joined.samples.extend(samples);
        }
        joined
    }

    /// N, H, W and C.
    #[must_use]
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// The samples in row-major order.
    #[must_use]
    pub fn samples(&self) -> &[u8] {
        &self.samples
    }

    pub(crate) fn input<'a>(&'a self, normalisation: &'a PixelNormalisation) -> Input<'a> {
        Input::Pixels { shape: self.shape, samples: &self.samples, normalisation }
    }
}
