//! Which family, which part of the file and which variant a checkpoint holds.

use effigy_arch::{
    Anchors, AspectRatio, Block, EfficientDet, EfficientNet, Network, Top, detector_variants, variants,
};

use crate::check::{self, Differences};
use crate::names::{Family, Place};
use crate::state_dict::{StateDict, StoredTensor};

/// The tensors of one network within a checkpoint.
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) in_channels: usize,
    pub(crate) top: FoundTop,
}

/// What a checkpoint has after its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoundTop {
    /// Rows of the classifier; nothing without one.
    Classifier(Option<usize>),
    /// A detector's heads; nothing of what a damaged file does not tell.
    Heads { classes: Option<usize>, anchors_per_cell: Option<usize> },
}

/// The variants whose parameters have the checkpoint's names and shapes.
pub(crate) enum Variants {
    /// At least one; they differ in what no tensor tells.
    Exact(Vec<Network>),
    /// The one that differs least.
    Nearest(Box<(Network, Differences)>),
}

/// Why no network was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrecognised {
    /// No known family has such names.
    #[error(
        "no tensor is called as lukemelas, timm, torchvision, zylo117, effdet, TensorFlow's code or effigy call the \
         stem's weight; it holds {count} tensors{}",
        examples(first)
    )]
    Names {
        /// How many tensors there are.
        count: usize,
        /// The first few names.
        first: Vec<String>,
    },
}

fn examples(first: &[String]) -> String {
    if first.is_empty() { String::new() } else { format!(", such as {}", first.join(", ")) }
}

/// How frameworks call averaged weights.
const AVERAGED: [&str; 2] = ["ema.", "ema_"];

/// Finds the network: the family by its name for the stem's weight, and the prefix by what precedes
/// that name. `raw` prefers trained weights where a checkpoint holds averaged ones beside them.
pub(crate) fn find(state: &StateDict, raw: bool) -> Result<Found, Unrecognised> {
    let mut places = Place::all(state);
    let is_averaged = |place: &Place| {
        let is_named = |part: &&str| place.prefix.contains(*part);
        AVERAGED.iter().any(is_named) || !place.suffix.is_empty()
    };
    let chosen = places.iter().position(|(place, _)| is_averaged(place) != raw).unwrap_or(0);
    if places.is_empty() {
        let names = state.tensors().iter().map(StoredTensor::name);
        let first = names.take(3).map(|name| format!("`{name}`")).collect();
        return Err(Unrecognised::Names { count: state.tensors().len(), first });
    }
    let (place, _) = places.swap_remove(chosen);
    let shape = |node: &str| place.weight_shape(state, node, &[]);
    let rows = |node: &str| shape(node)?.first().copied();
    let in_channels = shape("stem.conv").and_then(|shape| shape.get(1).copied()).unwrap_or(3);
    let top = match place.is_detector(state) {
        false => FoundTop::Classifier(rows("head.classifier")),
        true => heads(rows("class.predict.pointwise"), rows("box.predict.pointwise")),
    };
    Ok(Found { place, in_channels, top })
}

/// Classes and anchors from the rows of the heads' predictions.
fn heads(class_rows: Option<usize>, box_rows: Option<usize>) -> FoundTop {
    /// More than any detector has; shapes of empty tensors can claim anything.
    const MAX_ANCHORS: usize = 1024;
    let anchors_per_cell = box_rows.map(|rows| rows / 4).filter(|count| (1..=MAX_ANCHORS).contains(count));
    let classes = class_rows.zip(anchors_per_cell).map(|(rows, anchors)| (rows / anchors).max(1));
    FoundTop::Heads { classes, anchors_per_cell }
}

impl Found {
    /// `network` with the checkpoint's input channels, classes and top. A detector with another number of
    /// anchors gets some of no meaning, until they are said.
    pub(crate) fn fit(&self, network: Network) -> Network {
        match (network, self.top) {
            (Network::EfficientNet(network), FoundTop::Classifier(classes)) => {
                let network = network.with_in_channels(self.in_channels);
                match classes {
                    Some(classes) => network.with_classes(classes).with_top(Top::Classifier).into(),
                    None => network.with_top(Top::Pooled).into(),
                }
            }
            (Network::EfficientDet(network), FoundTop::Heads { classes, anchors_per_cell }) => {
                let backbone = network.backbone.clone().with_in_channels(self.in_channels);
                let classes = classes.unwrap_or(network.classes);
                let anchors = match anchors_per_cell {
                    Some(count) if count != network.anchors.per_cell() => Anchors {
                        scales: vec![1.0; count],
                        ratios: vec![AspectRatio::new(1.0, 1.0)],
                        ..network.anchors.clone()
                    },
                    _ => network.anchors.clone(),
                };
                network.with_backbone(backbone).with_classes(classes).with_anchors(anchors).into()
            }
            (network, _) => network,
        }
    }

    /// In what `network` differs from the checkpoint; nothing where the family has no such network.
    pub(crate) fn differences(&self, state: &StateDict, network: &Network) -> Option<Differences> {
        let names = self.place.names(network)?;
        Some(check::compare(state, &self.place, network, &names))
    }

    /// Whether `network`, fitted, is what the checkpoint holds.
    pub(crate) fn is(&self, state: &StateDict, network: &Network) -> bool {
        let network = self.fit(network.clone());
        self.differences(state, &network).is_some_and(|differences| differences.is_empty())
    }

    /// What the family makes of a detector's name, the likeliest first: ports differ in convention. A name
    /// of one port's own stays as it is.
    pub(crate) fn ports(&self, name: &str, detector: &EfficientDet) -> Vec<EfficientDet> {
        let named = |name: String| EfficientDet::from_name(&name).ok();
        match self.place.family() {
            Family::Zylo117 => named(format!("zylo117/{}", detector.name)).into_iter().collect(),
            Family::Effdet if name.contains('-') => {
                let native = detector.name.replace('-', "_");
                [format!("tf_{native}"), native].into_iter().filter_map(named).collect()
            }
            _ => vec![detector.clone()],
        }
    }

    /// Every published network that the checkpoint could be.
    fn candidates(&self) -> Vec<Network> {
        let fitted = |network: Network| self.fit(network);
        match self.top {
            FoundTop::Classifier(_) => {
                variants().iter().map(|variant| fitted(EfficientNet::from_variant(variant).into())).collect()
            }
            FoundTop::Heads { .. } => {
                let published = detector_variants().iter().map(EfficientDet::from_variant);
                let ports = published.flat_map(|detector| self.ports(&detector.name, &detector));
                ports.map(|detector| fitted(detector.into())).collect()
            }
        }
    }
}

/// The published variants whose parameters have the checkpoint's names and shapes, or the one that differs
/// least. Nothing where the family knows no variant at all.
pub(crate) fn published(state: &StateDict, found: &Found) -> Option<Variants> {
    let candidates = found.candidates();
    // Building every variant's graph takes longer than reading a small file, so look first at
    // what can be known without.
    let likely = candidates.iter().filter(|network| looks_like(state, found, network));
    let exact: Vec<Network> = likely.filter(|network| found.is(state, network)).cloned().collect();
    if !exact.is_empty() {
        return Some(Variants::Exact(exact));
    }
    let compared = candidates.into_iter().filter_map(|network| {
        let differences = found.differences(state, &network)?;
        Some((network, differences))
    });
    Some(Variants::Nearest(Box::new(compared.min_by_key(|(_, differences)| differences.count())?)))
}

/// Whether stem and head have the network's filters and the number of blocks is the network's.
fn looks_like(state: &StateDict, found: &Found, network: &Network) -> bool {
    let (backbone, last_node, filters) = match network {
        Network::EfficientNet(network) => (network, "head.conv", network.head_filters()),
        Network::EfficientDet(network) => (&network.backbone, "class.predict.depthwise", network.channels),
    };
    let blocks = backbone.blocks();
    let rows = |node: &str| found.place.weight_shape(state, node, &blocks)?.first().copied();
    let has_all_blocks = blocks.last().is_some_and(|last| {
        let next = Block { index: last.index + 1, position: last.position + 1, ..last.clone() };
        found.place.has_block(state, last) && !found.place.has_block(state, &next)
    });
    rows("stem.conv") == Some(backbone.stem_filters()) && rows(last_node) == Some(filters) && has_all_blocks
}
