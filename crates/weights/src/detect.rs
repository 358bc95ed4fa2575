//! Which family, which part of the file and which variant a checkpoint holds.

use effigy_arch::{EfficientNet, Network, Top, variants};

use crate::check::{self, Differences};
use crate::names::{Family, Names};
use crate::state_dict::{StateDict, StoredTensor};

/// The tensors of one network within a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) family: Family,
    /// What their names start with: `state_dict.module.`, or nothing.
    pub(crate) prefix: String,
    pub(crate) in_channels: usize,
    /// Rows of the classifier; nothing without one.
    pub(crate) classes: Option<usize>,
}

/// Why no network was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrecognised {
    /// A detector, which this loader does not read.
    #[error("this is an EfficientDet checkpoint (it has `{tensor}`), not a classifier")]
    Detector {
        /// The tensor that tells.
        tensor: String,
    },
    /// No known family has such names.
    #[error(
        "no tensor is called as lukemelas, timm, torchvision or effigy call the stem's weight; it holds {count} \
         tensors{}",
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

/// What the names of detectors contain: zylo117's and effdet's.
const DETECTOR: [&str; 2] = ["bifpn.", "fpn.cell."];
/// How frameworks call averaged weights.
const AVERAGED: [&str; 2] = ["ema.", "ema_"];

/// Finds the network: the family by its name for the stem's weight, and the prefix by what precedes
/// that name. `raw` prefers trained weights where a checkpoint holds averaged ones beside them.
pub(crate) fn find(state: &StateDict, raw: bool) -> Result<Found, Unrecognised> {
    let names = || state.tensors().iter().map(StoredTensor::name);
    if let Some(tensor) = names().find(|name| DETECTOR.iter().any(|part| name.contains(part))) {
        return Err(Unrecognised::Detector { tensor: tensor.to_owned() });
    }
    let stems = Family::ALL.map(|family| (family, family.stem()));
    let mut found: Vec<(Family, &str, &[usize])> = Vec::new();
    for tensor in state.tensors() {
        let [_, _, _, _] = tensor.shape() else { continue };
        let stem = stems.iter().find_map(|(family, stem)| {
            let prefix = tensor.name().strip_suffix(stem.as_str())?;
            (prefix.is_empty() || prefix.ends_with('.')).then_some((*family, prefix, tensor.shape()))
        });
        found.extend(stem);
    }
    let is_averaged = |prefix: &str| AVERAGED.iter().any(|part| prefix.contains(part));
    let chosen = found.iter().find(|(_, prefix, _)| is_averaged(prefix) != raw).or(found.first());
    let Some(&(family, prefix, shape)) = chosen else {
        let first = names().take(3).map(|name| format!("`{name}`")).collect();
        return Err(Unrecognised::Names { count: state.tensors().len(), first });
    };
    let classifier = format!("{prefix}{}.weight", family.end("head.classifier", 0));
    let classifier = state.get(&classifier).map(|entry| entry.tensor().shape());
    Ok(Found {
        family,
        prefix: prefix.to_owned(),
        in_channels: shape[1],
        classes: classifier.and_then(|shape| shape.first().copied()),
    })
}

impl Found {
    /// `model` with the checkpoint's input channels, classes and top.
    pub(crate) fn fit(&self, network: Network) -> Network {
        match network {
            Network::EfficientNet(network) => self.fit_classifier(network).into(),
            detector @ Network::EfficientDet(_) => detector,
        }
    }

    fn fit_classifier(&self, model: EfficientNet) -> EfficientNet {
        let model = model.with_in_channels(self.in_channels);
        match self.classes {
            Some(classes) => model.with_classes(classes).with_top(Top::Classifier),
            None => model.with_top(Top::Pooled),
        }
    }
}

/// The published variant whose parameters have the checkpoint's names and shapes: an exact one, or
/// the one that differs least. Nothing where the family knows no variant at all.
pub(crate) fn variant(state: &StateDict, found: &Found) -> Option<(EfficientNet, Differences)> {
    let models =
        || variants().iter().map(|variant| found.fit_classifier(EfficientNet::from_variant(variant)));
    let compared = |model: EfficientNet| {
        let network = Network::from(model.clone());
        let names = Names::new(found.family, &network)?;
        let differences = check::compare(state, found, &network, &names);
        Some((model, differences))
    };
    // Building every variant's graph takes longer than reading a small file, so look first at
    // what can be known without.
    let likely = models().filter(|model| looks_like(state, found, model)).filter_map(compared);
    if let Some(exact) = likely.into_iter().find(|(_, differences)| differences.is_empty()) {
        return Some(exact);
    }
    models().filter_map(compared).min_by_key(|(_, differences)| differences.count())
}

/// Whether stem and head have the model's filters and the number of blocks is the model's.
fn looks_like(state: &StateDict, found: &Found, model: &EfficientNet) -> bool {
    let blocks = model.blocks();
    let stages = blocks.last().map_or(0, |block| block.stage + 1);
    let filters = |part| {
        let name = format!("{}{}.weight", found.prefix, found.family.end(part, stages));
        state.get(&name).and_then(|entry| entry.tensor().shape().first().copied())
    };
    let has = |start: String| state.tensors().iter().any(|tensor| tensor.name().starts_with(&start));
    let at = |block: &effigy_arch::Block| format!("{}{}", found.prefix, found.family.block(block));
    filters("stem.conv") == Some(model.stem_filters())
        && filters("head.conv") == Some(model.head_filters())
        && blocks.last().is_some_and(|last| {
            let next =
                effigy_arch::Block { index: last.index + 1, position: last.position + 1, ..last.clone() };
            has(at(last)) && !has(at(&next))
        })
}
