//! A graph as training sees it: a list of units that each compute a value, in order, with what belongs together
//! fused.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use effigy_arch::{Border, Conv, Fusion, Graph, Node, NodeId, Op, Padding};
use effigy_kernels::Activation;

use crate::parameters::Slot;

/// Units in the order of their execution. A value is named by the graph's node whose output it is.
pub(super) struct Program {
    pub(super) units: Vec<Unit>,
    /// Values to hand out.
    pub(super) outputs: Vec<NodeId>,
}

/// One operation to execute.
pub(super) struct Unit {
    /// The value that the unit computes.
    pub(super) value: NodeId,
    pub(super) operation: Operation,
    /// The values that it reads, in the order of the operation.
    pub(super) inputs: Vec<NodeId>,
    /// Whether a parameter of the unit, or of one before it that it depends on, is trained.
    pub(super) learns: bool,
}

pub(super) enum Operation {
    /// The caller's pictures.
    Input,
    /// A dense convolution or linear layer; a second input is a gate on the first.
    Dense(Convolution),
    Depthwise(Convolution),
    /// BatchNorm and what follows it; a second input is a residual.
    Norm(Norm),
    Activation(Activation),
    Mean,
    Scale,
    Add,
    /// Single values, or whole images, are dropped.
    Dropout {
        rate: f32,
    },
    DropConnect {
        rate: f32,
    },
    MaxPool(MaxPool),
    /// Nearest neighbour, to the size of the second input.
    Upsample,
    WeightedSum(WeightedSum),
}

/// Where a parameter lies, and whether it gets a gradient.
#[derive(Clone, Debug)]
pub(super) struct Param {
    pub(super) range: Range<usize>,
    pub(super) trained: bool,
}

pub(super) struct Convolution {
    pub(super) conv: Conv,
    pub(super) weight: Param,
    pub(super) bias: Option<Param>,
    /// A BatchNorm, and what follows it, that scales the weights and moves the bias; nothing of either is trained.
    pub(super) norm: Option<Norm>,
}

/// `activation(norm(x)) · keep + residual`, and the result's mean over height and width.
#[derive(Clone)]
pub(super) struct Norm {
    pub(super) epsilon: f32,
    pub(super) momentum: f32,
    pub(super) weight: Param,
    pub(super) bias: Param,
    pub(super) mean: Range<usize>,
    pub(super) variance: Range<usize>,
    /// Whether the moving statistics stay as they are and normalise in training too.
    pub(super) frozen: bool,
    pub(super) activation: Activation,
    /// The probability that drop-connect drops an image, before the residual is added.
    pub(super) drop: Option<f32>,
    pub(super) means: Option<NodeId>,
}

/// The largest value of every window; `border` where a window passes the map's edge.
#[derive(Clone, Copy)]
pub(super) struct MaxPool {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: Padding,
    pub(super) border: f32,
}

pub(super) struct WeightedSum {
    /// The parameters of fast normalised fusion, and its epsilon; none where the sum is plain.
    pub(super) weights: Option<(Param, f32)>,
}

impl Operation {
    /// What a profile calls it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Dense(_) => "dense",
            Self::Depthwise(_) => "depthwise",
            Self::Norm(_) => "norm",
            Self::Activation(_) => "activation",
            Self::Mean => "mean",
            Self::Scale => "scale",
            Self::Add => "add",
            Self::Dropout { .. } => "dropout",
            Self::DropConnect { .. } => "drop-connect",
            Self::MaxPool(_) => "max-pool",
            Self::Upsample => "upsample",
            Self::WeightedSum(_) => "weighted sum",
        }
    }

    fn params(&self) -> Vec<&Param> {
        match self {
            Self::Dense(conv) | Self::Depthwise(conv) => {
                [&conv.weight].into_iter().chain(&conv.bias).collect()
            }
            Self::Norm(norm) => vec![&norm.weight, &norm.bias],
            Self::WeightedSum(WeightedSum { weights: Some((param, _)) }) => vec![param],
            _ => Vec::new(),
        }
    }

    /// Where the parameters lie whose gradients are few: those of whole channels.
    pub(super) fn small_params(&self) -> Vec<Range<usize>> {
        let small = match self {
            Self::Dense(conv) | Self::Depthwise(conv) => conv.bias.iter().collect(),
            _ => self.params(),
        };
        small.iter().map(|param| param.range.clone()).collect()
    }

    /// Whether the way back reads input `index` of the operation.
    pub(super) fn keeps(&self, index: usize) -> bool {
        match self {
            Self::Dense(conv) | Self::Depthwise(conv) => conv.weight.trained || index == 1,
            Self::Norm(_) => index == 0,
            Self::Activation(_) | Self::Scale | Self::MaxPool(_) => true,
            Self::WeightedSum(sum) => sum.weights.as_ref().is_some_and(|(param, _)| param.trained),
            _ => false,
        }
    }
}

impl Unit {
    /// Every value that the unit computes.
    pub(super) fn writes(&self) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::once(self.value).chain(self.means())
    }

    /// The means that are computed alongside.
    pub(super) fn means(&self) -> Option<NodeId> {
        match &self.operation {
            Operation::Norm(norm) => norm.means,
            _ => None,
        }
    }

    /// Whether the second input scales the first.
    pub(super) fn gate(&self) -> Option<NodeId> {
        match &self.operation {
            Operation::Dense(_) => self.inputs.get(1).copied(),
            _ => None,
        }
    }
}

impl Program {
    /// One unit per node, then fused. `frozen` names parameters that stay as they are.
    pub(super) fn new(graph: &Graph, slots: &[Slot], frozen: &HashSet<String>) -> Self {
        let places: HashMap<&str, &Slot> = slots.iter().map(|slot| (slot.spec.name.as_str(), slot)).collect();
        let param = |name: String| {
            let slot = places[name.as_str()];
            let trained = slot.spec.role.is_trainable() && !frozen.contains(&name);
            Param { range: slot.range.clone(), trained }
        };
        let units = graph
            .iter()
            .map(|(value, node)| Unit {
                value,
                operation: lower(node, &param, frozen),
                inputs: node.inputs.clone(),
                learns: false,
            })
            .collect();
        let mut program = Self { units, outputs: graph.outputs.clone() };
        super::fuse::fuse(&mut program);
        program.find_learners();
        super::fuse::fold(&mut program);
        program
    }

    /// For each unit the BatchNorm that normalises its value by the batch's statistics.
    pub(super) fn counted_by(&self) -> Vec<Option<usize>> {
        let mut counted_by = vec![None; self.units.len()];
        for (position, unit) in self.units.iter().enumerate() {
            if matches!(&unit.operation, Operation::Norm(norm) if !norm.frozen) {
                counted_by[self.producer(unit.inputs[0])] = Some(position);
            }
        }
        counted_by
    }

    fn find_learners(&mut self) {
        let mut learning = HashSet::new();
        for unit in &mut self.units {
            let reads = unit.inputs.iter().any(|input| learning.contains(input));
            unit.learns = reads || unit.operation.params().iter().any(|param| param.trained);
            if unit.learns {
                learning.extend(unit.writes());
            }
        }
    }

    /// How often a value is read, being handed out included.
    pub(super) fn uses(&self, value: NodeId) -> usize {
        let read = self.units.iter().flat_map(|unit| &unit.inputs).filter(|id| **id == value).count();
        read + self.outputs.iter().filter(|id| **id == value).count()
    }

    /// The position of the unit that computes `value`.
    pub(super) fn producer(&self, value: NodeId) -> usize {
        let position = self.units.iter().position(|unit| unit.writes().any(|written| written == value));
        position.expect("a unit reads what an earlier one wrote")
    }
}

fn lower(node: &Node, param: &impl Fn(String) -> Param, frozen: &HashSet<String>) -> Operation {
    let specs = node.param_specs();
    let read = |i: usize| param(specs[i].name.clone());
    match node.op {
        Op::Input { .. } => Operation::Input,
        Op::Conv(conv) => {
            let convolution =
                Convolution { conv, weight: read(0), bias: conv.bias.then(|| read(1)), norm: None };
            if conv.is_depthwise() {
                Operation::Depthwise(convolution)
            } else {
                Operation::Dense(convolution)
            }
        }
        Op::Linear { inputs, outputs } => {
            let conv =
                Conv { inputs, outputs, kernel: 1, stride: 1, groups: 1, padding: Padding::Same, bias: true };
            Operation::Dense(Convolution { conv, weight: read(0), bias: Some(read(1)), norm: None })
        }
        Op::BatchNorm { epsilon, momentum, .. } => Operation::Norm(Norm {
            epsilon,
            momentum,
            weight: read(0),
            bias: read(1),
            mean: read(2).range,
            variance: read(3).range,
            frozen: frozen.contains(&specs[2].name),
            activation: Activation::Identity,
            drop: None,
            means: None,
        }),
        Op::Activation(function) => Operation::Activation(match function {
            effigy_arch::Activation::Relu => Activation::Relu,
            effigy_arch::Activation::Relu6 => Activation::Relu6,
            effigy_arch::Activation::Swish => Activation::Swish,
            effigy_arch::Activation::Sigmoid => Activation::Sigmoid,
        }),
        Op::GlobalAveragePool => Operation::Mean,
        Op::Scale => Operation::Scale,
        Op::Add => Operation::Add,
        Op::Dropout { rate } => Operation::Dropout { rate },
        Op::DropConnect { rate } => Operation::DropConnect { rate },
        Op::MaxPool { kernel, stride, padding, border } => {
            let border = match border {
                Border::NegativeInfinity => f32::NEG_INFINITY,
                Border::Zero => 0.0,
            };
            Operation::MaxPool(MaxPool { kernel, stride, padding, border })
        }
        Op::Upsample => Operation::Upsample,
        Op::WeightedSum { fusion, .. } => Operation::WeightedSum(WeightedSum {
            weights: match fusion {
                Fusion::Sum => None,
                Fusion::FastAttention { epsilon } => Some((read(0), epsilon)),
            },
        }),
    }
}
