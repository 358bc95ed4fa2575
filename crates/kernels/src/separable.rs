//! Separable convolutions, a depthwise and a 1×1 one, row by row, many of them as one job; their input may
//! be a weighted sum of maps, or what another convolution expands. Neither that nor what lies between the
//! convolutions leaves the cache.

use std::ops::Range;

use crate::Cpu;
use crate::conv::{PackedConv, check_input, convolve_rows};
use crate::depthwise::{Job, PackedDepthwise, Part, Source};
use crate::epilogue::{Activation, Epilogue};
use crate::expand::{Expansion, Ring};
use crate::feed::Feed;
use crate::layout::{Halo, Layout, SharedPtr, View, ViewMut};
use crate::max_pool::{MaxPool, Window};
use crate::pool::{apart, split};
use crate::weighted_sum::{MAX_TERMS, RowTerm, sum_row};

/// One separable convolution of a job: `activation(pointwise ∗ activation(depthwise ∗ input)) + residual`.
#[derive(Debug)]
pub struct Separable<'a> {
    /// What the depthwise convolution reads.
    pub input: SeparableInput<'a>,
    /// The depthwise convolution and what follows it.
    pub depthwise: (&'a PackedDepthwise, Activation),
    /// Rows above and columns left of the input, zeros, that the first output reads.
    pub padding: (usize, usize),
    /// The 1×1 convolution, of stride 1, and what follows it.
    pub pointwise: (&'a PackedConv, Epilogue<'a>),
    /// The result, and its halo.
    pub output: ViewMut<'a>,
}

/// What a separable convolution reads.
// On the stack, of a few convolutions; a box would be an allocation in every call.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum SeparableInput<'a> {
    /// A map whose halo covers the padding.
    Map(View<'a>),
    /// A sum that is made on the way.
    Sum(FusionSum<'a>),
    /// What a convolution makes of what it is fed, on the way.
    Expanded(Expansion<'a>, Feed<'a>),
}

/// Where the input of a separable convolution comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// It lies in memory.
    Map,
    /// It is a sum that is made on the way.
    Sum,
    /// Another convolution makes it on the way, with a strip of so many values ([`Expansion::strip_len`]) where it is fed
    /// rows, otherwise none.
    Expanded {
        /// Their number.
        strip: usize,
    },
}

/// `activation(Σ termᵢ)` of the first terms, at most [`MAX_TERMS`]; it ends with the first that is missing.
#[derive(Debug)]
pub struct FusionSum<'a> {
    /// What is added.
    pub terms: [Option<FusionTerm<'a>>; MAX_TERMS],
    /// What follows the sum.
    pub activation: Activation,
    /// The sum's shape, and the halo that the depthwise convolution reads.
    pub layout: Layout,
}

/// A map times a weight. Where its height or width is another than the sum's it is read at the nearest
/// pixel, as [`weighted_sum`](crate::weighted_sum) does.
#[derive(Clone, Copy, Debug)]
pub struct FusionTerm<'a> {
    /// The map.
    pub map: View<'a>,
    /// The weight.
    pub weight: f32,
    /// Max-pooling of the map to the sum's size, and the border that it sees.
    pub pool: Option<(Window, f32)>,
}

/// Values of a cache line.
const ALIGN: usize = 16;
/// Values of a block of rows that pass from one convolution to the next while in the first-level cache.
const BLOCK_VALUES: usize = 4 << 10;
/// The same where the block's input is expanded on the way, which fills the second-level cache: the more rows at a
/// time, the more seldom weights are read.
const EXPANDED_BLOCK_VALUES: usize = 32 << 10;
/// No block has more rows: so many are one part of a depthwise job.
const BLOCK_ROWS: usize = 16;
/// Below this many multiply-accumulates a task is not worth another thread's attention.
const TASK_MACS: usize = 100_000;
/// Tasks for each thread, so that all end at about the same time.
const TASKS_PER_THREAD: usize = 8;
/// Neighbouring tasks sum the rows at their border twice, so their tasks are fewer and not too small.
const SUM_TASKS_PER_THREAD: usize = 2;
const SUM_TASK_ROWS: usize = 4;

/// Length of the scratch memory that one convolution needs in a call of [`separable`], which takes the
/// longest of its job: `input` with the halo that the depthwise convolution reads, and where that comes from, and
/// the size of `output`.
#[must_use]
pub fn separable_scratch_len(
    cpu: &Cpu,
    depthwise: &PackedDepthwise,
    input: &Layout,
    kind: InputKind,
    output: &Layout,
) -> usize {
    cpu.pool.threads() * apart(Parts::new(depthwise, input, kind, output).len())
}

/// How a thread's scratch memory is cut: the last rows of what is made on the way, a pooled row for each term of a
/// sum that may need it, the depthwise convolution's rows.
#[derive(Clone, Copy)]
struct Parts {
    block_rows: usize,
    ring_rows: usize,
    ring: usize,
    pooled: usize,
    block: usize,
}

impl Parts {
    fn new(depthwise: &PackedDepthwise, input: &Layout, kind: InputKind, output: &Layout) -> Self {
        let row = output.width * input.channels;
        let (values, strip) = match kind {
            InputKind::Expanded { strip } => (EXPANDED_BLOCK_VALUES, strip),
            _ => (BLOCK_VALUES, 0),
        };
        let block_rows = (values / row).clamp(1, BLOCK_ROWS).min(output.height);
        let ring_rows = if kind == InputKind::Map { 0 } else { depthwise.reach(block_rows) };
        let aligned = |len: usize| len.next_multiple_of(ALIGN);
        Self {
            block_rows,
            ring_rows,
            ring: aligned(ring_rows * input.row_pitch() + strip),
            pooled: if kind == InputKind::Sum {
                aligned(MAX_POOLED * input.width * input.channels)
            } else {
                0
            },
            block: aligned(block_rows * row),
        }
    }

    fn len(&self) -> usize {
        self.ring + self.pooled + self.block
    }
}

/// Terms of a sum that may be pooled.
pub const MAX_POOLED: usize = 2;

/// The most convolutions of a job: a head's levels, and a few more.
pub const MAX_SEPARABLE: usize = 8;

/// Runs separable convolutions that do not read each other's results. The largest should come first: its
/// tasks are started first, and the small ones fill what is left of the threads' time.
///
/// `scratch` is as long as the longest [`separable_scratch_len`]; what it holds does not matter.
///
/// # Panics
/// When shapes, halos or lengths do not fit together.
pub fn separable(cpu: &Cpu, convolutions: &mut [Option<Separable<'_>>; MAX_SEPARABLE], scratch: &mut [f32]) {
    let threads = cpu.pool.threads();
    let share = scratch.len() / threads / ALIGN * ALIGN;
    let scratch = SharedPtr::new(scratch);
    let mut outputs = [SharedPtr::new(&mut []); MAX_SEPARABLE];
    for (output, convolution) in outputs.iter_mut().zip(&mut *convolutions) {
        let Some(convolution) = convolution else { continue };
        convolution.check();
        assert!(convolution.parts().len() <= share, "{share} values of scratch for {convolution:?}");
        *output = SharedPtr::new(convolution.output.data);
    }
    let convolutions = &*convolutions;
    let each = || convolutions.iter().flatten();
    let macs = each().map(Separable::macs).sum();
    let strips = |convolution: &Separable<'_>| convolution.strips(threads, macs);
    let images = |convolution: &Separable<'_>| convolution.output.layout.images;
    let tasks = each().map(|convolution| images(convolution) * strips(convolution)).sum();
    cpu.pool.run_with_thread(tasks, |thread, mut task| {
        for (convolution, output) in convolutions.iter().zip(outputs) {
            let Some(convolution) = convolution else { continue };
            let (images, strips) = (images(convolution), strips(convolution));
            if task < images * strips {
                let rows = split(convolution.output.layout.height, strips, task / images);
                // SAFETY: threads have shares of their own in the scratch.
                let scratch = unsafe { scratch.from(thread * share) };
                let parts = convolution.parts();
                return Strip { cpu, convolution, image: task % images, output, scratch, parts }.run(rows);
            }
            task -= images * strips;
        }
    });
}

impl SeparableInput<'_> {
    fn layout(&self) -> &Layout {
        match self {
            Self::Map(map) => &map.layout,
            Self::Sum(sum) => &sum.layout,
            Self::Expanded(expansion, _) => &expansion.expanded,
        }
    }

    fn kind(&self) -> InputKind {
        match self {
            Self::Map(_) => InputKind::Map,
            Self::Sum(_) => InputKind::Sum,
            Self::Expanded(expansion, feed) => InputKind::Expanded { strip: expansion.strip_of(feed) },
        }
    }
}

impl FusionSum<'_> {
    fn terms(&self) -> impl Iterator<Item = &FusionTerm<'_>> {
        self.terms.iter().map_while(Option::as_ref)
    }

    fn check(&self) {
        let Layout { images, channels, .. } = self.layout;
        assert!(self.terms().count() > 0, "nothing to add");
        let mut pooled = 0;
        for pool in self.terms().filter_map(|term| self.pool(term)) {
            pool.check();
            pooled += 1;
        }
        assert!(pooled <= MAX_POOLED, "{pooled} maps to pool");
        for FusionTerm { map, .. } in self.terms() {
            assert_eq!((map.layout.images, map.layout.channels), (images, channels), "{:?}", map.layout);
        }
    }

    fn pool<'a>(&self, term: &FusionTerm<'a>) -> Option<MaxPool<'a>> {
        let size = (self.layout.height, self.layout.width);
        term.pool.map(|(window, border)| MaxPool { window, border, input: term.map, size })
    }
}

impl Separable<'_> {
    fn parts(&self) -> Parts {
        Parts::new(self.depthwise.0, self.input.layout(), self.input.kind(), &self.output.layout)
    }

    /// What passes between the convolutions.
    fn between(&self) -> Layout {
        Layout { channels: self.input.layout().channels, ..self.output.layout }
    }

    fn check(&self) {
        let (input, output) = (self.input.layout(), self.output.layout);
        self.depthwise.0.check(input, self.padding, &self.between());
        let shape = self.pointwise.0.shape;
        assert_eq!((shape.kernel, shape.stride), (1, 1), "the second convolution is 1×1");
        assert_eq!((shape.inputs, shape.outputs), (input.channels, output.channels), "channels");
        match &self.input {
            SeparableInput::Map(_) => (),
            SeparableInput::Sum(sum) => sum.check(),
            SeparableInput::Expanded(Expansion { expand, padding, expanded, .. }, feed) => {
                check_input(expand, &feed.layout(), *padding, expanded);
            }
        }
        if let Some(residual) = self.pointwise.1.residual {
            assert!(residual.layout.same_shape(&output), "residual {:?} onto {output:?}", residual.layout);
        }
    }

    fn macs(&self) -> usize {
        let Layout { images, channels, .. } = self.output.layout;
        let reach = self.depthwise.0.reach(1);
        images * self.output.layout.pixels() * self.input.layout().channels * (channels + reach * reach)
    }

    /// Strips of rows that each image is cut into, in a job of `all` multiply-accumulates.
    fn strips(&self, threads: usize, all: usize) -> usize {
        let Layout { images, height, .. } = self.output.layout;
        if threads == 1 {
            return 1;
        }
        let task = |per_thread: usize| (all / (threads * per_thread)).max(TASK_MACS);
        let (task, most) = match self.input {
            SeparableInput::Map(_) => (task(TASKS_PER_THREAD), height),
            SeparableInput::Sum(_) => (task(SUM_TASKS_PER_THREAD), height / SUM_TASK_ROWS),
            // What is computed twice is dear, and nothing else is in the job.
            SeparableInput::Expanded(..) if images.is_multiple_of(threads) => return 1,
            SeparableInput::Expanded(..) => return threads.min(height / SUM_TASK_ROWS).max(1),
        };
        (self.macs() / images).div_ceil(task).min(most).max(1)
    }
}

/// One task: some rows of one image.
struct Strip<'a> {
    cpu: &'a Cpu,
    convolution: &'a Separable<'a>,
    image: usize,
    output: SharedPtr,
    /// This thread's.
    scratch: SharedPtr,
    parts: Parts,
}

impl Strip<'_> {
    fn run(&mut self, rows: Range<usize>) {
        let Separable { ref input, depthwise: (depthwise, _), padding, .. } = *self.convolution;
        let layout = &self.convolution.output.layout;
        let first = self.image * layout.height;
        // SAFETY: rows of the output and their halo, which are this task's.
        unsafe { self.output.clear_halo(layout, first + rows.start..first + rows.end) };
        let mut ring = match input {
            // SAFETY: this thread's scratch begins with room for so many rows and for a strip.
            SeparableInput::Expanded(expansion, feed) => Some(unsafe {
                let (isa, panels) = (self.cpu.isa, 0..expansion.expand.panels());
                let (kept, rows) = (self.scratch, self.parts.ring_rows);
                Ring::new(isa, expansion, *feed, self.image, panels, kept, rows)
            }),
            _ => None,
        };
        if let SeparableInput::Sum(sum) = input {
            self.clear_sides(&sum.layout);
        }
        // The next row of what is made on the way.
        let mut next = 0;
        for start in rows.clone().step_by(self.parts.block_rows) {
            let block = start..(start + self.parts.block_rows).min(rows.end);
            let window = depthwise.window(&block);
            let made = next.max(window.start)..window.end;
            next = window.end;
            let source = match input {
                SeparableInput::Map(map) => Source::new(*map, self.image, padding),
                SeparableInput::Sum(sum) => {
                    for row in made {
                        self.sum(sum, row);
                    }
                    let Layout { halo, channels, .. } = sum.layout;
                    Source {
                        // SAFETY: the halo is at least as wide as the padding (checked).
                        base: unsafe { self.scratch.at((halo.left - padding.1) * channels) },
                        pitch: sum.layout.row_pitch(),
                        pixel_pitch: channels,
                        first_channel: 0,
                        ring: self.parts.ring_rows,
                        first: 0,
                    }
                }
                SeparableInput::Expanded(..) => {
                    let ring = ring.as_mut().expect("made above");
                    ring.fill(made, padding.0);
                    ring.source(padding.1)
                }
            };
            self.convolve(Source { first: window.start, ..source }, block);
        }
    }

    /// Both convolutions of some rows.
    fn convolve(&self, source: Source, rows: Range<usize>) {
        let Separable { depthwise, pointwise, ref output, .. } = *self.convolution;
        let isa = self.cpu.isa;
        let between =
            Layout { images: 1, height: rows.len(), halo: Halo::default(), ..self.convolution.between() };
        // SAFETY: the block's part of this thread's scratch, which has room for as many rows.
        let block = unsafe {
            let start = self.scratch.at(self.parts.ring + self.parts.pooled);
            std::slice::from_raw_parts_mut(start, between.len())
        };
        let mut block = ViewMut::new(block, between);
        let job = Job::new(depthwise.0, &mut block, depthwise.1, None);
        isa.run(Part { job: &job, source, image: 0, rows: 0..rows.len(), channels: 0..between.channels });
        let (start, to) = output.layout.rows(self.image, &rows);
        let (conv, Epilogue { activation, residual }) = pointwise;
        let residual = residual.map(|View { data, layout }| {
            let (start, layout) = layout.rows(self.image, &rows);
            View::new(&data[start..], layout)
        });
        let epilogue = Epilogue { activation, residual };
        // SAFETY: the rows exist in the block, and in the output from `start` on, where only this task writes.
        unsafe {
            let out = self.output.from(start);
            let panels = 0..conv.panels();
            convolve_rows(isa, conv, panels, epilogue, block.as_view(), (0, 0), (0, 0), out, to);
        }
    }

    /// Row `row` of the padded sum into its place in the ring.
    fn sum(&mut self, sum: &FusionSum<'_>, row: usize) {
        let layout = sum.layout;
        let Layout { height, width, channels, halo, .. } = layout;
        // SAFETY: a row of the ring, which is this thread's.
        let place = unsafe {
            let start =
                self.scratch.at(row % self.parts.ring_rows * layout.row_pitch() + halo.left * channels);
            std::slice::from_raw_parts_mut(start, width * channels)
        };
        let top = self.convolution.padding.0;
        if !(top..top + height).contains(&row) {
            return place.fill(0.0);
        }
        let at = (self.image, row - top);
        let mut rows = [RowTerm::NONE; MAX_TERMS];
        let (mut count, mut pooled) = (0, 0);
        for term in sum.terms() {
            rows[count] = match sum.pool(term) {
                None => RowTerm::nearest(term.map, term.weight, at, height),
                // SAFETY: `check` has passed the pool and counted the pooled terms, for each of which
                // this thread's scratch has a row behind the ring.
                Some(pool) => unsafe {
                    let to = self.scratch.at(self.parts.ring + pooled * place.len());
                    pool.row(self.cpu.isa, at, to);
                    pooled += 1;
                    RowTerm::of(std::slice::from_raw_parts(to, place.len()), width, term.weight)
                },
            };
            count += 1;
        }
        // SAFETY: the terms' rows have as many pixels as they say, the place is as long as a row.
        unsafe {
            let to = place.as_mut_ptr();
            sum_row(self.cpu.isa, &rows[..count], sum.activation, (width, channels), to);
        }
    }

    /// Writes zeros left and right of every row of the ring; the sums never reach there.
    fn clear_sides(&mut self, layout: &Layout) {
        let Layout { width, channels, halo, .. } = *layout;
        for row in 0..self.parts.ring_rows {
            // SAFETY: a row of the ring, which is this thread's.
            let row = unsafe {
                std::slice::from_raw_parts_mut(self.scratch.at(row * layout.row_pitch()), layout.row_pitch())
            };
            row[..halo.left * channels].fill(0.0);
            row[(halo.left + width) * channels..].fill(0.0);
        }
    }
}

#[cfg(test)]
#[path = "separable_tests.rs"]
mod tests;
