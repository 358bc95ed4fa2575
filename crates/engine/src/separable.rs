//! Separable convolutions, from the program's to the kernel's.

use std::collections::HashMap;
use std::sync::Arc;

use effigy_arch::{Conv, NodeId};
use effigy_kernels::{
    self as kernels, Activation, Cpu, FusionSum, FusionTerm, Isa, Layout, MAX_SEPARABLE, MAX_TERMS,
    PackedConv, PackedDepthwise, SeparableInput, View, ViewMut, Window, separable_scratch_len,
};
use effigy_tensor::AlignedBuf;

use crate::error::EngineError;
use crate::pack::{Target, pack_dense, pack_depthwise};
use crate::plan::window_halo;
use crate::program::{self, FusedSum, MaxPool};
use crate::run::Call;

/// A separable convolution with its weights packed; those that are equal to another's of the step are its.
#[derive(Debug)]
pub(crate) struct Separable {
    pub(crate) value: NodeId,
    pub(crate) inputs: Vec<NodeId>,
    sum: Option<FusedSum>,
    conv: Conv,
    depthwise: (Arc<PackedDepthwise>, Activation),
    outputs: usize,
    pointwise: (Arc<PackedConv>, Activation),
}

/// Packs the convolutions of one step.
///
/// # Errors
/// When weights are missing or have the wrong length.
pub(crate) fn pack(target: Target, all: &[program::Separable<'_>]) -> Result<Vec<Separable>, EngineError> {
    let mut packed: Vec<Separable> = Vec::with_capacity(all.len());
    for (i, separable) in all.iter().enumerate() {
        let program::Separable { depthwise, pointwise, .. } = separable;
        let same = |other: &program::Separable<'_>| {
            other.pointwise.weights.same(&pointwise.weights) && other.pointwise.bias == pointwise.bias
        };
        let twin = all[..i].iter().position(same);
        let dense = match twin {
            Some(twin) => Arc::clone(&packed[twin].pointwise.0),
            None => Arc::new(pack_dense(target, pointwise)?),
        };
        let spatial = match packed.first() {
            Some(first) => Arc::clone(&first.depthwise.0),
            None => Arc::new(pack_depthwise(target.isa, depthwise)?),
        };
        packed.push(Separable {
            value: separable.value,
            inputs: separable.inputs.clone(),
            sum: separable.sum.clone(),
            conv: depthwise.conv,
            depthwise: (spatial, depthwise.activation),
            outputs: pointwise.conv.outputs,
            pointwise: (dense, pointwise.activation),
        });
    }
    Ok(packed)
}

/// Bytes of the weights of a step, those that several convolutions share counted once.
pub(crate) fn bytes(all: &[Separable]) -> usize {
    let shared = |i: usize| all[..i].iter().any(|other| Arc::ptr_eq(&other.pointwise.0, &all[i].pointwise.0));
    let pointwise = (0..all.len()).filter(|i| !shared(*i)).map(|i| all[i].pointwise.0.bytes());
    all[0].depthwise.0.bytes() + pointwise.sum::<usize>()
}

/// The kernels that run the convolutions of a step.
pub(crate) fn kernel_name(all: &[Separable], isa: Isa) -> String {
    let Separable { depthwise, pointwise, sum, .. } = &all[0];
    let sum =
        if sum.is_some() { format!("f32 sum c{} {} + ", isa.lanes(), isa.name()) } else { String::new() };
    format!("{sum}{} + {}", depthwise.0.kernel_name(isa), pointwise.0.kernel_name(isa))
}

/// What the convolutions of a step are, in a few words.
pub(crate) fn describe(all: &[Separable]) -> String {
    let sum = if all.iter().any(|separable| separable.sum.is_some()) { "sum + " } else { "" };
    let times = if all.len() > 1 { format!("{} × ", all.len()) } else { String::new() };
    format!("{times}{sum}separable {0}×{0}", all[0].conv.kernel)
}

impl Separable {
    /// The depthwise convolution and the map that it reads, unless that is a sum.
    pub(crate) fn reads_map(&self) -> Option<(&Conv, NodeId)> {
        self.sum.is_none().then_some((&self.conv, self.inputs[0]))
    }

    /// Scratch memory that it needs.
    pub(crate) fn scratch_len(&self, cpu: &Cpu, layouts: &HashMap<NodeId, Layout>) -> usize {
        let output = &layouts[&self.value];
        let input = match self.sum {
            Some(_) => self.sum_layout(output),
            None => layouts[&self.inputs[0]],
        };
        separable_scratch_len(cpu, &self.depthwise.0, &input, self.sum.is_some(), output)
    }

    /// Multiply-accumulates for an output of this layout.
    pub(crate) fn macs(&self, output: &Layout) -> u64 {
        let per_pixel = self.conv.outputs * (self.conv.kernel * self.conv.kernel + self.outputs);
        (output.images * output.pixels() * per_pixel) as u64
    }

    /// The sum has the output's size: the convolutions step by one and keep it.
    fn sum_layout(&self, output: &Layout) -> Layout {
        let halo = window_halo(&self.conv, output.height, output.width);
        Layout { channels: self.conv.inputs, halo, ..*output }
    }

    fn kernel<'a>(&'a self, call: &'a Call<'_>, slot: &'a mut AlignedBuf) -> kernels::Separable<'a> {
        let output = call.layout(self.value);
        let (layout, input) = match &self.sum {
            None => {
                let map = call.view(self.inputs[0]);
                (map.layout, SeparableInput::Map(map))
            }
            Some(sum) => {
                let layout = self.sum_layout(&output);
                let term = |i: usize| {
                    let &input = self.inputs.get(i)?;
                    let map = call.view(input);
                    let pool = sum.pools[i].map(|pool| window(pool, &map));
                    Some(FusionTerm { map, weight: sum.weights[i], pool })
                };
                let terms: [Option<FusionTerm<'_>>; MAX_TERMS] = std::array::from_fn(term);
                (layout, SeparableInput::Sum(FusionSum { terms, activation: sum.activation, layout }))
            }
        };
        kernels::Separable {
            input,
            depthwise: (&self.depthwise.0, self.depthwise.1),
            padding: (self.conv.pads(layout.height).0, self.conv.pads(layout.width).0),
            pointwise: (&self.pointwise.0, self.pointwise.1),
            output: ViewMut::new(slot, output),
        }
    }
}

/// How a map is pooled, and the border that its windows see.
pub(crate) fn window(pool: MaxPool, map: &View<'_>) -> (Window, f32) {
    let MaxPool { kernel, stride, padding, border } = pool;
    let before = |side| padding.pads(side, kernel, stride).0;
    (Window { kernel, stride, padding: (before(map.layout.height), before(map.layout.width)) }, border)
}

impl Call<'_> {
    pub(crate) fn separable(&mut self, all: &[Separable]) {
        // Arrays on the stack: a call allocates nothing.
        let mut slots: [AlignedBuf; MAX_SEPARABLE] = Default::default();
        for (slot, separable) in slots.iter_mut().zip(all) {
            *slot = self.take(separable.value);
        }
        let mut scratch = std::mem::take(&mut self.workspace.scratch);
        let mut convolutions = [const { None }; MAX_SEPARABLE];
        for ((convolution, slot), separable) in convolutions.iter_mut().zip(&mut slots).zip(all) {
            *convolution = Some(separable.kernel(self, slot));
        }
        kernels::separable(&self.model.cpu, &mut convolutions, &mut scratch);
        self.workspace.scratch = scratch;
        for (slot, separable) in slots.into_iter().zip(all) {
            self.put(separable.value, slot);
        }
    }
}
