//! What effigy's own safetensors files say about the network they hold.

use effigy_arch::{Convention, EfficientNet, Interpolation, Padding, Preprocessing, Top};
use serde::{Deserialize, Serialize};

/// The key of the card in a safetensors file's `__metadata__`; its value is JSON.
pub(crate) const KEY: &str = "effigy";
/// Raised when older readers would misunderstand.
const VERSION: u32 = 1;

/// A network's description.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Card {
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

/// Why a card cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCard {
    /// Not the JSON it should be.
    #[error("its `effigy` metadata is not valid: {reason}")]
    Json {
        /// What the parser says.
        reason: String,
    },
    /// Written by a newer effigy.
    #[error("its `effigy` metadata has version {found}; this effigy reads {VERSION}, so update it")]
    Version {
        /// The file's version.
        found: u32,
    },
    /// A field with a value that means nothing.
    #[error("its `effigy` metadata has {field} {value:?}, which is not known")]
    Value {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
}

impl Card {
    pub(crate) fn new(model: &EfficientNet, labels: Option<&[String]>) -> Self {
        let Preprocessing { size, crop_pct, interpolation, mean, std } = model.preprocessing;
        let interpolation = match interpolation {
            Interpolation::Bilinear => "bilinear",
            Interpolation::Bicubic => "bicubic",
        };
        let padding = match model.convention.padding {
            Padding::Same => "same",
            Padding::Symmetric => "symmetric",
        };
        let top = match model.top {
            Top::Classifier => "classifier",
            Top::Pooled => "pooled",
            Top::Features => "features",
        };
        Self {
            version: VERSION,
            model: model.name.clone(),
            top: top.to_owned(),
            classes: model.classes,
            in_channels: model.in_channels,
            bn_epsilon: model.convention.bn_epsilon,
            padding: padding.to_owned(),
            size,
            crop_pct,
            interpolation: interpolation.to_owned(),
            mean,
            std,
            labels: labels.map(<[String]>::to_vec),
        }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are always valid JSON")
    }

    pub(crate) fn parse(json: &str) -> Result<Self, BadCard> {
        /// Read first: a newer card may have other fields.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let bad = |error: serde_json::Error| BadCard::Json { reason: error.to_string() };
        let Version { version } = serde_json::from_str(json).map_err(bad)?;
        if version != VERSION {
            return Err(BadCard::Version { found: version });
        }
        serde_json::from_str(json).map_err(bad)
    }

    /// The network, and the labels of its classes where the card has them.
    pub(crate) fn network(self) -> Result<(EfficientNet, Option<Vec<String>>), BadCard> {
        let value = |field, value: &str| BadCard::Value { field, value: value.to_owned() };
        let model = EfficientNet::from_name(&self.model).map_err(|_| value("model", &self.model))?;
        let padding = match self.padding.as_str() {
            "same" => Padding::Same,
            "symmetric" => Padding::Symmetric,
            other => return Err(value("padding", other)),
        };
        let interpolation = match self.interpolation.as_str() {
            "bilinear" => Interpolation::Bilinear,
            "bicubic" => Interpolation::Bicubic,
            other => return Err(value("interpolation", other)),
        };
        let top = match self.top.as_str() {
            "classifier" => Top::Classifier,
            "pooled" => Top::Pooled,
            "features" => Top::Features,
            other => return Err(value("top", other)),
        };
        let Self { size, crop_pct, mean, std, .. } = self;
        let model = model
            .with_classes(self.classes)
            .with_in_channels(self.in_channels)
            .with_top(top)
            .with_convention(Convention { bn_epsilon: self.bn_epsilon, padding })
            .with_preprocessing(Preprocessing { size, crop_pct, interpolation, mean, std });
        Ok((model, self.labels))
    }
}
