//! Running a unit.

use effigy_arch::Conv;
use effigy_gradients::{self as gradients, Batch, Normalised};
use effigy_kernels::{
    ConvShape, Epilogue, Layout, MAX_TERMS, PackedConv, PackedDepthwise, View, Window, conv2d, depthwise,
    max_pool, weighted_sum,
};
use effigy_tensor::{AlignedBuf, Tensor};

use super::memory::Memory;
use super::program::{Convolution, MaxPool, Norm, Operation, WeightedSum};
use super::{CpuDevice, stream};
use crate::Parameters;

impl CpuDevice {
    /// Computes the value of the unit at `position`.
    pub(super) fn forward_unit(
        &mut self,
        position: usize,
        parameters: &mut Parameters,
        input: &Tensor,
        memory: &mut Memory,
    ) {
        let Self { cpu, program, batches, seed, .. } = self;
        let unit = &program.units[position];
        let mut to = memory.take_value(unit.value);
        let mut view = to.view();
        let values = parameters.values();
        let from = |index: usize| memory.value(unit.inputs[index]);
        match &unit.operation {
            Operation::Input => {
                let Layout { images, height, width, channels, .. } = view.layout;
                let dense = Layout::dense(images, height, width, channels);
                effigy_kernels::copy(View::new(input.data(), dense), &mut view);
            }
            Operation::Dense(Convolution { conv, weight, bias }) => {
                let zeros = vec![0.0; conv.outputs];
                let bias = bias.as_ref().map_or(&zeros[..], |bias| &values[bias.range.clone()]);
                let packed = PackedConv::new(cpu.isa, shape(conv), &values[weight.range.clone()], bias);
                let mut scratch = AlignedBuf::default();
                let gate = unit.gate().map(|gate| {
                    scratch = AlignedBuf::zeroed(packed.scratch_len());
                    (memory.vector(gate), &mut scratch)
                });
                conv2d(cpu, &packed, from(0), padding(conv, from(0)), gate, &mut view, Epilogue::default());
            }
            Operation::Depthwise(Convolution { conv, weight, bias }) => {
                let zeros = vec![0.0; conv.outputs];
                let bias = bias.as_ref().map_or(&zeros[..], |bias| &values[bias.range.clone()]);
                let weights = &values[weight.range.clone()];
                let packed = PackedDepthwise::new(cpu.isa, conv.kernel, conv.stride, weights, bias);
                let padding = padding(conv, from(0));
                let identity = effigy_kernels::Activation::Identity;
                depthwise(cpu, &packed, from(0), padding, &mut view, identity, None);
            }
            Operation::Norm(norm) => {
                let x = from(0);
                if seed.is_some() && !norm.frozen {
                    let (mean, variance) = gradients::batch_statistics(cpu, x);
                    move_statistics(norm, parameters.values_mut(), &mean, &variance, x.layout);
                    batches[position] = batch(norm, parameters.values(), &mean, &variance);
                } else {
                    let (mean, variance) = (&values[norm.mean.clone()], &values[norm.variance.clone()]);
                    batches[position] = batch(norm, values, mean, variance);
                }
                let keep = norm.drop.zip(*seed).map(|(rate, seed)| {
                    let Layout { images, channels, .. } = x.layout;
                    gradients::drop_connect(stream(seed, position), rate, images, channels)
                });
                let then = Normalised {
                    activation: norm.activation,
                    keep: keep.as_deref(),
                    residual: unit.inputs.get(1).map(|residual| memory.value(*residual)),
                };
                let mut means = vec![0.0; norm.means.map_or(0, |means| memory.vector(means).len())];
                let asked = norm.means.map(|_| &mut means[..]);
                gradients::batch_norm(cpu, &batches[position], x, then, &mut view, asked);
                if let Some(node) = norm.means {
                    let mut to = memory.take_value(node);
                    to.values().copy_from_slice(&means);
                    memory.put(to);
                }
            }
            Operation::Activation(function) => gradients::activate(cpu, *function, from(0), &mut view),
            Operation::Mean => gradients::mean(cpu, from(0), view.data),
            Operation::Scale => gradients::scale(cpu, from(0), memory.vector(unit.inputs[1]), &mut view),
            Operation::Add => gradients::add(cpu, from(0), from(1), &mut view),
            Operation::Dropout { rate } => {
                effigy_kernels::copy(from(0), &mut view);
                if let Some(seed) = *seed {
                    gradients::dropout(stream(seed, position), *rate, view.data);
                }
            }
            Operation::DropConnect { rate } => match *seed {
                Some(seed) => {
                    let Layout { images, channels, .. } = view.layout;
                    let keep = gradients::drop_connect(stream(seed, position), *rate, images, channels);
                    gradients::scale(cpu, from(0), &keep, &mut view);
                }
                None => effigy_kernels::copy(from(0), &mut view),
            },
            Operation::MaxPool(pool) => {
                max_pool(cpu, window(pool, from(0)), pool.border, from(0), &mut view);
            }
            Operation::Upsample => gradients::upsample(cpu, from(0), &mut view),
            Operation::WeightedSum(sum) => {
                let count = unit.inputs.len();
                let weights = weights(sum, values, count);
                let mut terms = [(from(0), 0.0); MAX_TERMS];
                for (i, term) in terms[..count].iter_mut().enumerate() {
                    *term = (from(i), weights[i]);
                }
                let identity = effigy_kernels::Activation::Identity;
                weighted_sum(cpu, &terms[..count], identity, &mut view);
            }
        }
        memory.put(to);
        self.note_value(position, memory);
    }

    /// Looks for values that are not finite where that is cheap: in statistics, which every value of a map has a part
    /// in, in maps of one pixel an image, and in what is handed out.
    fn note_value(&mut self, position: usize, memory: &Memory) {
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
