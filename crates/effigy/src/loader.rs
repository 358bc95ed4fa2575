//! Chooses weights, and how they are run.

use std::path::Path;

use effigy_arch::{
    Anchors, EfficientDet, EfficientNet, Interpolation, Network as Description, Normalisation, Preprocessing,
    Top,
};
use effigy_engine::{Isa, Options, Precision};
use effigy_vision::PostProcessing;
use effigy_weights::LoadOptions;
use effigy_weights::hub::{Progress as DownloadProgress, Training};

use crate::embedded::EMBEDDED;
use crate::labels::Labels;
use crate::network::{Network, check_channels};
use crate::source::{Origin, Source};
use crate::{Classifier, Detector, Error, FeatureExtractor, Quantiser};

/// Predictions a picture gets where nothing else is asked for.
const TOP_K: usize = 5;
/// The largest side of an input, in pixels.
const MAX_SIDE: usize = 8192;
/// What [`Loader::endpoints`] computes.
const ENDPOINTS: [&str; 6] =
    ["reduction_1", "reduction_2", "reduction_3", "reduction_4", "reduction_5", "reduction_6"];

/// Chooses weights and how they are run; then becomes a [`Classifier`], a [`Detector`] or a
/// [`FeatureExtractor`].
///
/// ```
/// use effigy::{Interpolation, Loader};
///
/// let classifier = Loader::pretrained("efficientnet-lite0")
///     .threads(2)
///     .size(192, 256)
///     .interpolation(Interpolation::Bilinear)
///     .top_k(3)
///     .classifier()?;
/// # let photo = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/chelsea.jpg");
/// assert_eq!(classifier.classify_file(photo)?.len(), 3);
/// # Ok::<(), effigy::Error>(())
/// ```
pub struct Loader {
    origin: Origin,
    load: LoadOptions,
    on_download: Box<dyn FnMut(DownloadProgress<'_>)>,
    options: Options,
    labels: Option<Labels>,
    top_k: usize,
    post_processing: PostProcessing,
    size: Option<[usize; 2]>,
    crop_pct: Option<f32>,
    interpolation: Option<Interpolation>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
}

impl Loader {
    /// The names for [`pretrained`](Self::pretrained) whose weights are part of this library.
    pub fn embedded() -> impl Iterator<Item = &'static str> {
        EMBEDDED.iter().map(|embedded| embedded.name)
    }

    fn new(origin: Origin) -> Self {
        Self {
            origin,
            load: LoadOptions::default(),
            on_download: Box::new(|_| ()),
            options: Options::default(),
            labels: None,
            top_k: TOP_K,
            post_processing: Detector::POST_PROCESSING,
            size: None,
            crop_pct: None,
            interpolation: None,
            mean: None,
            std: None,
        }
    }

    /// Weights in a file: PyTorch's `.pth` or safetensors, told by the content, of any family that
    /// [`effigy_weights`] knows.
    #[must_use]
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self::new(Origin::File(path.as_ref().to_owned()))
    }

    /// A published checkpoint by its name, such as `efficientnet-b0`, `efficientnet-b0.advprop` or
    /// `tf_efficientnet_b0.ns_jft_in1k`. Those that are [`embedded`](Self::embedded) are at hand, others
    /// are downloaded once and kept.
    #[must_use]
    pub fn pretrained(name: impl Into<String>) -> Self {
        Self::new(Origin::Pretrained { name: name.into(), training: Training::Base })
    }

    /// How a published network was trained: `efficientnet-b0` is there as it was first published, with
    /// AdvProp, with Noisy Student and so on. It means nothing for a file.
    #[must_use]
    pub fn training(mut self, wanted: Training) -> Self {
        if let Origin::Pretrained { training, .. } = &mut self.origin {
            *training = wanted;
        }
        self
    }

    /// What is called now and then while weights are downloaded.
    #[must_use]
    pub fn on_download(mut self, progress: impl FnMut(DownloadProgress<'_>) + 'static) -> Self {
        self.on_download = Box::new(progress);
        self
    }

    /// Which network the weights are of, by any name that [`Network::from_name`] knows, where
    /// their names and shapes do not tell.
    ///
    /// [`Network::from_name`]: crate::arch::Network::from_name
    #[must_use]
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.load.model = Some(name.into());
        self
    }

    /// Threads that share the work of one call; all of the processor's where this is not called.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.options.threads = threads.max(1);
        self
    }

    /// The instruction set; the processor's best where this is not called.
    #[must_use]
    pub fn isa(mut self, isa: Isa) -> Self {
        self.options.isa = isa;
        self
    }

    /// In what numbers the network computes; 32-bit floats where this is not called.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.options.precision = precision;
        self
    }

    /// Height and width of the network's input in pixels, instead of the model's own.
    #[must_use]
    pub fn size(mut self, height: usize, width: usize) -> Self {
        self.size = Some([height, width]);
        self
    }

    /// Share of the resized picture's side that the centre crop keeps, above 0 and at most 1. Detectors see
    /// whole pictures.
    #[must_use]
    pub fn crop_pct(mut self, crop_pct: f32) -> Self {
        self.crop_pct = Some(crop_pct);
        self
    }

    /// The resize filter.
    #[must_use]
    pub fn interpolation(mut self, interpolation: Interpolation) -> Self {
        self.interpolation = Some(interpolation);
        self
    }

    /// Mean of each channel (R, G, B) on values in 0..1.
    #[must_use]
    pub fn mean(mut self, mean: [f32; 3]) -> Self {
        self.mean = Some(mean);
        self
    }

    /// Standard deviation of each channel (R, G, B) on values in 0..1.
    #[must_use]
    pub fn std(mut self, std: [f32; 3]) -> Self {
        self.std = Some(std);
        self
    }

    /// The names of the classes, instead of those that the weights know.
    #[must_use]
    pub fn labels(mut self, labels: Labels) -> Self {
        self.labels = Some(labels);
        self
    }

    /// Predictions a picture gets; 5 where this is not called.
    #[must_use]
    pub fn top_k(mut self, top_k: usize) -> Self {
        self.top_k = top_k;
        self
    }

    /// A detector's anchors, where the weights do not tell theirs.
    #[must_use]
    pub fn anchors(mut self, anchors: Anchors) -> Self {
        self.load.anchors = Some(anchors);
        self
    }

    /// How a detector's answer becomes objects, instead of [`Detector::POST_PROCESSING`].
    #[must_use]
    pub fn post_processing(mut self, post_processing: PostProcessing) -> Self {
        self.post_processing = post_processing;
        self
    }

    /// A classifier.
    ///
    /// # Errors
    /// Weights that cannot be had or have no classifier, labels of another count, or a setting out of
    /// range.
    pub fn classifier(mut self) -> Result<Classifier, Error> {
        let source = self.classifier_source()?;
        if source.description.top != Top::Classifier {
            return Err(Error::NoClassifier { model: source.description.name });
        }
        let labels = self.labels.take().unwrap_or_else(|| source.labels.clone());
        labels.check(source.description.classes)?;
        let network = Network::layers(source, &["head.classifier".to_owned()], &self.options)?;
        Ok(Classifier::new(network, labels, self.top_k))
    }

    /// An extractor of layers by name: nodes of the network's graph, or its endpoints `reduction_1` …
    /// `reduction_6`. What comes after the last of them is not computed.
    ///
    /// # Errors
    /// Weights that cannot be had, a layer that does not exist, or a setting out of range.
    pub fn features(mut self, layers: &[impl AsRef<str>]) -> Result<FeatureExtractor, Error> {
        let layers: Vec<String> = layers.iter().map(|layer| layer.as_ref().to_owned()).collect();
        let network = Network::layers(self.classifier_source()?, &layers, &self.options)?;
        Ok(FeatureExtractor::new(network, layers))
    }

    /// An extractor of the feature pyramid: `reduction_1` … `reduction_5` are the last feature maps at
    /// 1/2 … 1/32 of the input's side, `reduction_6` is the head's feature map.
    ///
    /// # Errors
    /// As [`features`](Self::features).
    pub fn endpoints(self) -> Result<FeatureExtractor, Error> {
        self.features(&ENDPOINTS)
    }

    /// A detector.
    ///
    /// # Errors
    /// Weights that cannot be had or are not a detector's, labels of another count, or a setting out of
    /// range.
    pub fn detector(mut self) -> Result<Detector, Error> {
        let source = self.detector_source()?;
        let labels = self.labels.take().unwrap_or_else(|| source.labels.clone());
        labels.check(source.description.classes)?;
        let network = Network::detector(source, &self.options)?;
        Ok(Detector::new(network, labels, self.post_processing))
    }

    /// What measures a network's values on pictures, so that it can compute with 8-bit integers. Settings of the
    /// preprocessing become part of what it writes.
    ///
    /// # Errors
    /// Weights that cannot be had, or a setting out of range.
    pub fn quantiser(mut self) -> Result<Quantiser, Error> {
        let mut source = self.origin.load(&self.load, &mut self.on_download)?;
        match &mut source.description {
            Description::EfficientNet(network) => self.set_up_classifier(network)?,
            Description::EfficientDet(network) => self.set_up_detector(network)?,
        }
        if let Some(labels) = &self.labels {
            labels.check(source.description.classes())?;
        }
        Quantiser::new(source, self.labels, &self.options)
    }

    /// The network and its weights as they are, to be trained further. Settings of the preprocessing are not
    /// applied.
    ///
    /// # Errors
    /// Weights that cannot be had.
    pub fn weights(mut self) -> Result<effigy_weights::Loaded, Error> {
        self.origin.read(&self.load, &mut self.on_download)
    }

    fn classifier_source(&mut self) -> Result<Source<EfficientNet>, Error> {
        let mut source = self.origin.load(&self.load, &mut self.on_download)?.classifier()?;
        self.set_up_classifier(&mut source.description)?;
        Ok(source)
    }

    fn detector_source(&mut self) -> Result<Source<EfficientDet>, Error> {
        let mut source = self.origin.load(&self.load, &mut self.on_download)?.detector()?;
        self.set_up_detector(&mut source.description)?;
        Ok(source)
    }

    /// Gives a classifier what was set about its pictures.
    fn set_up_classifier(&self, network: &mut EfficientNet) -> Result<(), Error> {
        let preprocessing = &mut network.preprocessing;
        *preprocessing = Preprocessing {
            size: self.size.unwrap_or(preprocessing.size),
            crop_pct: self.crop_pct.unwrap_or(preprocessing.crop_pct),
            interpolation: self.interpolation.unwrap_or(preprocessing.interpolation),
            mean: self.mean.unwrap_or(preprocessing.mean),
            std: self.std.unwrap_or(preprocessing.std),
        };
        let Preprocessing { size, crop_pct, mean, std, .. } = *preprocessing;
        check(size, Normalisation { mean, std })?;
        if !(crop_pct > 0.0 && crop_pct <= 1.0) {
            return Err(Error::CropPct(crop_pct));
        }
        Ok(())
    }

    /// Gives a detector what was set about its pictures.
    fn set_up_detector(&self, network: &mut EfficientDet) -> Result<(), Error> {
        let letterbox = &mut network.letterbox;
        letterbox.size = self.size.unwrap_or(letterbox.size);
        letterbox.interpolation = self.interpolation.unwrap_or(letterbox.interpolation);
        let Normalisation { mean, std } = letterbox.normalisation;
        letterbox.normalisation =
            Normalisation { mean: self.mean.unwrap_or(mean), std: self.std.unwrap_or(std) };
        check(letterbox.size, letterbox.normalisation)?;
        check_channels(&network.name, network.backbone.in_channels)
    }
}

/// The limits of what a caller may set.
fn check([height, width]: [usize; 2], Normalisation { mean, std }: Normalisation) -> Result<(), Error> {
    if [height, width].iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
        return Err(Error::Size { height, width, max: MAX_SIDE });
    }
    let usable = mean.iter().all(|v| v.is_finite()) && std.iter().all(|&v| v.is_finite() && v > 0.0);
    if usable { Ok(()) } else { Err(Error::Normalisation { mean, std }) }
}
