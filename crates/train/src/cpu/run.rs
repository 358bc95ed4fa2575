//! Running a step of the way back: what has to be known of the whole batch, then its images, a few at a time.

use effigy_arch::NodeId;
use effigy_gradients::{self as kernels, GradientSums, Incoming, PackedTransposed};
use effigy_kernels::{Activation, PackedConv, View};

use super::backward::{GradientId, Share, Step};
use super::forward::{of_images, padding, shape, weights, window};
use super::memory::{Memory, Taken};
use super::profile::Work;
use super::program::{Convolution, Norm, Operation, Param, Unit, WeightedSum};
use super::{CpuDevice, TrainingPrecision, stream};
use crate::Parameters;

/// What a step has made of its unit's parameters for a batch.
pub(super) enum Prepared {
    Nothing,
    Dense(PackedConv),
    Depthwise(PackedTransposed),
    /// What drop-connect has kept of every image, `[N, C]`.
    Keep(Vec<f32>),
    Weights(Vec<f32>),
}

/// What a unit's way back reads and writes.
struct Call<'a> {
    device: &'a CpuDevice,
    position: usize,
    unit: &'a Unit,
    prepared: &'a Prepared,
    seed: u64,
    parameters: &'a [f32],
    gradients: &'a mut [f32],
    memory: &'a mut Memory,
    output: Option<(GradientId, Option<NodeId>)>,
    means: Option<GradientId>,
    inputs: &'a [Option<Share>],
}

impl CpuDevice {
    /// Prepares step `index` for a batch.
    pub(super) fn prepare_back(
        &mut self,
        index: usize,
        seed: u64,
        parameters: &Parameters,
        memory: &Memory,
    ) -> Prepared {
        let Self { cpu, precision, program, backward, sums, .. } = self;
        let (position, first) = match &backward.steps[index] {
            Step::Unit { unit, inputs, .. } => (*unit, inputs.first().copied().flatten().is_some()),
            Step::Apply { unit, .. } => (*unit, true),
            Step::Add { .. } => return Prepared::Nothing,
        };
        let unit = &program.units[position];
        let values = parameters.values();
        match &unit.operation {
            Operation::Dense(Convolution { conv, weight, .. }) if first => {
                let pack = match precision {
                    TrainingPrecision::Fp32 => PackedConv::backward,
                    TrainingPrecision::Bf16 => PackedConv::bf16_backward,
                };
                Prepared::Dense(pack(cpu.isa, shape(conv), &values[weight.range.clone()]))
            }
            Operation::Depthwise(Convolution { conv, weight, .. }) if first => {
                let (kernel, weights) = ((conv.kernel, conv.stride), &values[weight.range.clone()]);
                Prepared::Depthwise(PackedTransposed::new(cpu.isa, kernel, conv.outputs, weights))
            }
            Operation::Norm(Norm { drop, .. }) => {
                let x = memory.layout(unit.inputs[0]);
                if matches!(backward.steps[index], Step::Unit { .. }) {
                    sums[position] = Some(GradientSums::new(&x));
                }
                let stream = stream(seed, position);
                let keep = drop.map(|rate| kernels::drop_connect(stream, rate, x.images, x.channels));
                keep.map_or(Prepared::Nothing, Prepared::Keep)
            }
            Operation::DropConnect { rate } => {
                let x = memory.layout(unit.value);
                Prepared::Keep(kernels::drop_connect(stream(seed, position), *rate, x.images, x.channels))
            }
            Operation::WeightedSum(sum) => Prepared::Weights(weights(sum, values, unit.inputs.len())),
            _ => Prepared::Nothing,
        }
    }

    /// Runs step `index` for the images that `memory` is at.
    pub(super) fn step_back(
        &mut self,
        index: usize,
        prepared: &Prepared,
        seed: u64,
        parameters: &Parameters,
        gradients: &mut Parameters,
        memory: &mut Memory,
    ) {
        let (position, output, means, inputs) = match &self.backward.steps[index] {
            Step::Add { unit, a, b, to } => {
                let mut sum = memory.take_gradient(*to);
                kernels::add(&self.cpu, memory.gradient(*a), memory.gradient(*b), &mut sum.view());
                memory.put(sum);
                return self.lap(*unit, Work::Add);
            }
            Step::Unit { unit, output, means, inputs } => (*unit, *output, *means, &inputs[..]),
            Step::Apply { unit, output, means, .. } => (*unit, *output, *means, &[][..]),
        };
        // Apart from the rest while it is written.
        let sums = self.sums[position].take();
        let call = Call {
            device: self,
            position,
            unit: &self.program.units[position],
            prepared,
            seed,
            parameters: parameters.values(),
            gradients: gradients.values_mut(),
            memory,
            output,
            means,
            inputs,
        };
        match self.backward.steps[index] {
            Step::Apply { to, .. } => call.apply(to),
            _ => self.sums[position] = call.run(sums),
        }
        let work = match (&self.backward.steps[index], &self.program.units[position].operation) {
            (Step::Apply { .. }, _) => Work::Apply,
            (_, Operation::Norm(_)) => Work::Reduce,
            _ => Work::InputGradient,
        };
        self.lap(position, work);
    }

    /// After the whole batch: a BatchNorm's sums become the gradients of its parameters, and what its second pass
    /// needs.
    pub(super) fn finish_back(&mut self, index: usize, gradients: &mut Parameters) {
        let Step::Unit { unit: position, .. } = self.backward.steps[index] else { return };
        let unit = &self.program.units[position];
        if let (Operation::Norm(norm), Some(sums)) = (&unit.operation, self.sums[position].take()) {
            let batch = &self.batches[position];
            let channels = batch.mean.len();
            let (mut weight, mut bias) = (vec![0.0; channels], vec![0.0; channels]);
            self.factors[position] = sums.finish(batch, !norm.frozen, Some((&mut weight, &mut bias)));
            for (param, values) in [(&norm.weight, weight), (&norm.bias, bias)] {
                if param.trained {
                    kernels::add_to(&mut gradients.values_mut()[param.range.clone()], &values);
                }
            }
        }
        let (value, params) = (unit.value, unit.operation.small_params());
        for range in params {
            self.note(value, &gradients.values()[range]);
        }
        self.lap(position, Work::Finish);
    }
}

impl Call<'_> {
    /// The way back of a unit; a BatchNorm counts its `sums`.
    fn run(mut self, sums: Option<GradientSums>) -> Option<GradientSums> {
        let cpu = &self.device.cpu;
        match &self.unit.operation {
            Operation::Input | Operation::Add => {}
            Operation::Dense(conv) => self.dense(conv),
            Operation::Depthwise(conv) => self.depthwise(conv),
            Operation::Norm(norm) => return sums.map(|sums| self.norm(norm, sums)),
            Operation::Activation(function) => self.write(0, |call, to, _| {
                let (x, d) = (call.memory.value(call.unit.inputs[0]), call.whole());
                kernels::activation_backward(cpu, *function, x, d, &mut to.view());
            }),
            Operation::Mean => self.write(0, |call, to, _| {
                let d = call.whole();
                let x = to.view().layout;
                let share: Vec<f32> =
                    d.data[..d.layout.len()].iter().map(|d| d / x.pixels() as f32).collect();
                let mut view = to.view();
                view.data.fill(0.0);
                let zeros = vec![0.0; x.len()];
                let zeros = View::new(&zeros, x);
                kernels::spread(cpu, zeros, None, Some(&share), &mut view);
            }),
            Operation::Scale => {
                self.write(0, |call, to, _| {
                    kernels::scale(
                        cpu,
                        call.whole(),
                        call.memory.vector(call.unit.inputs[1]),
                        &mut to.view(),
                    );
                });
                self.write(1, |call, to, _| {
                    let x = call.memory.value(call.unit.inputs[0]);
                    kernels::gate_backward(cpu, x, call.whole(), to.values());
                });
            }
            Operation::Dropout { rate } => self.write(0, |call, to, _| {
                let mut view = to.view();
                effigy_kernels::copy(cpu, call.whole(), &mut view);
                let first = call.memory.images.start * view.layout.image_pitch();
                kernels::dropout(stream(call.seed, call.position), *rate, first, view.data);
            }),
            Operation::DropConnect { .. } => self.write(0, |call, to, _| {
                kernels::scale(cpu, call.whole(), call.keep().unwrap_or_default(), &mut to.view());
            }),
            Operation::MaxPool(pool) => self.write(0, |call, to, plus| {
                let x = call.memory.value(call.unit.inputs[0]);
                let plus = plus.map(|id| call.memory.gradient(id));
                let (window, d) = (window(pool, x), call.whole());
                kernels::max_pool_backward(cpu, window, pool.border, x, d, plus, &mut to.view());
            }),
            Operation::Upsample => self.write(0, |call, to, plus| {
                let plus = plus.map(|id| call.memory.gradient(id));
                kernels::upsample_backward(cpu, call.whole(), plus, &mut to.view());
            }),
            Operation::WeightedSum(sum) => self.weighted_sum(sum),
        }
        None
    }

    /// Has `write` write the share of input `index`, given what is to be added, if it has one.
    fn write(&mut self, index: usize, write: impl FnOnce(&Self, &mut Taken, Option<GradientId>)) {
        let Some(Some(share)) = self.inputs.get(index) else { return };
        let mut to = self.memory.take_gradient(share.to);
        write(self, &mut to, share.plus);
        self.memory.put(to);
    }

    /// The gradient of the unit's value, which nothing is still to be multiplied with.
    fn whole(&self) -> View<'_> {
        let (id, _) = self.output.expect("only a BatchNorm's gradient comes in parts");
        self.memory.gradient(id)
    }

    /// What drop-connect has kept of each image.
    fn keep(&self) -> Option<&[f32]> {
        match self.prepared {
            Prepared::Keep(keep) => Some(of_images(keep, self.memory)),
            _ => None,
        }
    }

    fn dense(&mut self, Convolution { conv, weight, bias, .. }: &Convolution) {
        let cpu = &self.device.cpu;
        self.bias(bias.as_ref());
        let x = self.unit.inputs[0];
        let padding = padding(conv, self.memory.value(x));
        if weight.trained {
            let gate = self.unit.gate().map(|gate| self.memory.vector(gate));
            let (x, d) = (self.memory.value(x), self.memory.gradient(self.output_id()));
            let to = &mut self.gradients[weight.range.clone()];
            kernels::dense_weights(cpu, shape(conv), x, gate, padding, d, to);
        }
        self.device.lap(self.position, Work::WeightGradient);
        if let Prepared::Dense(packed) = self.prepared {
            self.write(0, |call, to, plus| {
                let plus = plus.map(|id| call.memory.gradient(id));
                kernels::dense_input(cpu, shape(conv), packed, call.whole(), padding, plus, &mut to.view());
            });
        }
        let scaled = self.inputs[0];
        self.write(1, |call, to, _| {
            let scaled = scaled.expect("a gate that learns scales a map that learns");
            let d = call.memory.gradient(scaled.to);
            kernels::gate_backward(cpu, call.memory.value(x), d, to.values());
        });
    }

    fn depthwise(&mut self, Convolution { conv, weight, bias, .. }: &Convolution) {
        let cpu = &self.device.cpu;
        self.bias(bias.as_ref());
        let (x, kernel) = (self.unit.inputs[0], (conv.kernel, conv.stride));
        let padding = padding(conv, self.memory.value(x));
        if weight.trained {
            let (x, d) = (self.memory.value(x), self.memory.gradient(self.output_id()));
            let to = &mut self.gradients[weight.range.clone()];
            kernels::depthwise_weights(cpu, kernel, x, padding, d, to);
        }
        self.device.lap(self.position, Work::WeightGradient);
        if let Prepared::Depthwise(packed) = self.prepared {
            self.write(0, |call, to, _| {
                kernels::depthwise_input(cpu, packed, call.whole(), padding, &mut to.view());
            });
        }
    }

    fn output_id(&self) -> GradientId {
        self.output.expect("only a BatchNorm's gradient comes in parts").0
    }

    fn bias(&mut self, bias: Option<&Param>) {
        if let Some(bias) = bias.filter(|bias| bias.trained) {
            let d = self.memory.gradient(self.output_id());
            kernels::bias_backward(&self.device.cpu, d, &mut self.gradients[bias.range.clone()]);
        }
        self.device.lap(self.position, Work::Bias);
    }

    /// The gradient of the means over height and width, as each pixel's share.
    fn spread(&self) -> Option<Vec<f32>> {
        let pixels = self.memory.layout(self.unit.inputs[0]).pixels() as f32;
        let d = self.memory.gradient(self.means?);
        Some(d.data.iter().map(|d| d / pixels).collect())
    }

    fn incoming<'a>(&'a self, spread: Option<&'a [f32]>) -> Incoming<'a> {
        let gate = self.output.and_then(|(_, gate)| gate).map(|gate| self.memory.vector(gate));
        let map = self.output.map(|(id, _)| self.memory.gradient(id));
        Incoming { map, gate: gate.or(self.keep()), spread }
    }

    fn norm(&mut self, norm: &Norm, mut sums: GradientSums) -> GradientSums {
        let spread = self.spread();
        let share = self.inputs[0].filter(|_| norm.activation != Activation::Identity);
        let mut to = share.map(|share| self.memory.take_gradient(share.to));
        let mut left = to.as_mut().map(Taken::view);
        sums.count(
            &self.device.cpu,
            &self.device.batches[self.position],
            self.memory.value(self.unit.inputs[0]),
            norm.activation,
            self.incoming(spread.as_deref()),
            left.as_mut(),
            self.memory.images.start,
        );
        if let Some(to) = to {
            self.memory.put(to);
        }
        sums
    }

    /// The second pass of a BatchNorm.
    fn apply(self, to: GradientId) {
        let spread = self.spread();
        let mut to = self.memory.take_gradient(to);
        let again = self.output.is_some() || self.means.is_some();
        let d_output = again.then(|| self.incoming(spread.as_deref()));
        let factors = &self.device.factors[self.position];
        let x = self.memory.value(self.unit.inputs[0]);
        factors.apply(&self.device.cpu, x, d_output, &mut to.view());
        self.memory.put(to);
    }

    fn weighted_sum(&mut self, sum: &WeightedSum) {
        let cpu = &self.device.cpu;
        let count = self.unit.inputs.len();
        let Prepared::Weights(weights) = self.prepared else { return };
        let trained = sum.weights.as_ref().filter(|(param, _)| param.trained);
        let mut d_weights = vec![0.0; count];
        for i in 0..count {
            let share = self.inputs[i];
            if share.is_none() && trained.is_none() {
                continue;
            }
            let mut to = share.map(|share| self.memory.take_gradient(share.to));
            // Where no weight learns, the map itself may be gone; any other of its shape does.
            let x = if trained.is_some() { self.memory.value(self.unit.inputs[i]) } else { self.whole() };
            let plus = share.and_then(|share| share.plus).map(|id| self.memory.gradient(id));
            let view = to.as_mut().map(Taken::view);
            d_weights[i] =
                kernels::weighted_sum_backward(cpu, weights[i], x, self.whole(), plus, { view }.as_mut());
            if let Some(to) = to {
                self.memory.put(to);
            }
        }
        if let Some((param, epsilon)) = trained {
            let (values, to) =
                (&self.parameters[param.range.clone()], &mut self.gradients[param.range.clone()]);
            kernels::weights_backward(values, *epsilon, &d_weights, to);
        }
    }
}
