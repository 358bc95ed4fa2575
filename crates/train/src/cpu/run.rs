//! Running a step of the way back.

use effigy_arch::NodeId;
use effigy_gradients::{self as kernels, Incoming, PackedTransposed};
use effigy_kernels::{Layout, PackedConv};

use super::backward::{GradientId, Share, Step};
use super::forward::{padding, shape, weights, window};
use super::memory::{Memory, Taken};
use super::program::{Convolution, Norm, Operation, Param, Unit, WeightedSum};
use super::{CpuDevice, stream};
use crate::Parameters;

/// What a unit's way back reads and writes.
struct Call<'a> {
    device: &'a CpuDevice,
    position: usize,
    unit: &'a Unit,
    seed: u64,
    parameters: &'a [f32],
    gradients: &'a mut [f32],
    memory: &'a mut Memory,
    output: Option<(GradientId, Option<NodeId>)>,
    means: Option<GradientId>,
    inputs: &'a [Option<Share>],
}

impl CpuDevice {
    /// Runs step `index` of the way back.
    pub(super) fn step_back(
        &mut self,
        index: usize,
        seed: u64,
        parameters: &Parameters,
        gradients: &mut Parameters,
        memory: &mut Memory,
    ) {
        match &self.backward.steps[index] {
            Step::Add { a, b, to } => {
                let mut sum = memory.take_gradient(*to);
                kernels::add(&self.cpu, memory.gradient(*a), memory.gradient(*b), &mut sum.view());
                memory.put(sum);
            }
            Step::Unit { unit: position, output, means, inputs } => {
                let unit = &self.program.units[*position];
                let call = Call {
                    device: self,
                    position: *position,
                    unit,
                    seed,
                    parameters: parameters.values(),
                    gradients: gradients.values_mut(),
                    memory,
                    output: *output,
                    means: *means,
                    inputs,
                };
                call.run();
                let (value, params) = (unit.value, unit.operation.small_params());
                for range in params {
                    self.note(value, &gradients.values()[range]);
                }
            }
        }
    }
}

impl Call<'_> {
    fn run(mut self) {
        let cpu = &self.device.cpu;
        match &self.unit.operation {
            Operation::Input | Operation::Add => {}
            Operation::Dense(conv) => self.dense(conv),
            Operation::Depthwise(conv) => self.depthwise(conv),
            Operation::Norm(norm) => self.norm(norm),
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
                let zeros = effigy_kernels::View::new(&zeros, x);
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
                effigy_kernels::copy(call.whole(), &mut view);
                kernels::dropout(stream(call.seed, call.position), *rate, view.data);
            }),
            Operation::DropConnect { rate } => self.write(0, |call, to, _| {
                let keep = call.keep(*rate, call.whole().layout);
                kernels::scale(cpu, call.whole(), &keep, &mut to.view());
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
    }

    /// Has `write` write the share of input `index`, given what is to be added, if it has one.
    fn write(&mut self, index: usize, write: impl FnOnce(&Self, &mut Taken, Option<GradientId>)) {
        let Some(Some(share)) = self.inputs.get(index) else { return };
        let mut to = self.memory.take_gradient(share.to);
        write(self, &mut to, share.plus);
        self.memory.put(to);
    }

    /// The gradient of the unit's value, which nothing is still to be multiplied with.
    fn whole(&self) -> effigy_kernels::View<'_> {
        let (id, _) = self.output.expect("only a BatchNorm's gradient comes in parts");
        self.memory.gradient(id)
    }

    /// What drop-connect has kept of each image.
    fn keep(&self, rate: f32, layout: Layout) -> Vec<f32> {
        kernels::drop_connect(stream(self.seed, self.position), rate, layout.images, layout.channels)
    }

    fn dense(&mut self, Convolution { conv, weight, bias }: &Convolution) {
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
        let weights = &self.parameters[weight.range.clone()];
        self.write(0, |call, to, plus| {
            let packed = PackedConv::backward(cpu.isa, shape(conv), weights);
            let plus = plus.map(|id| call.memory.gradient(id));
            kernels::dense_input(cpu, shape(conv), &packed, call.whole(), padding, plus, &mut to.view());
        });
        let scaled = self.inputs[0];
        self.write(1, |call, to, _| {
            let scaled = scaled.expect("a gate that learns scales a map that learns");
            let d = call.memory.gradient(scaled.to);
            kernels::gate_backward(cpu, call.memory.value(x), d, to.values());
        });
    }

    fn depthwise(&mut self, Convolution { conv, weight, bias }: &Convolution) {
        let cpu = &self.device.cpu;
        self.bias(bias.as_ref());
        let (x, kernel) = (self.unit.inputs[0], (conv.kernel, conv.stride));
        let padding = padding(conv, self.memory.value(x));
        if weight.trained {
            let (x, d) = (self.memory.value(x), self.memory.gradient(self.output_id()));
            let to = &mut self.gradients[weight.range.clone()];
            kernels::depthwise_weights(cpu, kernel, x, padding, d, to);
        }
        let weights = &self.parameters[weight.range.clone()];
        self.write(0, |call, to, _| {
            let packed = PackedTransposed::new(cpu.isa, kernel, conv.outputs, weights);
            kernels::depthwise_input(cpu, &packed, call.whole(), padding, &mut to.view());
        });
    }

    fn output_id(&self) -> GradientId {
        self.output.expect("only a BatchNorm's gradient comes in parts").0
    }

    fn bias(&mut self, bias: Option<&Param>) {
        if let Some(bias) = bias.filter(|bias| bias.trained) {
            let d = self.memory.gradient(self.output_id());
            kernels::bias_backward(&self.device.cpu, d, &mut self.gradients[bias.range.clone()]);
        }
    }

    fn norm(&mut self, norm: &Norm) {
        let x = self.memory.layout(self.unit.inputs[0]);
        let keep = norm.drop.map(|rate| self.keep(rate, x));
        let spread: Option<Vec<f32>> = self.means.map(|means| {
            let d = self.memory.gradient(means);
            d.data[..d.layout.len()].iter().map(|d| d / x.pixels() as f32).collect()
        });
        let mut d_weight = vec![0.0; x.channels];
        let mut d_bias = vec![0.0; x.channels];
        let learns = norm.weight.trained || norm.bias.trained;
        let share = self.inputs[0];
        let mut to = share.map(|share| self.memory.take_gradient(share.to));
        let gate = self.output.and_then(|(_, gate)| gate).map(|gate| self.memory.vector(gate));
        kernels::batch_norm_backward(
            &self.device.cpu,
            &self.device.batches[self.position],
            self.memory.value(self.unit.inputs[0]),
            norm.activation,
            Incoming {
                map: self.output.map(|(id, _)| self.memory.gradient(id)),
                gate: gate.or(keep.as_deref()),
                spread: spread.as_deref(),
            },
            !norm.frozen,
            to.as_mut().map(Taken::view).as_mut(),
            learns.then_some((&mut d_weight[..], &mut d_bias[..])),
        );
        if let Some(to) = to {
            self.memory.put(to);
        }
        for (param, values) in [(&norm.weight, d_weight), (&norm.bias, d_bias)] {
            if param.trained {
                kernels::add_to(&mut self.gradients[param.range.clone()], &values);
            }
        }
    }

    fn weighted_sum(&mut self, sum: &WeightedSum) {
        let cpu = &self.device.cpu;
        let count = self.unit.inputs.len();
        let weights = weights(sum, self.parameters, count);
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
