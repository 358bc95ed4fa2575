//! Either kind of network, for whatever treats both alike.

use crate::{EfficientDet, EfficientNet, Graph, UnknownModel};

/// A network of either family.
// A program holds few of these; a box would only be in its readers' way.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq)]
pub enum Network {
    /// Tells what a picture shows.
    EfficientNet(EfficientNet),
    /// Tells where in a picture things are.
    EfficientDet(EfficientDet),
}

impl Network {
    /// The network of a name that [`EfficientNet::from_name`] or [`EfficientDet::from_name`] knows.
    ///
    /// # Errors
    /// When nothing has that name; the error suggests near ones of both families.
    pub fn from_name(name: &str) -> Result<Self, UnknownModel> {
        let classifier = match EfficientNet::from_name(name) {
            Ok(network) => return Ok(network.into()),
            Err(error) => error,
        };
        match (EfficientDet::from_name(name), classifier) {
            (Ok(network), _) => Ok(network.into()),
            (
                Err(UnknownModel::Name { suggestions: detectors, .. }),
                UnknownModel::Name { name, mut suggestions },
            ) => {
                suggestions.extend(detectors);
                Err(UnknownModel::Name { name, suggestions })
            }
            (Err(_), error) => Err(error),
        }
    }

    /// The canonical name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::EfficientNet(network) => &network.name,
            Self::EfficientDet(network) => &network.name,
        }
    }

    /// Classes, or class slots of a detector.
    #[must_use]
    pub fn classes(&self) -> usize {
        match self {
            Self::EfficientNet(network) => network.classes,
            Self::EfficientDet(network) => network.classes,
        }
    }

    /// Channels of the pictures.
    #[must_use]
    pub fn in_channels(&self) -> usize {
        match self {
            Self::EfficientNet(network) => network.in_channels,
            Self::EfficientDet(network) => network.backbone.in_channels,
        }
    }

    /// Height and width in pixels of the input that the network is meant for; the graph takes any.
    #[must_use]
    pub fn size(&self) -> [usize; 2] {
        match self {
            Self::EfficientNet(network) => network.preprocessing.size,
            Self::EfficientDet(network) => network.letterbox.size,
        }
    }

    /// The network as nodes.
    #[must_use]
    pub fn graph(&self) -> Graph {
        match self {
            Self::EfficientNet(network) => network.graph(),
            Self::EfficientDet(network) => network.graph(),
        }
    }
}

impl From<EfficientNet> for Network {
    fn from(network: EfficientNet) -> Self {
        Self::EfficientNet(network)
    }
}

impl From<EfficientDet> for Network {
    fn from(network: EfficientDet) -> Self {
        Self::EfficientDet(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_families() {
        let network = Network::from_name("tf_efficientdet_d0").unwrap();
        assert_eq!((network.name(), network.classes(), network.size()), ("efficientdet-d0", 90, [512, 512]));
        let network = Network::from_name("efficientnet-b1").unwrap();
        assert_eq!((network.name(), network.classes(), network.in_channels()), ("efficientnet-b1", 1000, 3));
    }

    #[test]
    fn a_wrong_name_is_met_with_near_ones() {
        let suggestions = |name| match Network::from_name(name) {
            Err(UnknownModel::Name { suggestions, .. }) => suggestions,
            other => panic!("{other:?}"),
        };
        assert!(suggestions("efficientdet-e0").contains(&"efficientdet-d0".to_owned()));
        assert!(suggestions("efficientnet-c0").contains(&"efficientnet-b0".to_owned()));
    }
}
