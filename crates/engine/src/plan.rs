//! Memory for one input shape: every value gets a layout and a slot, and slots are shared by values
//! that are never alive at the same time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use effigy_arch::{Conv, Extent, NodeId};
use effigy_kernels::int8::bytes_for;
use effigy_kernels::{Expansion, Halo, Layout, PartialSums, expand_scratch_len};
use effigy_tensor::{AlignedBuf, Arena};

use crate::model::{Expand, Model, Operation, Step};
use crate::quantised::Quantised;

/// Where every value of a network lies, for one input shape.
#[derive(Debug)]
pub(crate) struct Plan {
    places: HashMap<NodeId, Place>,
    slot_lens: Vec<usize>,
    scratch_len: usize,
    sums_len: usize,
    /// Workspaces of calls that have ended, for the next ones.
    idle: Mutex<Vec<Workspace>>,
}

/// A value's slot and its layout there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) slot: usize,
    pub(crate) layout: Layout,
}

/// The memory of one call.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) slots: Vec<AlignedBuf>,
    /// Gated weights, or the expansion between two convolutions.
    pub(crate) scratch: AlignedBuf,
    /// Sums of a depthwise convolution's output, or of what is averaged.
    pub(crate) sums: AlignedBuf,
}

impl Plan {
    pub(crate) fn new(model: &Model, [images, height, width]: [usize; 3]) -> Self {
        let mut extents = model.graph.extents(height, width);
        let copies: Vec<Extent> = model.copies.iter().map(|value| extents[value.0]).collect();
        extents.extend(copies);
        let mut layouts = layouts(&model.steps, images, &extents);
        for step in &model.steps {
            for (conv, input) in step.convolved() {
                let layout = layouts.get_mut(&input).expect("a step reads what an earlier one wrote");
                layout.halo = layout.halo.union(window_halo(conv, layout.height, layout.width));
            }
        }
        let (places, slot_lens) = assign_slots(model, &layouts);
        let memory = |quantised: &Quantised, step: &Step| {
            let input = step.inputs.first().map(|input| &layouts[input]);
            quantised.memory(model, input, &layouts[&step.value])
        };
        let scratch = |step: &Step| match &step.operation {
            Operation::Dense { packed, gate: Some(_), .. } => packed.scratch_len(),
            Operation::Depthwise { expand: Some(expand), conv, packed, .. } => {
                let input = &layouts[&step.inputs[0]];
                let expansion = expand.expansion(conv, input);
                let strip = model.strip_len(&expansion, step.inputs[0], input);
                expand_scratch_len(&model.cpu, &expansion, strip, packed, &layouts[&step.value])
            }
            Operation::Separable(all) => {
                all.iter().map(|separable| separable.scratch_len(model, &layouts)).max().unwrap_or(0)
            }
            Operation::Quantised(quantised) => memory(quantised, step)[0],
            _ => 0,
        };
        let sums = |step: &Step| match &step.operation {
            Operation::Depthwise { mean: Some(_), .. } => PartialSums::len_for(&layouts[&step.value]),
            Operation::Mean => PartialSums::len_for(&layouts[&step.inputs[0]]),
            Operation::Quantised(quantised) => memory(quantised, step)[1],
            _ => 0,
        };
        Self {
            places,
            slot_lens,
            scratch_len: model.steps.iter().map(scratch).max().unwrap_or(0),
            sums_len: model.steps.iter().map(sums).max().unwrap_or(0),
            idle: Mutex::default(),
        }
    }

    /// Where a value lies.
    pub(crate) fn place(&self, value: NodeId) -> Place {
        self.places[&value]
    }

    /// Multiply-accumulates of a step over the whole batch.
    pub(crate) fn macs(&self, step: &Step) -> u64 {
        let layout = |value: NodeId| &self.places[&value].layout;
        let others = match &step.operation {
            Operation::Separable(all) => all
                .iter()
                .map(|separable| separable.macs(layout(separable.inputs[0]), layout(separable.value)))
                .sum(),
            Operation::Depthwise { expand: Some(expand), conv, .. } => {
                expand.macs(conv, layout(step.inputs[0]))
            }
            Operation::Quantised(quantised) => {
                quantised.inner_macs(step.inputs.first().map(|input| layout(*input)))
            }
            _ => 0,
        };
        others + step.operation.conv().map_or(0, |conv| macs(layout(step.value), conv))
    }

    /// Bytes of the values that a step reads and writes, halos apart.
    pub(crate) fn value_bytes(&self, model: &Model, step: &Step) -> u64 {
        let bytes = |value: NodeId| {
            let Layout { images, height, width, channels, .. } = self.place(value).layout;
            let size = if model.quants.contains_key(&value) { 1 } else { size_of::<f32>() };
            (size * images * height * width * channels) as u64
        };
        if let Operation::Fed = step.operation {
            return 0;
        }
        step.reads().chain(step.writes()).map(bytes).sum()
    }

    /// An idle workspace, or a new one.
    pub(crate) fn workspace(&self) -> Workspace {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| {
            let lens = self.slot_lens.iter().copied().chain([self.scratch_len, self.sums_len]);
            // Each begins on a cache line.
            let bytes = lens.map(|len| (size_of::<f32>() * len).next_multiple_of(64)).sum();
            Arena::with_capacity(bytes).scope(|| Workspace {
                slots: self.slot_lens.iter().map(|len| AlignedBuf::zeroed(*len)).collect(),
                scratch: AlignedBuf::zeroed(self.scratch_len),
                sums: AlignedBuf::zeroed(self.sums_len),
            })
        })
    }

    /// Keeps a workspace for the next call.
    pub(crate) fn give_back(&self, workspace: Workspace) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
    }
}

/// Multiply-accumulates of a convolution with an output of this layout.
pub(crate) fn macs(output: &Layout, conv: &Conv) -> u64 {
    let per_pixel = conv.outputs * (conv.inputs / conv.groups) * conv.kernel * conv.kernel;
    (output.images * output.pixels() * per_pixel) as u64
}

fn layouts(steps: &[Step], images: usize, extents: &[Extent]) -> HashMap<NodeId, Layout> {
    let values = steps.iter().flat_map(Step::writes);
    let layout = |value: NodeId| {
        let Extent { height, width, channels } = extents[value.0];
        Layout::dense(images, height, width, channels)
    };
    values.map(|value| (value, layout(value))).collect()
}

/// The zeros that a convolution reads around a picture.
pub(crate) fn window_halo(conv: &Conv, height: usize, width: usize) -> Halo {
    let after = |input: usize, before: usize| {
        ((conv.output(input) - 1) * conv.stride + conv.kernel).saturating_sub(before + input)
    };
    let (top, left) = (conv.pads(height).0, conv.pads(width).0);
    Halo { top, left, bottom: after(height, top), right: after(width, left) }
}

impl Expand {
    /// Multiply-accumulates for an input of this layout.
    pub(crate) fn macs(&self, depthwise: &Conv, input: &Layout) -> u64 {
        macs(&self.expansion(depthwise, input).expanded, &self.conv)
    }

    /// The expansion of `input` for the depthwise convolution that reads it.
    pub(crate) fn expansion(&self, depthwise: &Conv, input: &Layout) -> Expansion<'_> {
        let Self { conv, packed, activation } = self;
        Expansion {
            expand: packed,
            activation: *activation,
            padding: pads(conv, input),
            expanded: expanded(conv, depthwise, input),
        }
    }
}

/// Zero rows above and columns left of a convolution's input.
pub(crate) fn pads(conv: &Conv, input: &Layout) -> (usize, usize) {
    (conv.pads(input.height).0, conv.pads(input.width).0)
}

/// What a convolution makes of `input` for the depthwise one that reads it.
pub(crate) fn expanded(conv: &Conv, depthwise: &Conv, input: &Layout) -> Layout {
    let (height, width) = (conv.output(input.height), conv.output(input.width));
    let halo = window_halo(depthwise, height, width);
    Layout { images: input.images, height, width, channels: conv.outputs, halo }
}

/// Gives every value a slot that no other value alive at the same time has. The best fitting free slot
/// is taken, or the largest one grows.
fn assign_slots(model: &Model, layouts: &HashMap<NodeId, Layout>) -> (HashMap<NodeId, Place>, Vec<usize>) {
    let mut last_read: HashMap<NodeId, usize> = HashMap::new();
    for (position, step) in model.steps.iter().enumerate() {
        last_read.extend(step.writes().chain(step.reads()).map(|value| (value, position)));
    }
    last_read.extend(model.results.iter().map(|value| (*value, usize::MAX)));

    let mut places = HashMap::new();
    let mut lens: Vec<usize> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    for (position, step) in model.steps.iter().enumerate() {
        for value in step.writes() {
            let layout = layouts[&value];
            let len = slot_len(model, value, &layout);
            let fits = free.iter().copied().filter(|slot| lens[*slot] >= len);
            let best = fits.min_by_key(|slot| lens[*slot]);
            let slot = best.or_else(|| free.iter().copied().max_by_key(|slot| lens[*slot]));
            let slot = slot.unwrap_or_else(|| {
                lens.push(0);
                lens.len() - 1
            });
            free.retain(|other| *other != slot);
            lens[slot] = lens[slot].max(len);
            places.insert(value, Place { slot, layout });
        }
        let mut dead: Vec<NodeId> = step.reads().chain(step.writes()).collect();
        dead.retain(|value| last_read[value] == position);
        dead.sort_unstable();
        dead.dedup();
        free.extend(dead.iter().map(|value| places[value].slot));
    }
    (places, lens)
}

/// Floats of memory that a value takes.
fn slot_len(model: &Model, value: NodeId, layout: &Layout) -> usize {
    match model.quants.get(&value) {
        Some(_) => bytes_for(layout).div_ceil(size_of::<f32>()),
        None => layout.len(),
    }
}
