//! rwightman/efficientdet-pytorch, `effdet/efficientdet.py`: timm's backbone.

use super::detector::FIRST_LEVEL;
use super::{
    DetectorNode, DetectorScheme, Family, Fused, Parameter, Scheme, Stored, is_counter, locate_by_end, timm,
    torch_tensors,
};

/// The heads' normalisations by repeat, then level: its default.
pub(super) const SCHEME: Scheme = Scheme {
    family: Family::Effdet,
    backbone: "backbone.",
    detector: Some(DetectorScheme { marks: &["fpn."], node }),
    tensors,
    locate: locate_by_end,
    ignores: is_counter,
    ..timm::SCHEME
};

/// By level, then repeat: `head_bn_level_first`, which TorchScript wants.
pub(super) const LEVEL_FIRST: Scheme = Scheme {
    detector: Some(DetectorScheme {
        marks: &["fpn.", "class_net.bn_rep.0.0.weight"],
        node: |at| match *at {
            DetectorNode::HeadNorm { head, repeat, level } => {
                format!("{head}_net.bn_rep.{}.{repeat}", level - FIRST_LEVEL)
            }
            _ => node(at),
        },
    }),
    ..SCHEME
};

fn node(node: &DetectorNode<'_>) -> String {
    match *node {
        DetectorNode::Level { level, part } => format!("fpn.resample.{}.conv.{part}", level - FIRST_LEVEL),
        DetectorNode::Input { fused: Fused { cell, row, .. }, from, part, .. } => {
            format!("fpn.cell.{cell}.fnode.{row}.combine.resample.{from}.conv.{part}")
        }
        DetectorNode::Row { fused: Fused { cell, row, .. }, part: "combine" } => {
            format!("fpn.cell.{cell}.fnode.{row}.combine")
        }
        DetectorNode::Row { fused: Fused { cell, row, .. }, part } => {
            format!("fpn.cell.{cell}.fnode.{row}.after_combine.conv.{}", module(part))
        }
        DetectorNode::Head { head, repeat, part } => {
            format!("{head}_net.conv_rep.{repeat}.{}", module(part))
        }
        DetectorNode::HeadNorm { head, repeat, level } => {
            format!("{head}_net.bn_rep.{repeat}.{}.bn", level - FIRST_LEVEL)
        }
        DetectorNode::Predict { head, part } => format!("{head}_net.predict.{}", module(part)),
    }
}

fn module(part: &str) -> &str {
    match part {
        "depthwise" => "conv_dw",
        "pointwise" => "conv_pw",
        part => part,
    }
}

fn tensors(parameter: Parameter<'_>, foreign: &str) -> Stored {
    if parameter.node.ends_with(".combine") {
        return Stored::as_is(format!("{foreign}.edge_weights"));
    }
    torch_tensors(parameter, foreign)
}
