//! timm, `timm/models/_efficientnet_blocks.py`: each kind of block counts its own norms.

use effigy_arch::BlockKind;

use super::{Family, Parts, Scheme, is_counter, locate_by_end, torch_tensors};

pub(super) const SCHEME: Scheme = Scheme {
    family: Family::Timm,
    backbone: "",
    ends: |_| {
        [
            ("stem.conv", "conv_stem".into()),
            ("stem.bn", "bn1".into()),
            ("head.conv", "conv_head".into()),
            ("head.bn", "bn2".into()),
            ("head.classifier", "classifier".into()),
        ]
    },
    block: |block| format!("blocks.{}.{}", block.stage, block.position),
    parts,
    detector: None,
    tensors: torch_tensors,
    locate: locate_by_end,
    ignores: is_counter,
};

fn parts(kind: BlockKind) -> Parts {
    match kind {
        BlockKind::DepthwiseSeparable => &[
            ("depthwise.conv", "conv_dw"),
            ("depthwise.bn", "bn1"),
            ("se.reduce", "se.conv_reduce"),
            ("se.expand", "se.conv_expand"),
            ("project.conv", "conv_pw"),
            ("project.bn", "bn2"),
        ],
        BlockKind::InvertedResidual => &[
            ("expand.conv", "conv_pw"),
            ("expand.bn", "bn1"),
            ("depthwise.conv", "conv_dw"),
            ("depthwise.bn", "bn2"),
            ("se.reduce", "se.conv_reduce"),
            ("se.expand", "se.conv_expand"),
            ("project.conv", "conv_pwl"),
            ("project.bn", "bn3"),
        ],
        BlockKind::Fused => &[
            ("expand.conv", "conv_exp"),
            ("expand.bn", "bn1"),
            ("se.reduce", "se.conv_reduce"),
            ("se.expand", "se.conv_expand"),
            ("project.conv", "conv_pwl"),
            ("project.bn", "bn2"),
        ],
        BlockKind::FusedExpand1 => &[("fused.conv", "conv"), ("fused.bn", "bn1")],
    }
}
