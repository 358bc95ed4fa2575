//! What effigy's own safetensors files say about the network they hold.

mod classifier;
mod detector;
pub(crate) mod quantisation;

use effigy_arch::{Interpolation, Network, Padding};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use classifier::ClassifierCard;
use detector::DetectorCard;

/// The key of the card in a safetensors file's `__metadata__`; its value is JSON.
pub(crate) const KEY: &str = "effigy";

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
    #[error(
        "its `effigy` metadata has version {found}; this effigy reads up to {}, so update it",
        DetectorCard::VERSION
    )]
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

/// The card of a network and of its classes' names, as JSON. Detectors have a version of their own, which
/// readers that know only classifiers refuse.
pub(crate) fn write(network: &Network, labels: Option<&[String]>) -> String {
    let json = match network {
        Network::EfficientNet(network) => serde_json::to_string(&ClassifierCard::new(network, labels)),
        Network::EfficientDet(network) => serde_json::to_string(&DetectorCard::new(network, labels)),
    };
    json.expect("strings and numbers are always valid JSON")
}

/// The network that a card describes, and the names of its classes where it has them.
pub(crate) fn parse(json: &str) -> Result<(Network, Option<Vec<String>>), BadCard> {
    /// Read first: a newer card may have other fields.
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    match from_json(json)? {
        Version { version: ClassifierCard::VERSION } => from_json::<ClassifierCard>(json)?.network(),
        Version { version: DetectorCard::VERSION } => from_json::<DetectorCard>(json)?.network(),
        Version { version: found } => Err(BadCard::Version { found }),
    }
}

fn from_json<T: DeserializeOwned>(json: &str) -> Result<T, BadCard> {
    serde_json::from_str(json).map_err(|error| BadCard::Json { reason: error.to_string() })
}

/// The words of a choice.
type Words<T> = &'static [(&'static str, T)];

const PADDING: Words<Padding> = &[("same", Padding::Same), ("symmetric", Padding::Symmetric)];
const INTERPOLATION: Words<Interpolation> = &[
    ("bilinear", Interpolation::Bilinear),
    ("plain-bilinear", Interpolation::PlainBilinear),
    ("bicubic", Interpolation::Bicubic),
];

fn word<T: Copy + PartialEq>(words: Words<T>, value: T) -> String {
    let found = words.iter().find(|(_, known)| *known == value);
    found.expect("every value has a word").0.to_owned()
}

fn meaning<T: Copy>(words: Words<T>, field: &'static str, word: &str) -> Result<T, BadCard> {
    let found = words.iter().find(|(known, _)| *known == word);
    found.map(|(_, value)| *value).ok_or_else(|| unknown(field, word))
}

fn unknown(field: &'static str, value: &str) -> BadCard {
    BadCard::Value { field, value: value.to_owned() }
}
