//! The graph of an [`EfficientNet`]: stem, blocks, head.

use crate::efficientnet::{Block, BlockKind, Convention, EfficientNet, Top};
use crate::graph::{Activation, Conv, Graph, Node, NodeId, Op};

/// Everything between the picture and `network.top`.
pub(crate) fn build(network: &EfficientNet) -> Graph {
    let mut b = Builder::new(network);
    let last = b.trunk(network);
    let mut x = last.id;

    let features = network.head_filters();
    x = b.conv_bn_act("head", x, last.channels, features, Kernel::POINT);
    b.ends.push(Map { id: x, channels: features });
    if network.top != Top::Features {
        x = b.push("head.pool", Op::GlobalAveragePool, &[x]);
    }
    if network.top == Top::Classifier {
        x = b.push("head.dropout", Op::Dropout { rate: network.dropout }, &[x]);
        x = b.push("head.classifier", Op::Linear { inputs: features, outputs: network.classes }, &[x]);
    }
    let endpoints = b.endpoints();
    Graph { nodes: b.nodes, outputs: vec![x], endpoints }
}

/// A node's output with its channels.
#[derive(Clone, Copy)]
pub(crate) struct Map {
    pub(crate) id: NodeId,
    pub(crate) channels: usize,
}

/// Size, step and groups of a convolution without a bias.
#[derive(Clone, Copy)]
struct Kernel {
    size: usize,
    stride: usize,
    groups: usize,
}

impl Kernel {
    /// 1×1.
    const POINT: Self = Self { size: 1, stride: 1, groups: 1 };
}

/// Collects the nodes of an EfficientNet, and of what stands on one.
pub(crate) struct Builder {
    pub(crate) nodes: Vec<Node>,
    /// The last map of every resolution so far: `ends[k]` is `reduction_{k + 1}`.
    pub(crate) ends: Vec<Map>,
    convention: Convention,
    bn_momentum: f32,
    activation: Activation,
}

impl Builder {
    pub(crate) fn new(network: &EfficientNet) -> Self {
        let blueprint = network.family.blueprint();
        Self {
            nodes: Vec::new(),
            ends: Vec::new(),
            convention: network.convention,
            bn_momentum: blueprint.bn_momentum,
            activation: blueprint.activation,
        }
    }

    pub(crate) fn push(&mut self, name: impl Into<String>, op: Op, inputs: &[NodeId]) -> NodeId {
        let name = name.into();
        let id = NodeId(self.nodes.len());
        self.nodes.push(Node { params: name.clone(), name, op, inputs: inputs.to_vec() });
        id
    }

    /// The picture, the stem and every block; gives the last block's output.
    pub(crate) fn trunk(&mut self, network: &EfficientNet) -> Map {
        let (pixels, filters) = (network.in_channels, network.stem_filters());
        let input = self.push("input", Op::Input { channels: pixels }, &[]);
        let stem = Kernel { size: 3, stride: 2, ..Kernel::POINT };
        let id = self.conv_bn_act("stem", input, pixels, filters, stem);
        let mut x = Map { id, channels: filters };
        for block in &network.blocks() {
            if block.stride > 1 {
                self.ends.push(x);
            }
            x = Map { id: self.block(block, x.id), channels: block.outputs };
        }
        self.ends.push(x);
        x
    }

    /// The ends of the resolutions by name.
    pub(crate) fn endpoints(&self) -> Vec<(String, NodeId)> {
        let ends = self.ends.iter().enumerate();
        ends.map(|(i, end)| (format!("reduction_{}", i + 1), end.id)).collect()
    }

    /// `{at}.conv`, `{at}.bn`
    fn conv_bn(&mut self, at: &str, x: NodeId, inputs: usize, outputs: usize, kernel: Kernel) -> NodeId {
        let Kernel { size, stride, groups } = kernel;
        let Convention { bn_epsilon, padding } = self.convention;
        let conv = Conv { inputs, outputs, kernel: size, stride, groups, padding, bias: false };
        let x = self.push(format!("{at}.conv"), Op::Conv(conv), &[x]);
        let norm = Op::BatchNorm { channels: outputs, epsilon: bn_epsilon, momentum: self.bn_momentum };
        self.push(format!("{at}.bn"), norm, &[x])
    }

    /// `{at}.conv`, `{at}.bn`, `{at}.act`
    fn conv_bn_act(&mut self, at: &str, x: NodeId, inputs: usize, outputs: usize, kernel: Kernel) -> NodeId {
        let x = self.conv_bn(at, x, inputs, outputs, kernel);
        self.push(format!("{at}.act"), Op::Activation(self.activation), &[x])
    }

    /// A block: expansion, filter, squeeze and excitation, projection, residual; each where it has one.
    fn block(&mut self, block: &Block, input: NodeId) -> NodeId {
        let at = format!("blocks.{}", block.index);
        let Block { inputs, expanded, outputs, .. } = *block;
        let filter = Kernel { size: block.kernel, stride: block.stride, groups: 1 };
        let depthwise = Kernel { groups: expanded, ..filter };

        let mut x = input;
        match block.kind {
            BlockKind::FusedExpand1 => {
                x = self.conv_bn_act(&format!("{at}.fused"), x, inputs, outputs, filter);
            }
            BlockKind::Fused => {
                x = self.conv_bn_act(&format!("{at}.expand"), x, inputs, expanded, filter);
            }
            BlockKind::InvertedResidual => {
                x = self.conv_bn_act(&format!("{at}.expand"), x, inputs, expanded, Kernel::POINT);
                x = self.conv_bn_act(&format!("{at}.depthwise"), x, expanded, expanded, depthwise);
            }
            BlockKind::DepthwiseSeparable => {
                x = self.conv_bn_act(&format!("{at}.depthwise"), x, expanded, expanded, depthwise);
            }
        }
        if let Some(squeeze) = block.squeeze {
            x = self.squeeze_and_excite(&format!("{at}.se"), x, expanded, squeeze);
        }
        if block.kind != BlockKind::FusedExpand1 {
            x = self.conv_bn(&format!("{at}.project"), x, expanded, outputs, Kernel::POINT);
        }
        if block.residual {
            let drop = Op::DropConnect { rate: block.drop_connect };
            x = self.push(format!("{at}.drop_connect"), drop, &[x]);
            x = self.push(format!("{at}.add"), Op::Add, &[x, input]);
        }
        x
    }

    /// Channels weighed by a small network over their means (Hu et al. 2018, arXiv 1709.01507).
    fn squeeze_and_excite(&mut self, at: &str, x: NodeId, channels: usize, squeeze: usize) -> NodeId {
        let padding = self.convention.padding;
        let point = |inputs, outputs| {
            Op::Conv(Conv { inputs, outputs, kernel: 1, stride: 1, groups: 1, padding, bias: true })
        };
        let s = self.push(format!("{at}.pool"), Op::GlobalAveragePool, &[x]);
        let s = self.push(format!("{at}.reduce"), point(channels, squeeze), &[s]);
        let s = self.push(format!("{at}.act"), Op::Activation(self.activation), &[s]);
        let s = self.push(format!("{at}.expand"), point(squeeze, channels), &[s]);
        let gate = self.push(format!("{at}.gate"), Op::Activation(Activation::Sigmoid), &[s]);
        self.push(format!("{at}.scale"), Op::Scale, &[x, gate])
    }
}
