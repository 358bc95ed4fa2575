//! torchvision, `torchvision/models/efficientnet.py`: nested sequences, so that names are positions.

use effigy_arch::BlockKind;

use super::{Family, Parts, Scheme, is_counter, locate_by_end, torch_tensors};

pub(super) const SCHEME: Scheme = Scheme {
    family: Family::Torchvision,
    backbone: "",
    ends: |stages| {
        let head = stages + 1;
        [
            ("stem.conv", "features.0.0".into()),
            ("stem.bn", "features.0.1".into()),
            ("head.conv", format!("features.{head}.0")),
            ("head.bn", format!("features.{head}.1")),
            ("head.classifier", "classifier.1".into()),
        ]
    },
    block: |block| format!("features.{}.{}", block.stage + 1, block.position),
    parts,
    detector: None,
    tensors: torch_tensors,
    locate: locate_by_end,
    ignores: is_counter,
};

fn parts(kind: BlockKind) -> Parts {
    match kind {
        BlockKind::DepthwiseSeparable => &[
            ("depthwise.conv", "block.0.0"),
            ("depthwise.bn", "block.0.1"),
            ("se.reduce", "block.1.fc1"),
            ("se.expand", "block.1.fc2"),
            ("project.conv", "block.2.0"),
            ("project.bn", "block.2.1"),
        ],
        BlockKind::InvertedResidual => &[
            ("expand.conv", "block.0.0"),
            ("expand.bn", "block.0.1"),
            ("depthwise.conv", "block.1.0"),
            ("depthwise.bn", "block.1.1"),
            ("se.reduce", "block.2.fc1"),
            ("se.expand", "block.2.fc2"),
            ("project.conv", "block.3.0"),
            ("project.bn", "block.3.1"),
        ],
        BlockKind::Fused => &[
            ("expand.conv", "block.0.0"),
            ("expand.bn", "block.0.1"),
            ("project.conv", "block.1.0"),
            ("project.bn", "block.1.1"),
        ],
        BlockKind::FusedExpand1 => &[("fused.conv", "block.0.0"), ("fused.bn", "block.0.1")],
    }
}
