//! The graph: nodes in topological order, each naming its inputs.

use std::fmt;

/// The position of a node in [`Graph::nodes`]. A node's inputs always have smaller ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// A network as data.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Nodes in topological order; exactly one [`Op::Input`], and it is the first.
    pub nodes: Vec<Node>,
    /// What a forward pass returns, in order.
    pub outputs: Vec<NodeId>,
    /// Named points of interest that are not outputs: `reduction_1` … `reduction_6` are the last
    /// feature maps at 1/2, 1/4 … of the input's side, and a classifier's head's feature map.
    pub endpoints: Vec<(String, NodeId)>,
}

/// One operation of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Unique within the graph, dotted: `blocks.3.expand.conv`.
    pub name: String,
    /// What the node computes.
    pub op: Op,
    /// The nodes it reads, in the operation's order.
    pub inputs: Vec<NodeId>,
    /// Prefix of the node's parameters; another node's name where weights are shared.
    pub params: String,
}

/// What a node computes. Activations are `[N, H, W, C]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The picture: `[N, H, W, channels]`.
    Input {
        /// Channels of the picture.
        channels: usize,
    },
    /// Convolution.
    Conv(Conv),
    /// `(x − mean) / √(variance + epsilon) · weight + bias`, per channel.
    BatchNorm {
        /// Channels normalised.
        channels: usize,
        /// Added to the variance.
        epsilon: f32,
        /// PyTorch's momentum: the share of a new batch in the moving statistics.
        momentum: f32,
    },
    /// An element-wise function.
    Activation(Activation),
    /// Mean over height and width: `[N, 1, 1, C]`.
    GlobalAveragePool,
    /// `x · gate` with inputs `x: [N, H, W, C]` and `gate: [N, 1, 1, C]` (squeeze and excitation).
    Scale,
    /// Sum of two equal shapes (the residual).
    Add,
    /// Zeroes values with probability `rate` while training; the identity otherwise.
    Dropout {
        /// Probability, 0..1.
        rate: f32,
    },
    /// Drops a whole sample's branch with probability `rate` while training (stochastic depth);
    /// the identity otherwise.
    DropConnect {
        /// Probability, 0..1.
        rate: f32,
    },
    /// `x · weightᵀ + bias` on `[N, 1, 1, inputs]`.
    Linear {
        /// Input features.
        inputs: usize,
        /// Output features.
        outputs: usize,
    },
    /// The largest value of every window, per channel.
    MaxPool {
        /// Height and width of the window (square).
        kernel: usize,
        /// Step in both directions.
        stride: usize,
        /// How far windows reach over the border.
        padding: Padding,
        /// What they find there.
        border: Border,
    },
    /// Nearest neighbour, to the height and width of another map. The inputs are `x: [N, H, W, C]` and
    /// `like: [N, H', W', _]`, of which only the shape is read; pixel `(i, j)` of the output is
    /// `x[⌊i · H / H'⌋, ⌊j · W / W'⌋]`.
    Upsample,
    /// One map from `inputs` of equal shapes.
    WeightedSum {
        /// How many maps are read.
        inputs: usize,
        /// What each of them counts.
        fusion: Fusion,
    },
}

/// A convolution's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Height and width of the kernel (square).
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Groups; `inputs` for a depthwise convolution.
    pub groups: usize,
    /// How borders are padded (with zeros).
    pub padding: Padding,
    /// Whether there is a bias.
    pub bias: bool,
}

/// How many pixels are put around a map before a window slides over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Padding {
    /// TensorFlow's SAME: `out = ⌈in / stride⌉`, the odd pixel at the bottom and right. Computed
    /// from the actual input size.
    Same,
    /// `(kernel − 1) / 2` on every side, as PyTorch-native models have it.
    Symmetric,
}

/// What max-pooling finds beyond the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Border {
    /// Nothing: only pixels of the map are compared.
    NegativeInfinity,
    /// Zeros, which win over negative values.
    Zero,
}

/// How a [`Op::WeightedSum`] weighs its inputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fusion {
    /// `Σ wᵢ·xᵢ / (Σ wᵢ + epsilon)` with `w = max(weight, 0)`, one learned weight for each input: the
    /// fast normalised fusion of arXiv 1911.09070, section 3.3.
    FastAttention {
        /// Keeps the quotient finite where no weight is positive.
        epsilon: f32,
    },
    /// `Σ xᵢ`.
    Sum,
}

/// An element-wise function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x · σ(x)`, also called SiLU.
    Swish,
    /// `σ(x) = 1 / (1 + e⁻ˣ)`.
    Sigmoid,
}

/// Height, width and channels of an activation; the batch is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

/// What a parameter is to its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParamRole {
    /// Convolution or linear weight, BatchNorm's scale (γ), or a sum's weights.
    Weight,
    /// Bias, or BatchNorm's shift (β).
    Bias,
    /// BatchNorm's moving mean; not trained.
    RunningMean,
    /// BatchNorm's moving variance; not trained.
    RunningVar,
}

/// A parameter that a graph needs.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// `{node.params}.weight`, `.bias`, `.running_mean` or `.running_var`.
    pub name: String,
    /// What it is to its node.
    pub role: ParamRole,
    /// `[O, I/groups, k, k]` for convolutions, `[O, I]` for linear, `[inputs]` for weighted sums, `[C]`
    /// otherwise.
    pub shape: Vec<usize>,
}

impl Conv {
    /// Whether every channel is convolved by itself.
    #[must_use]
    pub fn is_depthwise(&self) -> bool {
        self.groups == self.inputs && self.groups == self.outputs && self.groups > 1
    }

    /// Zeros before and after an axis of `input` pixels.
    #[must_use]
    pub fn pads(&self, input: usize) -> (usize, usize) {
        self.padding.pads(input, self.kernel, self.stride)
    }

    /// Length of the output axis for an input axis of `input` pixels (at least 1).
    #[must_use]
    pub fn output(&self, input: usize) -> usize {
        self.padding.output(input, self.kernel, self.stride)
    }
}

impl Padding {
    /// Pixels put before and after an axis of `input` pixels.
    #[must_use]
    pub fn pads(self, input: usize, kernel: usize, stride: usize) -> (usize, usize) {
        match self {
            Self::Same => {
                let out = input.div_ceil(stride);
                let total = ((out - 1) * stride + kernel).saturating_sub(input);
                (total / 2, total - total / 2)
            }
            Self::Symmetric => ((kernel - 1) / 2, (kernel - 1) / 2),
        }
    }

    /// Number of windows along an axis of `input` pixels (at least 1).
    #[must_use]
    pub fn output(self, input: usize, kernel: usize, stride: usize) -> usize {
        let (before, after) = self.pads(input, kernel, stride);
        (input + before + after - kernel) / stride + 1
    }
}

impl ParamRole {
    /// The last part of the parameter's name, as PyTorch has it.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Bias => "bias",
            Self::RunningMean => "running_mean",
            Self::RunningVar => "running_var",
        }
    }

    /// Whether an optimiser changes it. The published parameter counts count only these.
    #[must_use]
    pub fn is_trainable(self) -> bool {
        matches!(self, Self::Weight | Self::Bias)
    }
}

impl Node {
    /// The node's parameters, in a fixed order.
    #[must_use]
    pub fn param_specs(&self) -> Vec<ParamSpec> {
        use ParamRole::{Bias, RunningMean, RunningVar, Weight};
        let spec = |role: ParamRole, shape: &[usize]| ParamSpec {
            name: format!("{}.{}", self.params, role.suffix()),
            role,
            shape: shape.to_vec(),
        };
        match self.op {
            Op::Conv(c) => {
                let mut specs = vec![spec(Weight, &[c.outputs, c.inputs / c.groups, c.kernel, c.kernel])];
                if c.bias {
                    specs.push(spec(Bias, &[c.outputs]));
                }
                specs
            }
            Op::BatchNorm { channels, .. } => {
                [Weight, Bias, RunningMean, RunningVar].map(|role| spec(role, &[channels])).into()
            }
            Op::Linear { inputs, outputs } => {
                vec![spec(Weight, &[outputs, inputs]), spec(Bias, &[outputs])]
            }
            Op::WeightedSum { inputs, fusion: Fusion::FastAttention { .. } } => {
                vec![spec(Weight, &[inputs])]
            }
            _ => Vec::new(),
        }
    }

    /// The shape of the node's output, given those of its inputs. `input` is the picture's.
    fn extent(&self, input: Extent, inputs: &[Extent]) -> Extent {
        match self.op {
            Op::Input { channels } => Extent { channels, ..input },
            Op::Conv(c) => Extent {
                height: c.output(inputs[0].height),
                width: c.output(inputs[0].width),
                channels: c.outputs,
            },
            Op::GlobalAveragePool => Extent { height: 1, width: 1, ..inputs[0] },
            Op::Linear { outputs, .. } => Extent { channels: outputs, ..inputs[0] },
            Op::MaxPool { kernel, stride, padding, .. } => Extent {
                height: padding.output(inputs[0].height, kernel, stride),
                width: padding.output(inputs[0].width, kernel, stride),
                ..inputs[0]
            },
            Op::Upsample => Extent { channels: inputs[0].channels, ..inputs[1] },
            Op::BatchNorm { .. }
            | Op::Activation(_)
            | Op::Scale
            | Op::Add
            | Op::Dropout { .. }
            | Op::DropConnect { .. }
            | Op::WeightedSum { .. } => inputs[0],
        }
    }

    /// Multiply-accumulates of convolutions and linear layers; other operations count as none.
    fn macs(&self, output: Extent) -> u64 {
        let pixels = (output.height * output.width) as u64;
        match self.op {
            Op::Conv(c) => pixels * (c.outputs * (c.inputs / c.groups) * c.kernel * c.kernel) as u64,
            Op::Linear { inputs, outputs } => (inputs * outputs) as u64,
            _ => 0,
        }
    }
}

impl Graph {
    /// The node of a given id.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Ids and nodes in topological order.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(i, node)| (NodeId(i), node))
    }

    /// Finds a node by its name or by an endpoint's name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<NodeId> {
        let endpoint = self.endpoints.iter().find(|(endpoint, _)| endpoint == name).map(|(_, id)| *id);
        endpoint.or_else(|| self.nodes.iter().position(|node| node.name == name).map(NodeId))
    }

    /// Channels of the picture that the graph reads.
    ///
    /// # Panics
    /// When the first node is not the input, which no builder of this crate produces.
    #[must_use]
    pub fn input_channels(&self) -> usize {
        match self.nodes[0].op {
            Op::Input { channels } => channels,
            _ => panic!("a graph starts with its input"),
        }
    }

    /// The shape of every node's output for a picture of `height` × `width` (both at least 1).
    #[must_use]
    pub fn extents(&self, height: usize, width: usize) -> Vec<Extent> {
        let input = Extent { height, width, channels: self.input_channels() };
        let mut extents: Vec<Extent> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let inputs: Vec<Extent> = node.inputs.iter().map(|id| extents[id.0]).collect();
            extents.push(node.extent(input, &inputs));
        }
        extents
    }

    /// Every distinct parameter, in the order of the nodes; shared ones once.
    #[must_use]
    pub fn param_specs(&self) -> Vec<ParamSpec> {
        let mut seen = std::collections::HashSet::new();
        let specs = self.nodes.iter().flat_map(Node::param_specs);
        specs.filter(|spec| seen.insert(spec.name.clone())).collect()
    }

    /// Number of trainable values (BatchNorm's moving statistics are not counted).
    #[must_use]
    pub fn param_count(&self) -> u64 {
        let specs = self.param_specs();
        let trainable = specs.iter().filter(|spec| spec.role.is_trainable());
        trainable.map(|spec| spec.shape.iter().product::<usize>() as u64).sum()
    }

    /// Multiply-accumulates of each node for one picture: convolutions and linear layers.
    #[must_use]
    pub fn node_macs(&self, height: usize, width: usize) -> Vec<u64> {
        let extents = self.extents(height, width);
        self.nodes.iter().zip(extents).map(|(node, extent)| node.macs(extent)).collect()
    }

    /// The most bytes of `f32` activations that live at once when nodes run one by one in order, for
    /// one picture: each from the node that makes it to the last that reads it, outputs to the end.
    ///
    /// This counts the graph as it stands; fusing nodes needs less.
    #[must_use]
    pub fn peak_activation_bytes(&self, height: usize, width: usize) -> u64 {
        let mut last_read: Vec<usize> = (0..self.nodes.len()).collect();
        for (id, node) in self.iter() {
            for input in &node.inputs {
                last_read[input.0] = id.0;
            }
        }
        for output in &self.outputs {
            last_read[output.0] = self.nodes.len();
        }
        let extents = self.extents(height, width);
        let bytes = |e: Extent| (e.height * e.width * e.channels * size_of::<f32>()) as u64;
        let (mut live, mut peak) = (0, 0);
        for now in 0..self.nodes.len() {
            live += bytes(extents[now]);
            peak = peak.max(live);
            // What is read here for the last time; a node nobody reads ends with itself.
            let mut dying: Vec<usize> = self.nodes[now].inputs.iter().map(|id| id.0).collect();
            dying.push(now);
            dying.dedup();
            dying.retain(|&id| last_read[id] == now);
            live -= dying.iter().map(|&id| bytes(extents[id])).sum::<u64>();
        }
        peak
    }

    /// Multiply-accumulates for one picture: convolutions and linear layers.
    #[must_use]
    pub fn macs(&self, height: usize, width: usize) -> u64 {
        self.node_macs(height, width).iter().sum()
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}×{}", self.height, self.width, self.channels)
    }
}
