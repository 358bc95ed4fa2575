//! effigy's own names: those of the graph's nodes.

use effigy_arch::BlockKind;

use super::{DetectorScheme, Family, Parts, Scheme, is_counter, locate_by_end, torch_tensors};

pub(super) const SCHEME: Scheme = Scheme {
    family: Family::Effigy,
    backbone: "",
    ends: |_| {
        ["stem.conv", "stem.bn", "head.conv", "head.bn", "head.classifier"]
            .map(|part| (part, part.to_owned()))
    },
    block: |block| format!("blocks.{}", block.index),
    parts,
    detector: Some(DetectorScheme { marks: &["bifpn."], node: |node| node.to_string() }),
    tensors: torch_tensors,
    locate: locate_by_end,
    ignores: is_counter,
};

fn parts(_: BlockKind) -> Parts {
    &[
        ("expand.conv", "expand.conv"),
        ("expand.bn", "expand.bn"),
        ("depthwise.conv", "depthwise.conv"),
        ("depthwise.bn", "depthwise.bn"),
        ("fused.conv", "fused.conv"),
        ("fused.bn", "fused.bn"),
        ("se.reduce", "se.reduce"),
        ("se.expand", "se.expand"),
        ("project.conv", "project.conv"),
        ("project.bn", "project.bn"),
    ]
}
