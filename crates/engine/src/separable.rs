//! Separable convolutions, from the program's to the kernel's.

use std::collections::HashMap;
use std::sync::Arc;

use effigy_arch::{Conv, NodeId};
use effigy_kernels::{
    self as kernels, Activation, Epilogue, FusionSum, FusionTerm, InputKind, Isa, Layout, MAX_SEPARABLE,
    MAX_TERMS, PackedConv, PackedDepthwise, SeparableInput, View, ViewMut, Window, separable_scratch_len,
};
use effigy_tensor::AlignedBuf;

use crate::error::EngineError;
use crate::model::{Expand, Model};
use crate::pack::{Target, pack_dense, pack_depthwise, pack_expand};
use crate::plan::window_halo;
use crate::program::{self, FusedSum, MaxPool};
use crate::run::Call;

/// A separable convolution with its weights packed; those that are equal to another's of the step are its.
#[derive(Debug)]
pub(crate) struct Separable {
    pub(crate) value: NodeId,
    pub(crate) inputs: Vec<NodeId>,
    sum: Option<FusedSum>,
    expand: Option<Expand>,
    conv: Conv,
    depthwise: (Arc<PackedDepthwise>, Activation),
    outputs: usize,
    pointwise: (Arc<PackedConv>, Activation),
    pub(crate) residual: Option<NodeId>,
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
            expand: pack_expand(target, depthwise)?,
            conv: depthwise.conv,
            depthwise: (spatial, depthwise.activation),
            outputs: pointwise.conv.outputs,
            pointwise: (dense, pointwise.activation),
            residual: pointwise.residual,
        });
    }
    Ok(packed)
}

/// Bytes of the weights of a step, those that several convolutions share counted once.
pub(crate) fn bytes(all: &[Separable]) -> usize {
    let shared = |i: usize| all[..i].iter().any(|other| Arc::ptr_eq(&other.pointwise.0, &all[i].pointwise.0));
    let pointwise = (0..all.len()).filter(|i| !shared(*i)).map(|i| all[i].pointwise.0.bytes());
    let expand = all[0].expand.as_ref().map_or(0, |expand| expand.packed.bytes());
    expand + all[0].depthwise.0.bytes() + pointwise.sum::<usize>()
}

/// The kernels that run the convolutions of a step.
pub(crate) fn kernel_name(all: &[Separable], isa: Isa) -> String {
    let Separable { depthwise, pointwise, sum, expand, .. } = &all[0];
    let before = match (sum, expand) {
        (Some(_), _) => format!("f32 sum c{} {} + ", isa.lanes(), isa.name()),
        (None, Some(expand)) => format!("{} + ", expand.packed.kernel_name(isa)),
        (None, None) => String::new(),
    };
    format!("{before}{} + {}", depthwise.0.kernel_name(isa), pointwise.0.kernel_name(isa))
}

/// What the convolutions of a step are, in a few words.
pub(crate) fn describe(all: &[Separable]) -> String {
    if let Some(Expand { conv, .. }) = &all[0].expand {
        return format!("dense {0}×{0} + separable {1}×{1}", conv.kernel, all[0].conv.kernel);
    }
    let sum = if all.iter().any(|separable| separable.sum.is_some()) { "sum + " } else { "" };
    let times = if all.len() > 1 { format!("{} × ", all.len()) } else { String::new() };
    format!("{times}{sum}separable {0}×{0}", all[0].conv.kernel)
}

impl Separable {
    /// The convolution that reads a map, and the map, unless it is a sum that is read.
    pub(crate) fn reads_map(&self) -> Option<(&Conv, NodeId)> {
        let conv = self.expand.as_ref().map_or(&self.conv, |expand| &expand.conv);
        self.sum.is_none().then_some((conv, self.inputs[0]))
    }

    /// Whether a convolution comes first that can be fed row by row.
    pub(crate) fn expands(&self) -> bool {
        self.expand.is_some()
    }

    /// Scratch memory that it needs.
    pub(crate) fn scratch_len(&self, model: &Model, layouts: &HashMap<NodeId, Layout>) -> usize {
        let output = &layouts[&self.value];
        let map = || &layouts[&self.inputs[0]];
        let (input, kind) = match (&self.sum, &self.expand) {
            (Some(_), _) => (self.sum_layout(output), InputKind::Sum),
            (None, Some(expand)) => {
                let expansion = expand.expansion(&self.conv, map());
                let strip = model.strip_len(&expansion, self.inputs[0], map());
                (expansion.expanded, InputKind::Expanded { strip })
            }
            (None, None) => (*map(), InputKind::Map),
        };
        separable_scratch_len(&model.cpu, &self.depthwise.0, &input, kind, output)
    }

    /// Multiply-accumulates for an input and an output of these layouts.
    pub(crate) fn macs(&self, input: &Layout, output: &Layout) -> u64 {
        let expand = self.expand.as_ref().map_or(0, |expand| expand.macs(&self.conv, input));
        let per_pixel = self.conv.outputs * (self.conv.kernel * self.conv.kernel + self.outputs);
        expand + (output.images * output.pixels() * per_pixel) as u64
    }

    /// The sum has the output's size: the convolutions step by one and keep it.
    fn sum_layout(&self, output: &Layout) -> Layout {
        let halo = window_halo(&self.conv, output.height, output.width);
        Layout { channels: self.conv.inputs, halo, ..*output }
    }

    fn kernel<'a>(&'a self, call: &'a Call<'_>, slot: &'a mut AlignedBuf) -> kernels::Separable<'a> {
        let output = call.layout(self.value);
        let map = || call.view(self.inputs[0]);
        let (layout, input) = match (&self.sum, &self.expand) {
            (None, None) => (map().layout, SeparableInput::Map(map())),
            (None, Some(expand)) => {
                let expansion = expand.expansion(&self.conv, &call.layout(self.inputs[0]));
                (expansion.expanded, SeparableInput::Expanded(expansion, call.feed(self.inputs[0])))
            }
            (Some(sum), _) => {
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
        let residual = self.residual.map(|residual| call.view(residual));
        kernels::Separable {
            input,
            depthwise: (&self.depthwise.0, self.depthwise.1),
            padding: (self.conv.pads(layout.height).0, self.conv.pads(layout.width).0),
            pointwise: (&self.pointwise.0, Epilogue { activation: self.pointwise.1, residual }),
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
