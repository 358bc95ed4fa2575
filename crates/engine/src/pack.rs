//! From units to steps: every unit's weights are read, scaled and packed, by all threads.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use effigy_arch::{Conv, NodeId};
use effigy_kernels::int8::Quant;
use effigy_kernels::{Announced, ConvShape, Cpu, Isa, PackedConv, PackedDepthwise};
use effigy_tensor::Arena;

use crate::error::EngineError;
use crate::model::{Expand, Operation, Step};
use crate::precision::Precision;
use crate::program::{Dense, Depthwise, Kind, Unit};
use crate::quantised::Quantised;
use crate::separable;

/// What weights are packed for.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) isa: Isa,
    pub(crate) precision: Precision,
}

/// Packs the units, in their order; `results` are handed out.
///
/// # Errors
/// When a unit's weights are missing or have the wrong length.
pub(crate) fn steps(
    cpu: &Cpu,
    precision: Precision,
    quants: &HashMap<NodeId, Quant>,
    units: Vec<Unit<'_>>,
    results: &[NodeId],
) -> Result<Vec<Step>, EngineError> {
    let target = Target { isa: cpu.isa, precision };
    // The largest first, so that all threads end at about the same time.
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by_key(|&i| Reverse(weight_count(&units[i].kind)));
    // Packed weights are a little more than weights: outputs fill whole vectors. What is left over of the
    // arena is never touched.
    let bytes = size_of::<f32>() * units.iter().map(|unit| weight_count(&unit.kind)).sum::<usize>();
    let arena = Arena::with_capacity(bytes + bytes / 4 + (1 << 20));

    let units: Vec<Mutex<Option<Unit<'_>>>> = units.into_iter().map(|unit| Mutex::new(Some(unit))).collect();
    let steps: Vec<OnceLock<Result<Step, EngineError>>> = units.iter().map(|_| OnceLock::new()).collect();
    cpu.pool.run(units.len(), |task| {
        let i = order[task];
        let unit = units[i].lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Unit { value, kind, inputs }) = unit {
            let operation = arena.scope(|| operation(target, quants, value, &inputs, kind));
            let step = operation.map(|operation| Step { value, inputs, operation });
            // A task runs once, so nothing is there yet.
            let _ = steps[i].set(step);
        }
    });
    let mut steps = steps.into_iter().filter_map(OnceLock::into_inner).collect::<Result<Vec<_>, _>>()?;
    announce(&mut steps);
    feed(&mut steps, results);
    Ok(steps)
}

/// How many convolutions a convolution is told of: a block's, with those of its squeeze and excitation.
const ANNOUNCED: usize = 4;

/// Tells every convolution which weights are read after its own.
fn announce(steps: &mut [Step]) {
    let mut convs: Vec<_> = steps.iter_mut().filter_map(|step| step.operation.dense()).collect();
    let stretches: Vec<_> = convs.iter().map(|conv| conv.stretch()).collect();
    for (i, conv) in convs.iter_mut().enumerate() {
        conv.announce(stretches.iter().skip(i + 1).take(ANNOUNCED).copied().collect());
    }
}

/// Leaves the pictures to the step that reads them, where it is the only one and can bring their rows itself.
fn feed(steps: &mut [Step], results: &[NodeId]) {
    let Some(input) = steps.iter().position(|step| matches!(step.operation, Operation::Input)) else {
        return;
    };
    let value = steps[input].value;
    let can_bring = |step: &Step| match &step.operation {
        Operation::Depthwise { expand, .. } => expand.is_some(),
        Operation::Separable(all) => all[0].expands(),
        _ => false,
    };
    let mut readers = steps.iter().filter(|step| step.reads().any(|read| read == value));
    if readers.next().is_some_and(can_bring) && readers.next().is_none() && !results.contains(&value) {
        steps[input].operation = Operation::Fed;
    }
}

/// Packs a unit: one of bytes where its values are, or else one of floats.
fn operation(
    target: Target,
    quants: &HashMap<NodeId, Quant>,
    value: NodeId,
    inputs: &[NodeId],
    kind: Kind<'_>,
) -> Result<Operation, EngineError> {
    match Quantised::pack(target.isa, quants, value, inputs, kind) {
        Ok(quantised) => Ok(Operation::Quantised(Box::new(quantised?))),
        Err(kind) => Operation::pack(target, *kind),
    }
}

/// Numbers that packing a unit reads.
fn weight_count(kind: &Kind<'_>) -> usize {
    match kind {
        Kind::Dense(dense) => dense.weights.len(),
        Kind::Depthwise(depthwise) => depthwise.weight_count(),
        Kind::Separable(all) => all
            .iter()
            .map(|separable| separable.depthwise.weight_count() + separable.pointwise.weights.len())
            .sum(),
        Kind::Block(block) => {
            block.expand.weights.len() + block.depthwise.weight_count() + block.project.weights.len()
        }
        _ => 0,
    }
}

impl Depthwise<'_> {
    fn weight_count(&self) -> usize {
        self.weights.len() + self.expand.as_ref().map_or(0, |expand| expand.weights.len())
    }
}

impl Operation {
    /// The dense convolution that it is, or begins with.
    fn dense(&mut self) -> Option<&mut dyn Announced> {
        match self {
            Self::Dense { packed, .. } => Some(packed),
            Self::Depthwise { expand: Some(expand), .. } => Some(&mut expand.packed),
            Self::Quantised(quantised) => match &mut **quantised {
                Quantised::Dense { packed, .. } => Some(packed),
                Quantised::Block(block) => Some(&mut block.expand.1),
                _ => None,
            },
            _ => None,
        }
    }

    fn pack(target: Target, kind: Kind<'_>) -> Result<Self, EngineError> {
        Ok(match kind {
            Kind::Input => Self::Input,
            Kind::Dense(dense) => Self::Dense {
                conv: dense.conv,
                packed: pack_dense(target, &dense)?,
                activation: dense.activation,
                gate: dense.gate,
                residual: dense.residual,
            },
            Kind::Depthwise(depthwise) => Self::Depthwise {
                expand: pack_expand(target, &depthwise)?,
                conv: depthwise.conv,
                packed: pack_depthwise(target.isa, &depthwise)?,
                activation: depthwise.activation,
                mean: depthwise.mean,
            },
            Kind::Affine { scale, shift } => Self::Affine { scale, shift },
            Kind::Activation(function) => Self::Activation(function),
            Kind::Mean => Self::Mean,
            Kind::Scale => Self::Scale,
            Kind::Add => Self::Add,
            Kind::MaxPool(pool) => Self::MaxPool(pool),
            Kind::Upsample => Self::Upsample,
            Kind::WeightedSum(sum) => Self::WeightedSum(sum),
            Kind::Block(_) | Kind::Quantise | Kind::Dequantise => {
                unreachable!("`Quantised::pack` takes them")
            }
            Kind::Separable(all) => Self::Separable(separable::pack(target, &all)?),
        })
    }
}

pub(crate) fn pack_dense(target: Target, dense: &Dense<'_>) -> Result<PackedConv, EngineError> {
    let Conv { inputs, outputs, kernel, stride, .. } = dense.conv;
    let shape = ConvShape { inputs, outputs, kernel, stride };
    let pack = match target.precision {
        // All of them: in fp32, neither the stem nor the classifier made Lite0 any better.
        Precision::Bf16 => PackedConv::bf16,
        Precision::Fp32 | Precision::Int8 => PackedConv::scaled,
    };
    dense.weights.read(|weights, scale| pack(target.isa, shape, weights, scale, &dense.bias))
}

/// What is expanded for a depthwise convolution.
pub(crate) fn pack_expand(target: Target, depthwise: &Depthwise<'_>) -> Result<Option<Expand>, EngineError> {
    let pack = |dense: &Dense<'_>| {
        let packed = pack_dense(target, dense)?;
        Ok(Expand { conv: dense.conv, packed, activation: dense.activation })
    };
    depthwise.expand.as_ref().map(pack).transpose()
}

pub(crate) fn pack_depthwise(isa: Isa, depthwise: &Depthwise<'_>) -> Result<PackedDepthwise, EngineError> {
    let Conv { kernel, stride, .. } = depthwise.conv;
    depthwise.weights.read(|weights, scale| {
        PackedDepthwise::new(isa, kernel, stride, &scaled(weights, scale), &depthwise.bias)
    })
}

/// The weights of every output multiplied by its factor. A depthwise convolution's are few.
pub(crate) fn scaled<'a>(weights: &'a [f32], scale: Option<&[f32]>) -> Cow<'a, [f32]> {
    let Some(scale) = scale else { return Cow::Borrowed(weights) };
    let rows = weights.chunks_exact(weights.len() / scale.len());
    rows.zip(scale).flat_map(|(row, scale)| row.iter().map(move |weight| weight * scale)).collect()
}
