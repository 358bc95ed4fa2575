//! Executes a plan, step after step.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use effigy_arch::NodeId;
use effigy_kernels::{
    self as kernels, Activation, Epilogue, Feed, Layout, PartialSums, Samples, View, ViewMut,
};
use effigy_tensor::{AlignedBuf, Tensor};

use crate::model::{Model, Operation, Step};
use crate::plan::{Plan, Workspace};
use crate::separable::window;

/// What is noted while a network runs.
pub(crate) enum Watch<'a> {
    Nothing,
    /// How long every step took.
    Times(&'a mut Vec<Duration>),
    /// Every value, once it is computed.
    Values(&'a mut dyn FnMut(NodeId, View<'_>)),
}

impl Plan {
    /// Runs every step on `input` (of the plan's shape) and shows the results to `read`.
    pub(crate) fn run<R>(
        &self,
        model: &Model,
        input: Samples<'_>,
        mut watch: Watch<'_>,
        read: impl FnOnce(&[Value<'_>]) -> R,
    ) -> R {
        let mut call = Call { plan: self, model, input, workspace: self.workspace() };
        for step in &model.steps {
            match &mut watch {
                Watch::Nothing => call.step(step),
                Watch::Times(times) => {
                    let start = Instant::now();
                    call.step(step);
                    times.push(start.elapsed());
                }
                Watch::Values(see) => {
                    call.step(step);
                    step.writes().for_each(|value| see(value, call.view(value)));
                }
            }
        }
        let values: Vec<Value<'_>> = model.results.iter().map(|value| call.result(*value)).collect();
        let result = read(&values);
        drop(values);
        self.give_back(call.workspace);
        result
    }
}

/// A value of the network where it lies.
#[derive(Clone, Debug)]
pub struct Value<'a> {
    /// `[N, H, W, C]`.
    pub shape: [usize; 4],
    /// The numbers in row-major order.
    pub data: Cow<'a, [f32]>,
}

impl Value<'_> {
    /// A copy: `[N, H, W, C]`, or `[N, C]` where H = W = 1.
    #[must_use]
    pub fn to_tensor(&self) -> Tensor {
        let [images, height, width, channels] = self.shape;
        let shape = if height * width == 1 { &[images, channels] } else { &self.shape[..] };
        Tensor::new(shape, self.data.to_vec()).expect("a value has as many numbers as its shape says")
    }
}

/// One call's memory and where its values are.
pub(crate) struct Call<'a> {
    plan: &'a Plan,
    pub(crate) model: &'a Model,
    pub(crate) input: Samples<'a>,
    pub(crate) workspace: Workspace,
}

impl Call<'_> {
    pub(crate) fn view(&self, value: NodeId) -> View<'_> {
        let place = self.plan.place(value);
        View::new(&self.workspace.slots[place.slot], place.layout)
    }

    /// A value as a convolution may read it that is fused with the one after it.
    pub(crate) fn feed(&self, value: NodeId) -> Feed<'_> {
        if self.model.is_fed(value) {
            Feed::Rows(self.input, self.layout(value))
        } else {
            self.view(value).into()
        }
    }

    /// The memory in which a value lies.
    pub(crate) fn slot(&self, value: NodeId) -> &[f32] {
        &self.workspace.slots[self.plan.place(value).slot]
    }

    /// A value of one number per image and channel.
    pub(crate) fn vector(&self, value: NodeId) -> &[f32] {
        let view = self.view(value);
        &view.data[..view.layout.len()]
    }

    pub(crate) fn layout(&self, value: NodeId) -> Layout {
        self.plan.place(value).layout
    }

    /// Takes a value's slot out of the workspace, so that it can be written while others are read.
    pub(crate) fn take(&mut self, value: NodeId) -> AlignedBuf {
        std::mem::take(&mut self.workspace.slots[self.plan.place(value).slot])
    }

    pub(crate) fn put(&mut self, value: NodeId, slot: AlignedBuf) {
        self.workspace.slots[self.plan.place(value).slot] = slot;
    }

    fn result(&self, value: NodeId) -> Value<'_> {
        let View { data, layout } = self.view(value);
        let Layout { images, height, width, channels, .. } = layout;
        let data = if layout.is_dense() {
            Cow::Borrowed(&data[..layout.len()])
        } else {
            let dense = Layout::dense(images, height, width, channels);
            let mut copied = vec![0.0; dense.len()];
            kernels::copy(&self.model.cpu, self.view(value), &mut ViewMut::new(&mut copied, dense));
            Cow::Owned(copied)
        };
        Value { shape: [images, height, width, channels], data }
    }

    fn step(&mut self, step: &Step) {
        if let Operation::Separable(all) = &step.operation {
            return self.separable(all);
        }
        let mut slot = self.take(step.value);
        if let Operation::Quantised(operation) = &step.operation {
            self.quantised(step, operation, &mut slot);
            return self.put(step.value, slot);
        }
        let mut output = ViewMut::new(&mut slot, self.layout(step.value));
        let cpu = &self.model.cpu;
        let read = |i: usize| self.view(step.inputs[i]);
        match &step.operation {
            Operation::Input => kernels::bring(cpu, self.input, &mut output),
            Operation::Fed => (),
            Operation::Dense { .. } => self.dense(step, &mut output),
            Operation::Separable(_) => unreachable!("returned above"),
            Operation::Depthwise { .. } => self.depthwise(step, &mut output),
            Operation::Affine { scale, shift } => kernels::affine(cpu, scale, shift, read(0), &mut output),
            Operation::Activation(function) => kernels::activation(cpu, *function, read(0), &mut output),
            Operation::Mean => self.mean(step, &mut output),
            Operation::Scale => kernels::scale(cpu, read(0), self.vector(step.inputs[1]), &mut output),
            Operation::Add => kernels::add(cpu, read(0), read(1), &mut output),
            Operation::MaxPool(pool) => {
                let (window, border) = window(*pool, &read(0));
                kernels::max_pool(cpu, window, border, read(0), &mut output);
            }
            Operation::Upsample => {
                kernels::weighted_sum(cpu, &[(read(0), 1.0)], Activation::Identity, &mut output);
            }
            Operation::WeightedSum(sum) => {
                let weights = sum.weights.iter().copied();
                let inputs: Vec<_> = (0..step.inputs.len()).map(read).zip(weights).collect();
                kernels::weighted_sum(cpu, &inputs, sum.activation, &mut output);
            }
            Operation::Quantised(_) => (),
        }
        self.put(step.value, slot);
    }

    fn mean(&mut self, step: &Step, output: &mut ViewMut<'_>) {
        let mut sums = std::mem::take(&mut self.workspace.sums);
        kernels::global_average(self.view(step.inputs[0]), &mut sums, output);
        self.workspace.sums = sums;
    }

    fn dense(&mut self, step: &Step, output: &mut ViewMut<'_>) {
        let Operation::Dense { conv, packed, activation, gate, residual } = &step.operation else { return };
        let value = step.inputs[0];
        let input = self.layout(value);
        let padding = (conv.pads(input.height).0, conv.pads(input.width).0);
        // Scaling the weights costs inputs × outputs, scaling the activations inputs × pixels.
        let gate_weights = gate.filter(|_| packed.gates_input() || input.pixels() >= conv.outputs);
        let gate_input = gate.filter(|_| gate_weights.is_none());
        if let Some(gate) = gate_input {
            let mut slot = self.take(value);
            let gate = self.vector(gate);
            kernels::scale_in_place(&self.model.cpu, &mut ViewMut::new(&mut slot, input), gate);
            self.put(value, slot);
        }
        let mut scratch = std::mem::take(&mut self.workspace.scratch);
        let gating = gate_weights.map(|gate| (self.vector(gate), &mut scratch));
        let residual = residual.map(|residual| self.view(residual));
        let epilogue = Epilogue { activation: *activation, residual };
        kernels::conv2d(&self.model.cpu, packed, self.view(value), padding, gating, output, epilogue);
        self.workspace.scratch = scratch;
    }

    fn depthwise(&mut self, step: &Step, output: &mut ViewMut<'_>) {
        let Operation::Depthwise { expand, conv, packed, activation, mean } = &step.operation else { return };
        let mut sums = std::mem::take(&mut self.workspace.sums);
        let mut scratch = std::mem::take(&mut self.workspace.scratch);
        let mut partial = mean.map(|_| PartialSums::new(&mut sums));
        let partial = partial.as_mut();
        let input = self.layout(step.inputs[0]);
        let padding = |layout: &Layout| (conv.pads(layout.height).0, conv.pads(layout.width).0);
        let cpu = &self.model.cpu;
        match expand {
            None => {
                let padding = padding(&input);
                let input = self.view(step.inputs[0]);
                kernels::depthwise(cpu, packed, input, padding, output, *activation, partial);
            }
            Some(expand) => {
                let expansion = expand.expansion(conv, &input);
                let padding = padding(&expansion.expanded);
                kernels::expand_depthwise(
                    cpu,
                    &expansion,
                    self.feed(step.inputs[0]),
                    &mut scratch,
                    packed,
                    padding,
                    output,
                    *activation,
                    partial,
                );
            }
        }
        self.workspace.scratch = scratch;
        if let Some(mean) = *mean {
            let mut slot = self.take(mean);
            let len = self.layout(mean).len();
            kernels::mean_of_sums(&sums, &output.layout, &mut slot[..len]);
            self.put(mean, slot);
        }
        self.workspace.sums = sums;
    }
}
