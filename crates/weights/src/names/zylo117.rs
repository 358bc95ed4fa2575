//! zylo117/Yet-Another-EfficientDet-Pytorch, `efficientdet/model.py`: lukemelas' backbone, and every
//! convolution wrapped in a module.

use super::detector::FIRST_LEVEL;
use super::{
    DetectorNode, DetectorScheme, Family, Fused, Parameter, Scheme, Stored, is_counter, locate_by_end,
    lukemelas,
};

pub(super) const SCHEME: Scheme = Scheme {
    family: Family::Zylo117,
    backbone: "backbone_net.model.",
    detector: Some(DetectorScheme { marks: &["bifpn."], node }),
    tensors,
    locate: locate_by_end,
    ignores: |name| is_counter(name) || is_fusion_weight(name),
    ..lukemelas::SCHEME
};

fn node(node: &DetectorNode<'_>) -> String {
    match *node {
        DetectorNode::Level { level, part } => {
            format!("bifpn.0.p{}_to_p{level}.{}", level - 1, position(part))
        }
        DetectorNode::Input { fused: Fused { cell, level, is_top_down, .. }, part, .. } => {
            let second = if is_top_down { "" } else { "_2" };
            format!("bifpn.{cell}.p{level}_down_channel{second}.{}", position(part))
        }
        DetectorNode::Row { fused: Fused { cell, level, is_top_down, .. }, part: "combine" } => {
            format!("bifpn.{cell}.p{level}_w{}", if is_top_down { 1 } else { 2 })
        }
        DetectorNode::Row { fused: Fused { cell, level, is_top_down, .. }, part } => {
            let way = if is_top_down { "up" } else { "down" };
            format!("bifpn.{cell}.conv{level}_{way}.{}", module(part))
        }
        DetectorNode::Head { head: at, repeat, part } => {
            format!("{}.conv_list.{repeat}.{}", head(at), module(part))
        }
        DetectorNode::HeadNorm { head: at, repeat, level } => {
            format!("{}.bn_list.{}.{repeat}", head(at), level - FIRST_LEVEL)
        }
        DetectorNode::Predict { head: at, part } => format!("{}.header.{}", head(at), module(part)),
    }
}

fn head(head: &str) -> &'static str {
    if head == "class" { "classifier" } else { "regressor" }
}

fn module(part: &str) -> &str {
    match part {
        "depthwise" => "depthwise_conv",
        "pointwise" => "pointwise_conv",
        part => part,
    }
}

/// Where a part stands in a sequence.
fn position(part: &str) -> usize {
    usize::from(part == "bn")
}

fn tensors(Parameter { node, role, .. }: Parameter<'_>, foreign: &str) -> Stored {
    let role = role.suffix();
    Stored::as_is(match node.rsplit('.').next() {
        Some("combine") => foreign.to_owned(),
        Some("bn") => format!("{foreign}.{role}"),
        _ => format!("{foreign}.conv.{role}"),
    })
}

/// `bifpn.0.p6_w1`: detectors that fuse by plain sums carry them too, unused.
fn is_fusion_weight(name: &str) -> bool {
    let is_weight = name.ends_with("_w1") || name.ends_with("_w2");
    is_weight && name.contains("bifpn.")
}
