//! Memory for one input shape: every value and gradient gets a layout and a room, and rooms are shared by those that
//! are never alive at the same time.

use std::collections::HashMap;
use std::ops::Range;

use effigy_arch::{Conv, Extent, Graph, NodeId};
use effigy_gradients::input_gradient_halo;
use effigy_kernels::{Halo, Layout};
use effigy_tensor::{AlignedBuf, Arena};

use super::backward::{Backward, GradientId, Step};
use super::program::{Convolution, Operation, Program};

/// Where every value and gradient lies.
pub(super) struct Plan {
    /// `[N, H, W, C]` of the batches that it is for.
    pub(super) shape: [usize; 4],
    /// Whether the gradients have a place, and the values are kept for them.
    pub(super) training: bool,
    values: HashMap<NodeId, Place>,
    gradients: Vec<Place>,
    room_lens: Vec<usize>,
    /// Units, and steps back, between which no BatchNorm waits for the whole batch.
    pub(super) forward: Vec<Segment>,
    pub(super) backward: Vec<Segment>,
}

/// Units or steps that are run one after the other for a few images at a time, so that what one writes is in the
/// cache when the next reads it.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) range: Range<usize>,
    /// Images at a time. Depends on shapes alone.
    pub(super) images: usize,
}

/// What the values of a segment may take up, in `f32`s, to be read again from the cache.
pub(super) const CACHED: usize = 1 << 20;

impl Segment {
    /// The images of a batch in turn.
    pub(super) fn turns(&self, batch: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let images = self.images;
        (0..batch).step_by(images).map(move |first| first..batch.min(first + images))
    }

    /// Cuts `len` units or steps where `waits` says so; `touched` is what each reads and writes of an image, and
    /// `cached` what the images of a turn may touch.
    fn cut(
        len: usize,
        batch: usize,
        cached: usize,
        waits: impl Fn(usize) -> bool,
        touched: impl Fn(usize) -> usize,
    ) -> Vec<Self> {
        let mut segments: Vec<Self> = Vec::new();
        let mut start = 0;
        for end in 1..=len {
            if end < len && !waits(end) {
                continue;
            }
            let most = (start..end).map(&touched).max().unwrap_or(0).max(1);
            segments.push(Self { range: start..end, images: (cached / most).clamp(1, batch) });
            start = end;
        }
        segments
    }
}

/// A room and how the values lie in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) room: usize,
    /// Of the batch, or of as many images as are worked on at a time where the room has no more of it.
    pub(super) layout: Layout,
    /// Whether the room has the whole batch.
    whole: bool,
}

impl Place {
    /// Where the first of the images lies in the room.
    pub(super) fn start(&self, images: &Range<usize>) -> usize {
        if self.whole { images.start * self.layout.image_pitch() } else { 0 }
    }
}

/// A buffer's layout and the times at which it is first written and last read.
struct Life {
    layout: Layout,
    birth: usize,
    death: usize,
}

impl Plan {
    pub(super) fn new(
        graph: &Graph,
        program: &Program,
        backward: &Backward,
        shape: [usize; 4],
        training: bool,
        cached: usize,
    ) -> Self {
        let [images, height, width, _] = shape;
        let extents = graph.extents(height, width);
        let size = |value: NodeId| {
            let Extent { height, width, channels } = extents[value.0];
            height * width * channels
        };
        let forward = Segment::cut(
            program.units.len(),
            images,
            cached,
            |i| matches!(&program.units[i].operation, Operation::Norm(norm) if !norm.frozen),
            |i| program.units[i].inputs.iter().copied().chain(program.units[i].writes()).map(size).sum(),
        );
        let back = Segment::cut(
            backward.steps.len(),
            images,
            cached,
            |i| matches!(backward.steps[i], Step::Apply { .. }),
            |i| {
                let step = &backward.steps[i];
                step.reads().iter().chain(&step.writes()).map(|id| size(backward.gradients[id.0])).sum()
            },
        );
        // Images of one unit are written while others of an earlier unit are still to be read: the clock ticks once
        // for each segment.
        let (mut values, mut gradients) = lives(program, backward, &extents, images, training);
        let mut times = Vec::new();
        for (time, segment) in forward.iter().enumerate() {
            times.extend(segment.range.clone().map(|_| time));
        }
        times.push(forward.len());
        for (time, segment) in (forward.len() + 1..).zip(&back) {
            times.extend(segment.range.clone().map(|_| time));
        }
        for life in values.iter_mut().map(|(_, life)| life).chain(&mut gradients) {
            (life.birth, life.death) = (times[life.birth], times[life.death]);
        }
        let all: Vec<&Life> = values.iter().map(|(_, life)| life).chain(&gradients).collect();
        let (rooms, room_lens) = assign(&all);
        let places: Vec<Place> = all
            .iter()
            .zip(rooms)
            .map(|(life, room)| Place { room, layout: life.layout, whole: true })
            .collect();
        let gradients = places[values.len()..].to_vec();
        let values = values.iter().map(|(value, _)| *value).zip(places).collect();
        Self { shape, training, values, gradients, room_lens, forward, backward: back }
    }

    pub(super) fn value(&self, value: NodeId) -> Place {
        self.values[&value]
    }

    pub(super) fn gradient(&self, id: GradientId) -> Place {
        self.gradients[id.0]
    }

    /// Bytes of all rooms.
    pub(super) fn bytes(&self) -> u64 {
        self.room_lens.iter().map(|len| (len * size_of::<f32>()) as u64).sum()
    }

    /// The rooms, in one stretch of memory.
    pub(super) fn allocate(&self) -> Vec<AlignedBuf> {
        let bytes: usize =
            self.room_lens.iter().map(|len| (len * size_of::<f32>()).next_multiple_of(64)).sum();
        let arena = Arena::with_capacity(bytes);
        arena.scope(|| self.room_lens.iter().map(|len| AlignedBuf::zeroed(*len)).collect())
    }
}

/// Every value and gradient. The clock ticks once for each unit, once for the outputs, and once for each step back.
fn lives(
    program: &Program,
    backward: &Backward,
    extents: &[Extent],
    images: usize,
    training: bool,
) -> (Vec<(NodeId, Life)>, Vec<Life>) {
    let dense = |value: NodeId| {
        let Extent { height, width, channels } = extents[value.0];
        Layout::dense(images, height, width, channels)
    };
    let mut values = Vec::new();
    let mut index: HashMap<NodeId, usize> = HashMap::new();
    for (time, unit) in program.units.iter().enumerate() {
        for value in unit.writes() {
            index.insert(value, values.len());
            values.push((value, Life { layout: dense(value), birth: time, death: time }));
        }
        for input in &unit.inputs {
            let life = &mut values[index[input]].1;
            life.death = time;
            if let Operation::Dense(conv) | Operation::Depthwise(conv) = &unit.operation {
                life.layout.halo = life.layout.halo.union(window_halo(&conv.conv, &life.layout));
            }
        }
    }
    let end = program.units.len();
    for output in &program.outputs {
        values[index[output]].1.death = end;
    }
    if !training {
        return (values, Vec::new());
    }
    let mut gradients: Vec<Life> = backward
        .gradients
        .iter()
        .map(|value| Life { layout: dense(*value), birth: end, death: end })
        .collect();
    for (id, value) in backward.gradients.iter().enumerate() {
        let unit = &program.units[program.producer(*value)];
        if let (Operation::Depthwise(Convolution { conv, .. }), Some(input)) =
            (&unit.operation, unit.inputs.first())
        {
            gradients[id].layout.halo = gradient_halo(conv, extents[input.0]);
        }
    }
    for (step, time) in backward.steps.iter().zip(end + 1..) {
        for written in step.writes() {
            let life = &mut gradients[written.0];
            // A BatchNorm writes the same gradient twice.
            (life.birth, life.death) = (if life.birth == end { time } else { life.birth }, time);
        }
        for read in step.reads() {
            gradients[read.0].death = time;
        }
        let (Step::Unit { unit, output, .. } | Step::Apply { unit, output, .. }) = step else { continue };
        let unit = &program.units[*unit];
        let kept =
            unit.inputs.iter().enumerate().filter(|(i, _)| unit.operation.keeps(*i)).map(|(_, id)| *id);
        // A gated convolution reads its input for the gate's gradient as well.
        let gated = unit.gate().map(|_| unit.inputs[0]);
        for value in kept.chain(gated).chain(output.and_then(|(_, gate)| gate)) {
            values[index[&value]].1.death = time;
        }
    }
    (values, gradients)
}

/// A room for each buffer, the largest first, and each room's length.
fn assign(lives: &[&Life]) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(lives[*i].layout.len()));
    let mut rooms = vec![0; lives.len()];
    let mut residents: Vec<Vec<usize>> = Vec::new();
    let mut lens = Vec::new();
    for i in order {
        let meets = |j: &usize| lives[i].birth <= lives[*j].death && lives[*j].birth <= lives[i].death;
        let room = residents.iter().position(|residents| !residents.iter().any(meets));
        let room = room.unwrap_or_else(|| {
            residents.push(Vec::new());
            lens.push(lives[i].layout.len());
            lens.len() - 1
        });
        residents[room].push(i);
        rooms[i] = room;
    }
    (rooms, lens)
}

/// The zeros that a convolution's windows find around a map.
fn window_halo(conv: &Conv, layout: &Layout) -> Halo {
    let axis = |side: usize| {
        let before = conv.pads(side).0;
        let reach = (conv.output(side) - 1) * conv.stride + conv.kernel;
        (before, reach.saturating_sub(before + side))
    };
    let ((top, bottom), (left, right)) = (axis(layout.height), axis(layout.width));
    Halo { top, bottom, left, right }
}

/// The zeros that the way back of a depthwise convolution finds around its output's gradient.
fn gradient_halo(conv: &Conv, input: Extent) -> Halo {
    let Extent { height, width, .. } = input;
    let padding = (conv.pads(height).0, conv.pads(width).0);
    let output = (conv.output(height), conv.output(width));
    input_gradient_halo((conv.kernel, conv.stride), padding, (height, width), output)
}
