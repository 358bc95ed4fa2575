//! A graph as the engine sees it: a list of units that each compute a value, in order.

use std::borrow::Cow;
use std::collections::HashMap;

use effigy_arch::{Border, Conv, Fusion, Graph, Node, NodeId, Op, Padding, ParamSpec};
use effigy_kernels::Activation;
use effigy_kernels::int8::Quant;

use crate::error::EngineError;
use crate::model::Parameters;

/// Units in the order of their execution. A value is named by the graph's node whose output it is.
pub(crate) struct Program<'a> {
    pub(crate) units: Vec<Unit<'a>>,
    /// Values to hand out: the graph's outputs, then the taps.
    pub(crate) results: Vec<NodeId>,
    /// What the bytes of a value stand for, where it is one of bytes.
    pub(crate) quants: HashMap<NodeId, Quant>,
    /// Of which value the i-th behind the graph's last node is a copy, in other numbers.
    pub(crate) copies: Vec<NodeId>,
}

/// One operation to execute.
pub(crate) struct Unit<'a> {
    /// The value that the unit computes.
    pub(crate) value: NodeId,
    pub(crate) kind: Kind<'a>,
    /// The values that it reads, in the order of the operation.
    pub(crate) inputs: Vec<NodeId>,
}

pub(crate) enum Kind<'a> {
    /// The caller's pictures.
    Input,
    /// A dense convolution or linear layer, and what has been fused into it.
    Dense(Dense<'a>),
    /// A depthwise convolution, and what has been fused into it.
    Depthwise(Depthwise<'a>),
    /// BatchNorm as a scale and a shift.
    Affine {
        scale: Vec<f32>,
        shift: Vec<f32>,
    },
    Activation(Activation),
    Mean,
    Scale,
    Add,
    MaxPool(MaxPool),
    /// Nearest neighbour, to the size of the second input.
    Upsample,
    WeightedSum(WeightedSum),
    /// Separable convolutions that do not read each other; the unit reads what each reads, in order.
    Separable(Vec<Separable<'a>>),
    /// Three convolutions of bytes.
    Block(Box<Block<'a>>),
    /// Floats as bytes.
    Quantise,
    /// Bytes as floats.
    Dequantise,
}

/// The largest value of every window; `border` where a window passes the map's edge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxPool {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: Padding,
    pub(crate) border: f32,
}

/// `activation(Σ weightᵢ · inputᵢ)`.
#[derive(Clone, Debug)]
pub(crate) struct WeightedSum {
    pub(crate) weights: Vec<f32>,
    pub(crate) activation: Activation,
}

/// A convolution's weights `[O, I/groups, k, k]`: where they are, and what is to be done to them when they are
/// packed. They are most of a network, so nothing before that copies them.
pub(crate) struct Weights<'a> {
    parameters: &'a dyn Parameters,
    node: &'a Node,
    spec: ParamSpec,
    /// A factor for each output.
    scale: Option<Vec<f32>>,
}

/// `activation(weights ∗ (input · gate) + bias) + residual`.
pub(crate) struct Dense<'a> {
    pub(crate) conv: Conv,
    pub(crate) weights: Weights<'a>,
    pub(crate) bias: Vec<f32>,
    pub(crate) activation: Activation,
    pub(crate) gate: Option<NodeId>,
    pub(crate) residual: Option<NodeId>,
}

/// `activation(weights ∗ input + bias)`, the input expanded first where there is an expansion.
pub(crate) struct Depthwise<'a> {
    /// A 1×1 convolution between the input and this one.
    pub(crate) expand: Option<Dense<'a>>,
    pub(crate) conv: Conv,
    pub(crate) weights: Weights<'a>,
    pub(crate) bias: Vec<f32>,
    pub(crate) activation: Activation,
    /// The output's mean over height and width, computed alongside.
    pub(crate) mean: Option<NodeId>,
}

impl Weights<'_> {
    /// Multiplies what belongs to output o by `factors[o]`.
    pub(crate) fn scale(&mut self, factors: &[f32]) {
        match &mut self.scale {
            Some(scale) => scale.iter_mut().zip(factors).for_each(|(scale, factor)| *scale *= factor),
            None => self.scale = Some(factors.to_vec()),
        }
    }

    /// Whether others are the same numbers: nodes may share parameters.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.spec.name == other.spec.name && self.scale == other.scale
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.spec.shape.iter().product()
    }

    /// Shows the values in row-major order, and the factors of the outputs, to `pack`, after which they are
    /// not needed any more.
    pub(crate) fn read<R>(&self, pack: impl FnOnce(&[f32], Option<&[f32]>) -> R) -> Result<R, EngineError> {
        let ParamSpec { name, shape, .. } = &self.spec;
        let values = parameter(self.node, name, shape, self.parameters)?;
        let packed = pack(&values, self.scale.as_deref());
        self.parameters.release(name);
        Ok(packed)
    }
}

/// A depthwise convolution and a 1×1 one after it, of a map, of a sum or of what is expanded.
pub(crate) struct Separable<'a> {
    pub(crate) value: NodeId,
    /// The map, or what is added.
    pub(crate) inputs: Vec<NodeId>,
    pub(crate) sum: Option<FusedSum>,
    pub(crate) depthwise: Depthwise<'a>,
    pub(crate) pointwise: Dense<'a>,
}

/// Three convolutions of bytes, each of which reads what the one before it computes.
pub(crate) struct Block<'a> {
    pub(crate) expand: Dense<'a>,
    /// What that computes.
    pub(crate) expanded: NodeId,
    pub(crate) depthwise: Depthwise<'a>,
    /// What that computes.
    pub(crate) between: NodeId,
    /// A 1×1 convolution, which computes the unit's value.
    pub(crate) project: Dense<'a>,
}

/// A weighted sum of which a row is made where it is read.
#[derive(Clone, Debug)]
pub(crate) struct FusedSum {
    pub(crate) weights: Vec<f32>,
    pub(crate) activation: Activation,
    /// Max-pooling of each input on the way.
    pub(crate) pools: Vec<Option<MaxPool>>,
}

impl Unit<'_> {
    /// Every value that the unit reads, fused ones included.
    pub(crate) fn reads(&self) -> impl Iterator<Item = NodeId> + '_ {
        let fused = match &self.kind {
            Kind::Dense(dense) => [dense.gate, dense.residual],
            Kind::Separable(all) => [all[0].pointwise.residual, None],
            Kind::Block(block) => [block.project.residual, None],
            _ => [None, None],
        };
        self.inputs.iter().copied().chain(fused.into_iter().flatten())
    }

    /// Every value that the unit computes.
    pub(crate) fn writes(&self) -> impl Iterator<Item = NodeId> + '_ {
        let (mean, others) = match &self.kind {
            Kind::Depthwise(depthwise) => (depthwise.mean, &[][..]),
            Kind::Separable(all) => (None, &all[1..]),
            _ => (None, &[][..]),
        };
        std::iter::once(self.value).chain(mean).chain(others.iter().map(|other| other.value))
    }
}

impl<'a> Program<'a> {
    /// One unit per node. Dropout, which does nothing at inference, is left out.
    pub(crate) fn lower(
        graph: &'a Graph,
        parameters: &'a dyn Parameters,
        taps: &[String],
    ) -> Result<Self, EngineError> {
        let mut same_as: HashMap<NodeId, NodeId> = HashMap::new();
        let mut units = Vec::new();
        for (value, node) in graph.iter() {
            let inputs: Vec<NodeId> = node.inputs.iter().map(|id| *same_as.get(id).unwrap_or(id)).collect();
            match lower_node(node, parameters)? {
                Some(kind) => units.push(Unit { value, kind, inputs }),
                None => {
                    same_as.insert(value, inputs[0]);
                }
            }
        }
        let mut results = graph.outputs.clone();
        for tap in taps {
            results.push(graph.find(tap).ok_or_else(|| EngineError::UnknownTap(tap.clone()))?);
        }
        for id in &mut results {
            *id = *same_as.get(id).unwrap_or(id);
        }
        Ok(Self { units, results, quants: HashMap::new(), copies: Vec::new() })
    }

    /// How often a value is read, being handed out included.
    pub(crate) fn uses(&self, value: NodeId) -> usize {
        let read = self.units.iter().flat_map(Unit::reads).filter(|id| *id == value).count();
        read + self.results.iter().filter(|id| **id == value).count()
    }

    /// The position of the unit that computes `value`, if nothing but one other unit reads that value.
    pub(crate) fn sole_producer(&self, value: NodeId) -> Option<usize> {
        let position = self.units.iter().position(|unit| unit.value == value)?;
        (self.uses(value) == 1).then_some(position)
    }
}

/// The operation of a node, or none where it is the identity.
fn lower_node<'a>(node: &'a Node, parameters: &'a dyn Parameters) -> Result<Option<Kind<'a>>, EngineError> {
    let specs = node.param_specs();
    let read = |i: usize| parameter(node, &specs[i].name, &specs[i].shape, parameters);
    let weights = || Weights { parameters, node, spec: specs[0].clone(), scale: None };
    Ok(Some(match node.op {
        Op::Input { .. } => Kind::Input,
        Op::Conv(conv) => {
            let weights = weights();
            let bias = if conv.bias { read(1)?.into_owned() } else { vec![0.0; conv.outputs] };
            if conv.is_depthwise() {
                let activation = Activation::Identity;
                Kind::Depthwise(Depthwise { expand: None, conv, weights, bias, activation, mean: None })
            } else if conv.groups == 1 {
                Kind::Dense(Dense::plain(conv, weights, bias))
            } else {
                return Err(EngineError::Groups { node: node.name.clone(), groups: conv.groups });
            }
        }
        Op::Linear { inputs, outputs } => {
            let conv =
                Conv { inputs, outputs, kernel: 1, stride: 1, groups: 1, padding: Padding::Same, bias: true };
            Kind::Dense(Dense::plain(conv, weights(), read(1)?.into_owned()))
        }
        Op::BatchNorm { epsilon, .. } => {
            let (gamma, beta, mean, variance) = (read(0)?, read(1)?, read(2)?, read(3)?);
            let scale: Vec<f32> = gamma
                .iter()
                .zip(&*variance)
                .map(|(gamma, variance)| gamma / (variance + epsilon).sqrt())
                .collect();
            let shift = beta.iter().zip(&*mean).zip(&scale).map(|((beta, mean), scale)| beta - mean * scale);
            Kind::Affine { shift: shift.collect(), scale }
        }
        Op::Activation(function) => Kind::Activation(match function {
            effigy_arch::Activation::Relu => Activation::Relu,
            effigy_arch::Activation::Relu6 => Activation::Relu6,
            effigy_arch::Activation::Swish => Activation::Swish,
            effigy_arch::Activation::Sigmoid => Activation::Sigmoid,
        }),
        Op::GlobalAveragePool => Kind::Mean,
        Op::Scale => Kind::Scale,
        Op::Add => Kind::Add,
        Op::MaxPool { kernel, stride, padding, border } => {
            let border = match border {
                Border::NegativeInfinity => f32::NEG_INFINITY,
                Border::Zero => 0.0,
            };
            Kind::MaxPool(MaxPool { kernel, stride, padding, border })
        }
        Op::Upsample => Kind::Upsample,
        Op::WeightedSum { inputs, fusion } => {
            let weights = match fusion {
                Fusion::Sum => vec![1.0; inputs],
                Fusion::FastAttention { epsilon } => normalised(&read(0)?, epsilon),
            };
            Kind::WeightedSum(WeightedSum { weights, activation: Activation::Identity })
        }
        Op::Dropout { .. } | Op::DropConnect { .. } => return Ok(None),
    }))
}

/// `max(wᵢ, 0) / (Σ max(wᵢ, 0) + epsilon)`: known once the weights are.
fn normalised(weights: &[f32], epsilon: f32) -> Vec<f32> {
    let sum: f32 = weights.iter().map(|weight| weight.max(0.0)).sum();
    weights.iter().map(|weight| weight.max(0.0) / (sum + epsilon)).collect()
}

fn parameter<'a>(
    node: &Node,
    name: &str,
    shape: &[usize],
    parameters: &'a dyn Parameters,
) -> Result<Cow<'a, [f32]>, EngineError> {
    let values = parameters
        .parameter(name)
        .ok_or_else(|| EngineError::MissingParameter { node: node.name.clone(), name: name.to_owned() })?;
    let expected = shape.iter().product();
    if values.len() != expected {
        return Err(EngineError::ParameterLength {
            node: node.name.clone(),
            name: name.to_owned(),
            shape: shape.to_vec(),
            expected,
            actual: values.len(),
        });
    }
    Ok(values)
}

impl<'a> Dense<'a> {
    fn plain(conv: Conv, weights: Weights<'a>, bias: Vec<f32>) -> Self {
        Self { conv, weights, bias, activation: Activation::Identity, gate: None, residual: None }
    }
}
