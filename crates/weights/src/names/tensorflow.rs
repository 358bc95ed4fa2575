//! google/automl and tensorflow/tpu: variables' names. Layers without a name of their own are numbered in
//! each scope by the order in which they are made: `conv2d`, `conv2d_1`.
//!
//! Networks: `efficientnet_model.py`, `effnetv2_model.py`; detectors: `efficientdet_arch.py`. Convolutions
//! are [H, W, I, O], depthwise ones [H, W, C, 1], the classifier [I, O].

use effigy_arch::{BlockKind, ParamRole};

use super::{DetectorNode, DetectorScheme, Family, Fused, Parameter, Parts, Place, Scheme, Stored};
use crate::layout::Layout;
use crate::state_dict::StateDict;

/// What the names of moving averages end with.
const AVERAGE: &str = "/ExponentialMovingAverage";
/// What variables of a network are called. Counters and an optimiser's variables are called otherwise:
/// `global_step`, `stem/conv2d/kernel/RMSProp`.
const VARIABLES: [&str; 9] = [
    "kernel",
    "depthwise_kernel",
    "pointwise_kernel",
    "bias",
    "gamma",
    "beta",
    "moving_mean",
    "moving_variance",
    "WSM",
];

pub(super) const SCHEME: Scheme = Scheme {
    family: Family::TensorFlow,
    backbone: "",
    ends: |_| ends("head/dense"),
    block: |block| format!("blocks_{}", block.index),
    parts,
    detector: Some(DetectorScheme { marks: &["fpn_cells/"], node }),
    tensors,
    locate,
    ignores,
};

/// EfficientNetV2 in graph mode: its classifier's scope is the second of the name `head`.
pub(super) const SECOND_HEAD: Scheme =
    Scheme { ends: |_| ends(CLASSIFIER), locate: locate_second_head, ..SCHEME };
const CLASSIFIER: &str = "head_1/dense";

fn ends(classifier: &str) -> [(&'static str, String); 5] {
    [
        ("stem.conv", "stem/conv2d".into()),
        ("stem.bn", "stem/tpu_batch_normalization".into()),
        ("head.conv", "head/conv2d".into()),
        ("head.bn", "head/tpu_batch_normalization".into()),
        ("head.classifier", classifier.into()),
    ]
}

fn parts(kind: BlockKind) -> Parts {
    match kind {
        BlockKind::DepthwiseSeparable => &[
            ("depthwise.conv", "depthwise_conv2d"),
            ("depthwise.bn", "tpu_batch_normalization"),
            ("se.reduce", "se/conv2d"),
            ("se.expand", "se/conv2d_1"),
            ("project.conv", "conv2d"),
            ("project.bn", "tpu_batch_normalization_1"),
        ],
        BlockKind::InvertedResidual => &[
            ("expand.conv", "conv2d"),
            ("expand.bn", "tpu_batch_normalization"),
            ("depthwise.conv", "depthwise_conv2d"),
            ("depthwise.bn", "tpu_batch_normalization_1"),
            ("se.reduce", "se/conv2d"),
            ("se.expand", "se/conv2d_1"),
            ("project.conv", "conv2d_1"),
            ("project.bn", "tpu_batch_normalization_2"),
        ],
        BlockKind::Fused => &[
            ("expand.conv", "conv2d"),
            ("expand.bn", "tpu_batch_normalization"),
            ("se.reduce", "se/conv2d"),
            ("se.expand", "se/conv2d_1"),
            ("project.conv", "conv2d_1"),
            ("project.bn", "tpu_batch_normalization_1"),
        ],
        BlockKind::FusedExpand1 => &[("fused.conv", "conv2d"), ("fused.bn", "tpu_batch_normalization")],
    }
}

/// A separable convolution is one layer with two kernels.
fn node(node: &DetectorNode<'_>) -> String {
    let layer = |part| match part {
        "conv" => "conv2d",
        "depthwise" | "pointwise" => "conv",
        part => part,
    };
    match *node {
        DetectorNode::Level { level, part } => format!("resample_p{level}/{}", layer(part)),
        DetectorNode::Input { fused, input, from, part } => {
            format!("{}/resample_{input}_{from}_{}/{}", row(fused), fused.index, layer(part))
        }
        DetectorNode::Row { fused, part: "combine" } => row(fused),
        DetectorNode::Row { fused, part } => {
            format!("{}/op_after_combine{}/{}", row(fused), fused.index, layer(part))
        }
        DetectorNode::Head { head, repeat, .. } => format!("{head}_net/{head}-{repeat}"),
        DetectorNode::HeadNorm { head, repeat, level } => format!("{head}_net/{head}-{repeat}-bn-{level}"),
        DetectorNode::Predict { head, .. } => format!("{head}_net/{head}-predict"),
    }
}

fn row(fused: Fused) -> String {
    format!("fpn_cells/cell_{}/fnode{}", fused.cell, fused.row)
}

fn tensors(parameter: Parameter<'_>, foreign: &str) -> Stored {
    let Parameter { node, role, shape } = parameter;
    // Blocks and their parts are joined by a dot.
    let foreign = foreign.replace('.', "/");
    let is_norm = node.ends_with("bn");
    let (variable, layout) = match role {
        ParamRole::Weight if node.ends_with("combine") => {
            let inputs = shape.first().copied().unwrap_or(1);
            let number = |i: usize| if i == 0 { String::new() } else { format!("_{i}") };
            let names = (0..inputs).map(|i| format!("{foreign}/WSM{}", number(i)));
            return Stored { names: names.collect(), layout: Layout::Stacked };
        }
        ParamRole::Weight if is_norm => ("gamma", Layout::AsIs),
        ParamRole::Bias if is_norm => ("beta", Layout::AsIs),
        ParamRole::RunningMean => ("moving_mean", Layout::AsIs),
        ParamRole::RunningVar => ("moving_variance", Layout::AsIs),
        ParamRole::Bias => ("bias", Layout::AsIs),
        ParamRole::Weight if node == "head.classifier" => ("kernel", Layout::Permuted(&[1, 0])),
        ParamRole::Weight if node.contains("depthwise") => {
            ("depthwise_kernel", Layout::Permuted(&[2, 3, 0, 1]))
        }
        ParamRole::Weight if node.ends_with("pointwise") => {
            ("pointwise_kernel", Layout::Permuted(&[3, 2, 0, 1]))
        }
        ParamRole::Weight => ("kernel", Layout::Permuted(&[3, 2, 0, 1])),
    };
    Stored { names: vec![format!("{foreign}/{variable}")], layout }
}

/// `efficientnet-b0/stem/conv2d/kernel`, and perhaps its average's: a backbone's name and what is before.
fn locate(scheme: &'static Scheme, _: &StateDict, name: &str) -> Option<Place> {
    let (name, suffix) = name.strip_suffix(AVERAGE).map_or((name, ""), |name| (name, AVERAGE));
    let scopes = name.strip_suffix("stem/conv2d/kernel")?;
    let before = scopes.strip_suffix('/').and_then(|scopes| scopes.rfind('/')).map_or(0, |slash| slash + 1);
    let (prefix, backbone) = scopes.split_at(before);
    let (prefix, backbone, suffix) = (prefix.to_owned(), backbone.to_owned(), suffix.to_owned());
    Some(Place { scheme, prefix, backbone, suffix })
}

fn locate_second_head(scheme: &'static Scheme, state: &StateDict, name: &str) -> Option<Place> {
    let place = locate(scheme, state, name)?;
    let Place { prefix, backbone, suffix, .. } = &place;
    let classifier = format!("{prefix}{backbone}{CLASSIFIER}/kernel{suffix}");
    state.get(&classifier).map(|_| place)
}

fn ignores(name: &str) -> bool {
    let variable = name.rsplit('/').next().unwrap_or(name);
    let is_numbered = variable.strip_prefix("WSM_").is_some_and(|number| number.parse::<usize>().is_ok());
    !(is_numbered || VARIABLES.contains(&variable))
}
