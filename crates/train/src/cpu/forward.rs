//! Running a unit: what has to be known of the whole batch, then its images, a few at a time.

use effigy_arch::Conv;
use effigy_gradients::{self as gradients, Batch, Normalised, Statistics};
use effigy_kernels::{
    Activation, ConvShape, Epilogue, Layout, MAX_TERMS, PackedConv, PackedDepthwise, View, Window, conv2d,
    depthwise, max_pool, weighted_sum,
};
use effigy_tensor::{AlignedBuf, Tensor};

use super::memory::Memory;
use super::profile::Work;
use super::program::{Convolution, MaxPool, Norm, Operation, WeightedSum};
use super::{CpuDevice, TrainingPrecision, stream};
use crate::Parameters;

/// What a unit has made of its parameters for a batch.
pub(super) enum Prepared {
    Nothing,
    /// With room for gated weights.
    Dense(PackedConv, AlignedBuf),
    Depthwise(PackedDepthwise),
    /// What drop-connect keeps of every image, `[N, C]`.
    Keep(Option<Vec<f32>>),
    Weights(Vec<f32>),
}

impl CpuDevice {
    /// Prepares the unit at `position` for a batch; a BatchNorm's statistics move.
    pub(super) fn prepare(
        &mut self,
        position: usize,
        parameters: &mut Parameters,
        memory: &Memory,
    ) -> Prepared {
        let Self { cpu, precision, program, batches, statistics, seed, .. } = self;
        let unit = &program.units[position];
        let values = parameters.values();
        let keep = |rate: f32, layout: Layout| {
            let stream = seed.map(|seed| stream(seed, position));
            stream.map(|stream| gradients::drop_connect(stream, rate, layout.images, layout.channels))
        };
        match &unit.operation {
            Operation::Dense(convolution) => {
                let weights = &values[convolution.weight.range.clone()];
                let (scale, bias) = folded(convolution, values);
                let shape = shape(&convolution.conv);
                let pack = match precision {
                    TrainingPrecision::Fp32 => PackedConv::scaled,
                    TrainingPrecision::Bf16 => PackedConv::bf16,
                };
                let packed = pack(cpu.isa, shape, weights, scale.as_deref(), &bias);
                let scratch = unit.gate().map_or(0, |_| packed.scratch_len());
                Prepared::Dense(packed, AlignedBuf::zeroed(scratch))
            }
            Operation::Depthwise(convolution) => {
                let Conv { kernel, stride, .. } = convolution.conv;
                let mut weights = values[convolution.weight.range.clone()].to_vec();
                let (scale, bias) = folded(convolution, values);
                for (weights, scale) in weights.chunks_exact_mut(kernel * kernel).zip(scale.iter().flatten())
                {
                    weights.iter_mut().for_each(|weight| *weight *= scale);
                }
                Prepared::Depthwise(PackedDepthwise::new(cpu.isa, kernel, stride, &weights, &bias))
            }
            Operation::Norm(norm) => {
                let x = memory.layout(unit.inputs[0]);
                let keep = norm.drop.and_then(|rate| keep(rate, x));
                if let Some(counted) = statistics[position].take() {
                    let (mean, variance) = counted.finish();
                    move_statistics(norm, parameters.values_mut(), &mean, &variance, x);
                    batches[position] = batch(norm, parameters.values(), &mean, &variance);
                } else {
                    let (mean, variance) = (&values[norm.mean.clone()], &values[norm.variance.clone()]);
                    batches[position] = batch(norm, values, mean, variance);
                }
                Prepared::Keep(keep)
            }
            Operation::DropConnect { rate } => Prepared::Keep(keep(*rate, memory.layout(unit.value))),
            Operation::WeightedSum(sum) => Prepared::Weights(weights(sum, values, unit.inputs.len())),
            _ => Prepared::Nothing,
        }
    }

    /// Computes the value of the unit at `position`, of the images that `memory` is at.
    pub(super) fn forward_unit(
        &mut self,
        position: usize,
        prepared: &mut Prepared,
        input: &Tensor,
        memory: &mut Memory,
    ) {
        let Self { cpu, program, batches, seed, .. } = self;
        let unit = &program.units[position];
        let mut to = memory.take_value(unit.value);
        let mut view = to.view();
        let from = |index: usize| memory.value(unit.inputs[index]);
        match (&unit.operation, prepared) {
            (Operation::Input, _) => {
                let Layout { images, height, width, channels, .. } = view.layout;
                let dense = Layout::dense(images, height, width, channels);
                let first = memory.images.start * dense.image_pitch();
                effigy_kernels::copy(cpu, View::new(&input.data()[first..], dense), &mut view);
            }
            (Operation::Dense(Convolution { conv, norm, .. }), Prepared::Dense(packed, scratch)) => {
                let gate = unit.gate().map(|gate| (memory.vector(gate), scratch));
                let then = Epilogue { activation: activation(norm), ..Epilogue::default() };
                conv2d(cpu, packed, from(0), padding(conv, from(0)), gate, &mut view, then);
            }
            (Operation::Depthwise(Convolution { conv, norm, .. }), Prepared::Depthwise(packed)) => {
                let padding = padding(conv, from(0));
                depthwise(cpu, packed, from(0), padding, &mut view, activation(norm), None);
            }
            (Operation::Norm(norm), Prepared::Keep(keep)) => {
                let then = Normalised {
                    activation: norm.activation,
                    keep: keep.as_ref().map(|keep| of_images(keep, memory)),
                    residual: unit.inputs.get(1).map(|residual| memory.value(*residual)),
                };
                let mut means = norm.means.map(|means| memory.vector(means).to_vec());
                let batch = &batches[position];
                gradients::batch_norm(cpu, batch, from(0), then, &mut view, means.as_deref_mut());
                if let Some((node, means)) = norm.means.zip(means) {
                    let mut to = memory.take_value(node);
                    to.values().copy_from_slice(&means);
                    memory.put(to);
                }
            }
            (Operation::Activation(function), _) => gradients::activate(cpu, *function, from(0), &mut view),
            (Operation::Mean, _) => gradients::mean(cpu, from(0), view.data),
            (Operation::Scale, _) => {
                gradients::scale(cpu, from(0), memory.vector(unit.inputs[1]), &mut view);
            }
            (Operation::Add, _) => gradients::add(cpu, from(0), from(1), &mut view),
            (Operation::Dropout { rate }, _) => {
                effigy_kernels::copy(cpu, from(0), &mut view);
                if let Some(seed) = *seed {
                    let first = memory.images.start * view.layout.image_pitch();
                    gradients::dropout(stream(seed, position), *rate, first, view.data);
                }
            }
            (Operation::DropConnect { .. }, Prepared::Keep(keep)) => match keep {
                Some(keep) => gradients::scale(cpu, from(0), of_images(keep, memory), &mut view),
                None => effigy_kernels::copy(cpu, from(0), &mut view),
            },
            (Operation::MaxPool(pool), _) => {
                max_pool(cpu, window(pool, from(0)), pool.border, from(0), &mut view);
            }
            (Operation::Upsample, _) => gradients::upsample(cpu, from(0), &mut view),
            (Operation::WeightedSum(_), Prepared::Weights(weights)) => {
                let mut terms = [(from(0), 0.0); MAX_TERMS];
                for (i, term) in terms[..weights.len()].iter_mut().enumerate() {
                    *term = (from(i), weights[i]);
                }
                weighted_sum(cpu, &terms[..weights.len()], Activation::Identity, &mut view);
            }
            (Operation::Dense(_) | Operation::Depthwise(_) | Operation::Norm(_), _)
            | (Operation::DropConnect { .. } | Operation::WeightedSum(_), _) => {
                unreachable!("prepared as another operation")
            }
        }
        memory.put(to);
        self.lap(position, Work::Forward);
        self.count(position, memory);
        self.lap(position, Work::Statistics);
    }

    /// Counts the value's images for the statistics of the BatchNorm that reads it, while they are in the cache.
    fn count(&mut self, position: usize, memory: &Memory) {
        let Some(norm) = self.counted_by[position] else { return };
        if self.seed.is_none() {
            return;
        }
        let value = self.program.units[position].value;
        let statistics = &mut self.statistics[norm];
        let statistics = statistics.get_or_insert_with(|| Statistics::new(&memory.layout(value)));
        statistics.count(&self.cpu, memory.value(value), memory.images.start);
    }

    /// Looks for values that are not finite where that is cheap: in statistics, which every value of a map has a part
    /// in, in maps of one pixel an image, and in what is handed out; and in weights that are folded with a BatchNorm.
    pub(super) fn note_value(&mut self, position: usize, parameters: &Parameters, memory: &Memory) {
        let unit = &self.program.units[position];
        if let Operation::Dense(folded) | Operation::Depthwise(folded) = &unit.operation
            && folded.norm.is_some()
        {
            let (value, weights) = (unit.value, folded.weight.range.clone());
            self.note(value, &parameters.values()[weights]);
        }
        let unit = &self.program.units[position];
        let (value, input) = (unit.value, unit.inputs.first().copied());
        if let (Operation::Norm(_), Some(input)) = (&unit.operation, input) {
            let batch = std::mem::take(&mut self.batches[position]);
            self.note(input, &batch.mean);
            self.note(input, &batch.variance);
            self.note(value, &batch.shift);
            self.batches[position] = batch;
        }
        if memory.layout(value).pixels() == 1 || self.program.outputs.contains(&value) {
            self.note(value, memory.vector(value));
        }
    }
}

/// Of one value per image and channel those that `memory` is at.
pub(super) fn of_images<'a>(values: &'a [f32], memory: &Memory) -> &'a [f32] {
    let channels = values.len() / memory.plan.shape[0];
    &values[memory.images.start * channels..memory.images.end * channels]
}

pub(super) fn shape(conv: &Conv) -> ConvShape {
    ConvShape { inputs: conv.inputs, outputs: conv.outputs, kernel: conv.kernel, stride: conv.stride }
}

/// Zeros above and to the left of a convolution's input.
pub(super) fn padding(conv: &Conv, input: View<'_>) -> (usize, usize) {
    (conv.pads(input.layout.height).0, conv.pads(input.layout.width).0)
}

pub(super) fn window(pool: &MaxPool, input: View<'_>) -> Window {
    let MaxPool { kernel, stride, padding, .. } = *pool;
    let before = |side: usize| padding.pads(side, kernel, stride).0;
    Window { kernel, stride, padding: (before(input.layout.height), before(input.layout.width)) }
}

/// What each of the inputs counts.
pub(super) fn weights(sum: &WeightedSum, values: &[f32], count: usize) -> Vec<f32> {
    let Some((param, epsilon)) = &sum.weights else { return vec![1.0; count] };
    let positive = values[param.range.clone()].iter().map(|weight| weight.max(0.0));
    let total: f32 = positive.clone().sum::<f32>() + epsilon;
    positive.map(|weight| weight / total).collect()
}

/// What scales the weights of a convolution, if anything does, and its bias.
fn folded(convolution: &Convolution, values: &[f32]) -> (Option<Vec<f32>>, Vec<f32>) {
    let mut bias = match &convolution.bias {
        Some(bias) => values[bias.range.clone()].to_vec(),
        None => vec![0.0; convolution.conv.outputs],
    };
    let scale = convolution.norm.as_ref().map(|norm| {
        let Batch { scale, shift, .. } =
            batch(norm, values, &values[norm.mean.clone()], &values[norm.variance.clone()]);
        for ((bias, scale), shift) in bias.iter_mut().zip(&scale).zip(shift) {
            *bias = scale.mul_add(*bias, shift);
        }
        scale
    });
    (scale, bias)
}

/// Of a BatchNorm that is folded into the convolution before it.
fn activation(norm: &Option<Norm>) -> Activation {
    norm.as_ref().map_or(Activation::Identity, |norm| norm.activation)
}

fn batch(norm: &Norm, values: &[f32], mean: &[f32], variance: &[f32]) -> Batch {
    let (weight, bias) = (&values[norm.weight.range.clone()], &values[norm.bias.range.clone()]);
    Batch::new(mean, variance, norm.epsilon, weight, bias)
}

/// As PyTorch does it: the moving variance is that of a sample, divided by one pixel less.
fn move_statistics(norm: &Norm, values: &mut [f32], mean: &[f32], variance: &[f32], layout: Layout) {
    let pixels = (layout.images * layout.pixels()) as f32;
    let unbiased = if pixels > 1.0 { pixels / (pixels - 1.0) } else { 1.0 };
    for (moving, mean) in values[norm.mean.clone()].iter_mut().zip(mean) {
        *moving += norm.momentum * (mean - *moving);
    }
    for (moving, variance) in values[norm.variance.clone()].iter_mut().zip(variance) {
        *moving += norm.momentum * (variance * unbiased - *moving);
    }
}
