//! From a picture to what the network sees in it.

use std::path::Path;

use effigy_arch::EfficientNet;
use effigy_engine::Model;
use effigy_tensor::Tensor;
use effigy_vision::Picture;

use crate::network::{Network, check_finite};
use crate::{Error, Loader, Pixels};

/// Computes a picture's features: the pooled ones before the classifier, or any layers by name.
///
/// It may be shared by threads, as [`Classifier`](crate::Classifier) may.
///
/// ```
/// use effigy::{FeatureExtractor, Limits, Loader, decode_file};
///
/// # let photo = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/chelsea.jpg");
/// let picture = decode_file(photo, &Limits::default())?;
/// let pooled = FeatureExtractor::from_pretrained("efficientnet-lite0")?;
/// assert_eq!(pooled.extract(&picture)?[0].shape(), [1, 1280]);
///
/// let pyramid = Loader::pretrained("efficientnet-lite0").endpoints()?;
/// assert_eq!(pyramid.layers()[2], "reduction_3");
/// assert_eq!(pyramid.extract(&picture)?[2].shape(), [1, 28, 28, 40]);
/// # Ok::<(), effigy::Error>(())
/// ```
#[derive(Debug)]
pub struct FeatureExtractor {
    network: Network<EfficientNet>,
    layers: Vec<String>,
}

impl FeatureExtractor {
    /// The layer that is taken where none is named: the mean of the last feature map.
    pub const POOLED: &str = "head.pool";

    /// The pooled features of published weights; see [`Classifier::from_pretrained`].
    ///
    /// # Errors
    /// An unknown name, or weights that cannot be had.
    ///
    /// [`Classifier::from_pretrained`]: crate::Classifier::from_pretrained
    pub fn from_pretrained(name: &str) -> Result<Self, Error> {
        Loader::pretrained(name).features(&[Self::POOLED])
    }

    /// The pooled features of weights in a file.
    ///
    /// # Errors
    /// A file that cannot be read, or that is not a network's weights.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        Loader::file(path).features(&[Self::POOLED])
    }

    pub(crate) fn new(network: Network<EfficientNet>, layers: Vec<String>) -> Self {
        Self { network, layers }
    }

    /// The layers' values for a picture, in the order of [`layers`](Self::layers): `[1, H, W, C]` each,
    /// `[1, C]` where the layer has no height and width.
    ///
    /// # Errors
    /// When a value is not finite.
    pub fn extract(&self, picture: &Picture) -> Result<Vec<Tensor>, Error> {
        self.extract_batch(std::slice::from_ref(picture))
    }

    /// As [`extract`](Self::extract) for several pictures at once, their number in the first axis.
    ///
    /// # Errors
    /// When a value is not finite, or there are no pictures.
    pub fn extract_batch(&self, pictures: &[Picture]) -> Result<Vec<Tensor>, Error> {
        self.extract_prepared(&self.network.input(pictures)?)
    }

    /// A picture as the network's input, the luma for a network of one channel; done ahead, on another thread, it
    /// costs the network no time.
    ///
    /// # Errors
    /// When the network has neither three channels nor one.
    pub fn prepare(&self, picture: &Picture) -> Result<Pixels, Error> {
        Pixels::of(picture, self.network())
    }

    /// The layers' values for pictures as [`prepare`](Self::prepare) gives them.
    ///
    /// # Errors
    /// When the pictures' channels are not the network's, or a value is not finite.
    pub fn extract_prepared(&self, pictures: &Pixels) -> Result<Vec<Tensor>, Error> {
        let values = self.network.run(pictures)?;
        values.iter().try_for_each(|layer| check_finite(layer.data()))?;
        Ok(values)
    }

    /// The layers that are computed, by name.
    #[must_use]
    pub fn layers(&self) -> &[String] {
        &self.layers
    }

    /// Which network it is, and how it wants its pictures.
    #[must_use]
    pub fn network(&self) -> &EfficientNet {
        &self.network.description
    }

    /// What was taken for granted about weights that do not say it themselves, a sentence each.
    #[must_use]
    pub fn assumptions(&self) -> &[String] {
        &self.network.assumptions
    }

    /// The compiled network.
    #[must_use]
    pub fn model(&self) -> &Model {
        self.network.model()
    }
}
