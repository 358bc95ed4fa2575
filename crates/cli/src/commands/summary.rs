//! `effigy summary`: what a network is made of.

use std::collections::HashSet;
use std::io::Write;

use clap::Args;
use effigy::arch::{Activation, Extent, Fusion, Network, Node, Op};
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::options::Size;
use crate::report::{FAINT, STRONG};
use crate::table::{Table, grouped, short};

/// Show a network's layers: shapes, parameters, multiply-accumulates, memory
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  effigy summary efficientnet-b0
  effigy summary efficientnet-phi-1.7 --size 192x256
  effigy summary tf_efficientnetv2_s --nodes
  effigy summary efficientdet-d0")]
pub(crate) struct Options {
    /// Any name of a model: published, timm's, torchvision's, effdet's, efficientnet-phi-1.7 or
    /// efficientnet-w1.2-d1.4-r300
    model: String,
    /// Input size in pixels, such as 224 or 192x256 [default: the model's]
    #[arg(long, value_name = "HxW")]
    size: Option<Size>,
    /// Number of classes, or class slots of a detector [default: the model's]
    #[arg(long, value_name = "N", value_parser = crate::options::positive)]
    classes: Option<usize>,
    /// Every node instead of every block
    #[arg(long)]
    nodes: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<Outcome, Failure> {
    let network = match (Network::from_name(&options.model)?, options.classes) {
        (Network::EfficientNet(network), Some(classes)) => network.with_classes(classes).into(),
        (Network::EfficientDet(network), Some(classes)) => network.with_classes(classes).into(),
        (network, None) => network,
    };
    let size = options.size.map_or(network.size(), |Size(size)| size);
    let summary = Summary::new(&network, size);
    let text = if options.json {
        serde_json::to_string(&summary).expect("text and numbers are always valid JSON") + "\n"
    } else {
        summary.format(options.nodes)
    };
    anstream::stdout().write_all(text.as_bytes())?;
    Ok(Outcome::Done)
}

/// The contract with programs, and all that is shown to people.
#[derive(Debug, Serialize)]
struct Summary {
    model: String,
    params: u64,
    macs: u64,
    input: [usize; 2],
    /// Weights in bytes, as `f32`.
    weight_bytes: u64,
    /// Most bytes that values need at once, node after node, for one picture.
    activation_bytes: u64,
    layers: Vec<Layer>,
}

#[derive(Clone, Debug, Serialize)]
struct Layer {
    name: String,
    op: String,
    /// Height, width, channels.
    output: [usize; 3],
    params: u64,
    macs: u64,
}

impl Summary {
    fn new(network: &Network, [height, width]: [usize; 2]) -> Self {
        let graph = network.graph();
        let (extents, macs) = (graph.extents(height, width), graph.node_macs(height, width));
        // The heads of a detector share their convolutions' parameters among levels: the first has them.
        let mut counted = HashSet::new();
        let layer = |((node, extent), macs): ((&Node, Extent), u64)| Layer {
            name: node.name.clone(),
            op: describe(&node.op),
            output: [extent.height, extent.width, extent.channels],
            params: params(node, &mut counted),
            macs,
        };
        let values: u64 =
            graph.param_specs().iter().map(|spec| spec.shape.iter().product::<usize>() as u64).sum();
        Self {
            model: network.name().to_owned(),
            params: graph.param_count(),
            macs: graph.macs(height, width),
            input: [height, width],
            weight_bytes: 4 * values,
            activation_bytes: graph.peak_activation_bytes(height, width),
            layers: graph.nodes.iter().zip(extents).zip(macs).map(layer).collect(),
        }
    }

    fn format(&self, nodes: bool) -> String {
        let layers = if nodes { self.layers.clone() } else { blocks(&self.layers) };
        let mut table = Table::new(&["layer", "", ">output", ">parameters", ">MACs"]);
        for Layer { name, op, output: [h, w, c], params, macs } in layers {
            table.row([
                name,
                op,
                format!("{h}×{w}×{c}"),
                if params == 0 { String::new() } else { grouped(params) },
                short(macs),
            ]);
        }
        let [height, width] = self.input;
        let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        format!(
            "{STRONG}{}{STRONG:#}, {height}×{width}\n\n{}\n{} parameters, {}MACs\n{} of weights, {} of values at most at once{FAINT} (f32, one picture, nothing fused){FAINT:#}\n",
            self.model,
            table.format(),
            grouped(self.params),
            short(self.macs),
            megabytes(self.weight_bytes),
            megabytes(self.activation_bytes),
        )
    }
}

/// Trainable values of a node that no node before it has; `counted` are the names of those.
fn params(node: &Node, counted: &mut HashSet<String>) -> u64 {
    let specs = node.param_specs().into_iter().filter(|spec| spec.role.is_trainable());
    let specs = specs.filter(|spec| counted.insert(spec.name.clone()));
    specs.map(|spec| spec.shape.iter().product::<usize>() as u64).sum()
}

/// A node in a few words: `conv 3×3 /2`.
fn describe(op: &Op) -> String {
    match op {
        Op::Input { .. } => "input".into(),
        Op::Conv(conv) => {
            let kind = if conv.is_depthwise() { "depthwise" } else { "conv" };
            let stride = if conv.stride == 1 { String::new() } else { format!(" /{}", conv.stride) };
            format!("{kind} {0}×{0}{stride}", conv.kernel)
        }
        Op::BatchNorm { .. } => "batch norm".into(),
        Op::Activation(Activation::Relu) => "relu".into(),
        Op::Activation(Activation::Relu6) => "relu6".into(),
        Op::Activation(Activation::Swish) => "swish".into(),
        Op::Activation(Activation::Sigmoid) => "sigmoid".into(),
        Op::GlobalAveragePool => "mean".into(),
        Op::Scale => "scale".into(),
        Op::Add => "add".into(),
        Op::Dropout { rate } => format!("dropout {rate}"),
        Op::DropConnect { rate } => format!("drop connect {rate:.3}"),
        Op::Linear { .. } => "linear".into(),
        Op::MaxPool { kernel, stride, .. } => format!("max pool {kernel}×{kernel} /{stride}"),
        Op::Upsample => "upsample".into(),
        Op::WeightedSum { inputs, fusion: Fusion::FastAttention { .. } } => {
            format!("weighted sum of {inputs}")
        }
        Op::WeightedSum { inputs, fusion: Fusion::Sum } => format!("sum of {inputs}"),
    }
}

/// One row for the stem, each block and each part of the head, with the sums of their nodes. A detector's
/// heads are a row each, whose output is that of the finest level.
fn blocks(layers: &[Layer]) -> Vec<Layer> {
    let mut rows: Vec<Layer> = Vec::new();
    let mut convs: Vec<Vec<String>> = Vec::new();
    for layer in layers {
        let name = block(&layer.name);
        let at = rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            rows.push(Layer { name: name.to_owned(), op: String::new(), output: [0; 3], params: 0, macs: 0 });
            convs.push(Vec::new());
            rows.len() - 1
        });
        let is_coarser = layer.output[0] < rows[at].output[0];
        if !(matches!(name, "class" | "box") && is_coarser) {
            rows[at].output = layer.output;
        }
        rows[at].params += layer.params;
        rows[at].macs += layer.macs;
        let convs = &mut convs[at];
        if layer.name.contains(".se.") {
            if convs.last().is_none_or(|last| last != "squeeze") {
                convs.push("squeeze".into());
            }
        } else if layer.op.contains('×') || matches!(layer.op.as_str(), "linear" | "mean" | "add") {
            convs.push(layer.op.clone());
        }
    }
    for (row, convs) in rows.iter_mut().zip(&convs) {
        row.op = match row.name.split('.').next() {
            Some("bifpn" | "class" | "box") => {
                let count = convs.iter().filter(|op| op.starts_with("depthwise")).count();
                format!("{count} separable convolutions")
            }
            _ => convs.join(" → ").replace(" → add", ", residual"),
        };
    }
    rows.retain(|row| row.name != "head.dropout");
    rows
}

/// The part of a node's name that names its block: `blocks.3`, `stem`, `head`, `head.pool`; of a detector
/// `resample.p6`, `bifpn.2`, `class`, `box`.
fn block(name: &str) -> &str {
    let end = match name.split('.').next() {
        Some("class") => Some("class".len()),
        Some("box") => Some("box".len()),
        Some("blocks" | "bifpn" | "resample") => name.match_indices('.').nth(1).map(|(at, _)| at),
        Some("stem") => Some("stem".len()),
        Some("head") if ["head.conv", "head.bn", "head.act"].contains(&name) => Some("head".len()),
        _ => None,
    };
    &name[..end.unwrap_or(name.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_detector_sum_to_the_whole() {
        let network = Network::from_name("efficientdet-d0").unwrap();
        let summary = Summary::new(&network, [512, 512]);
        assert_eq!(summary.layers.iter().map(|layer| layer.params).sum::<u64>(), 3_880_067);
        let rows = blocks(&summary.layers);
        assert_eq!(rows.iter().map(|row| row.params).sum::<u64>(), 3_880_067);
        assert_eq!(rows.iter().map(|row| row.macs).sum::<u64>(), summary.macs);
        let class = rows.iter().find(|row| row.name == "class").unwrap();
        assert_eq!((class.output, class.op.as_str()), ([64, 64, 810], "20 separable convolutions"));
        assert_eq!(rows.last().unwrap().output, [64, 64, 36]);
    }

    #[test]
    fn blocks_sum_to_the_whole() {
        let network = Network::from_name("efficientnet-b0").unwrap();
        let summary = Summary::new(&network, [224, 224]);
        assert_eq!(summary.params, 5_288_548);
        let rows = blocks(&summary.layers);
        assert_eq!(rows.len(), 1 + 1 + 16 + 3);
        assert_eq!(rows.iter().map(|row| row.params).sum::<u64>(), summary.params);
        assert_eq!(rows.iter().map(|row| row.macs).sum::<u64>(), summary.macs);
        assert_eq!(rows[2].op, "depthwise 3×3 → squeeze → conv 1×1");
        assert_eq!(rows[4].op, "conv 1×1 → depthwise 3×3 → squeeze → conv 1×1, residual");
    }
}
