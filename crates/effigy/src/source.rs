//! Where weights come from: this library, a file, or the hub.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use effigy_arch::{EfficientDet, EfficientNet, Network, Quantisation};
use effigy_engine::Parameters;
use effigy_weights::hub::{self, Checkpoint, Hub, HubError, Training};
use effigy_weights::{LoadOptions, Loaded, Weights};

use crate::Error;
use crate::embedded;
use crate::labels::Labels;

/// Classes of ImageNet-1k; weights of so many classes without labels are taken to be its.
const IMAGENET_CLASSES: usize = 1000;
/// Class slots of COCO's 80 categories, whose ids go up to 90; detectors of so many are taken to be its.
const COCO_SLOTS: usize = 90;

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// A file.
    File(PathBuf),
    /// A published checkpoint, by name.
    Pretrained { name: String, training: Training },
}

/// A network's weights, and what is known about them.
pub(crate) struct Source<D = Network> {
    pub(crate) description: D,
    pub(crate) weights: Weights,
    pub(crate) labels: Labels,
    pub(crate) assumptions: Vec<String>,
    pub(crate) quantisation: Option<Arc<Quantisation>>,
}

impl Origin {
    pub(crate) fn load(
        &self,
        options: &LoadOptions,
        progress: &mut dyn FnMut(hub::Progress<'_>),
    ) -> Result<Source, Error> {
        Ok(Source::new(self.read(options, progress)?))
    }

    /// As the weights are, without guesses at their classes' names.
    pub(crate) fn read(
        &self,
        options: &LoadOptions,
        progress: &mut dyn FnMut(hub::Progress<'_>),
    ) -> Result<Loaded, Error> {
        let embedded = match self {
            Self::Pretrained { name, training: Training::Base } => embedded::find(name),
            _ => None,
        };
        if let Some(embedded) = embedded {
            let name = PathBuf::from(format!("{}.safetensors", embedded.name));
            return Ok(effigy_weights::load_bytes(embedded.weights, &name, options)?);
        }
        Ok(match self {
            Self::File(path) => effigy_weights::load(path, options)?,
            Self::Pretrained { name, training } => {
                let checkpoint = find(name, *training)?;
                let path = Hub::from_env()?.fetch(checkpoint, progress)?;
                // The file in the cache may be called otherwise than the network that it is of.
                let preprocessing = match checkpoint.network() {
                    Network::EfficientNet(network) => Some(network.preprocessing),
                    Network::EfficientDet(_) => None,
                };
                let model = Some(checkpoint.model.to_owned());
                effigy_weights::load(&path, &LoadOptions { model, preprocessing, ..options.clone() })?
            }
        })
    }
}

/// The checkpoint of a name; where there is none, near names of networks help more than the hub's.
fn find(name: &str, training: Training) -> Result<&'static Checkpoint, Error> {
    match hub::find(name, training) {
        Err(HubError::Unknown { name, similar }) if similar.is_empty() => {
            Network::from_name(&name)?;
            Err(Error::Hub(HubError::Unknown { name, similar }))
        }
        found => Ok(found?),
    }
}

impl Source {
    fn new(loaded: Loaded) -> Self {
        let Loaded { network, weights, mut assumptions, labels, quantisation, .. } = loaded;
        let labels = match (labels, &network) {
            (Some(labels), _) => labels.into_iter().collect(),
            (None, Network::EfficientNet(network)) if network.classes == IMAGENET_CLASSES => {
                assumptions.push("labels: ImageNet's, assumed because there are 1000 classes".to_owned());
                Labels::imagenet()
            }
            (None, Network::EfficientDet(network)) if network.classes == COCO_SLOTS => {
                assumptions.push("labels: COCO's, assumed because there are 90 class slots".to_owned());
                Labels::coco()
            }
            _ => Labels::default(),
        };
        let quantisation = quantisation.map(Arc::new);
        Self { description: network, weights, labels, assumptions, quantisation }
    }

    pub(crate) fn classifier(self) -> Result<Source<EfficientNet>, Error> {
        match self.description.clone() {
            Network::EfficientNet(network) => Ok(self.described_as(network)),
            Network::EfficientDet(network) => Err(Error::NotAClassifier { model: network.name }),
        }
    }

    pub(crate) fn detector(self) -> Result<Source<EfficientDet>, Error> {
        match self.description.clone() {
            Network::EfficientDet(network) => Ok(self.described_as(network)),
            Network::EfficientNet(network) => Err(Error::NotADetector { model: network.name }),
        }
    }

    fn described_as<D>(self, description: D) -> Source<D> {
        let Self { weights, labels, assumptions, quantisation, .. } = self;
        Source { description, weights, labels, assumptions, quantisation }
    }
}

impl<D: Sync> Parameters for Source<D> {
    fn parameter(&self, name: &str) -> Option<Cow<'_, [f32]>> {
        self.weights.get(name).map(|param| param.values)
    }

    fn release(&self, name: &str) {
        self.weights.release(name);
    }
}
