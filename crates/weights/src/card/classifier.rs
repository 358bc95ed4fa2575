//! The card of an EfficientNet.

use effigy_arch::{Convention, EfficientNet, Network, Preprocessing, Top};
use serde::{Deserialize, Serialize};

use super::{BadCard, INTERPOLATION, PADDING, Words, meaning, unknown, word};

const TOP: Words<Top> =
    &[("classifier", Top::Classifier), ("pooled", Top::Pooled), ("features", Top::Features)];

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct ClassifierCard {
    version: u32,
    model: String,
    top: String,
    classes: usize,
    in_channels: usize,
    bn_epsilon: f32,
    padding: String,
    size: [usize; 2],
    crop_pct: f32,
    interpolation: String,
    mean: [f32; 3],
    std: [f32; 3],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
}

impl ClassifierCard {
    /// Raised when older readers would misunderstand.
    pub(super) const VERSION: u32 = 1;

    pub(super) fn new(network: &EfficientNet, labels: Option<&[String]>) -> Self {
        let Preprocessing { size, crop_pct, interpolation, mean, std } = network.preprocessing;
        Self {
            version: Self::VERSION,
            model: network.name.clone(),
            top: word(TOP, network.top),
            classes: network.classes,
            in_channels: network.in_channels,
            bn_epsilon: network.convention.bn_epsilon,
            padding: word(PADDING, network.convention.padding),
            size,
            crop_pct,
            interpolation: word(INTERPOLATION, interpolation),
            mean,
            std,
            labels: labels.map(<[String]>::to_vec),
        }
    }

    pub(super) fn network(self) -> Result<(Network, Option<Vec<String>>), BadCard> {
        let network = EfficientNet::from_name(&self.model).map_err(|_| unknown("model", &self.model))?;
        let padding = meaning(PADDING, "padding", &self.padding)?;
        let interpolation = meaning(INTERPOLATION, "interpolation", &self.interpolation)?;
        let top = meaning(TOP, "top", &self.top)?;
        let Self { size, crop_pct, mean, std, .. } = self;
        let network = network
            .with_classes(self.classes)
            .with_in_channels(self.in_channels)
            .with_top(top)
            .with_convention(Convention { bn_epsilon: self.bn_epsilon, padding })
            .with_preprocessing(Preprocessing { size, crop_pct, interpolation, mean, std });
        Ok((network.into(), self.labels))
    }
}
