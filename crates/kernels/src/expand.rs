//! A dense convolution and the depthwise one after it, a few rows or channels at a time: the wide
//! activation between them, the largest of a network, never leaves the cache.

use std::ops::Range;

use crate::cache;
use crate::conv::{ConvShape, PackedConv, check_input, convolve_rows};
use crate::depthwise::{Job, PackedDepthwise, Part, Source};
use crate::epilogue::{Activation, Epilogue};
use crate::feed::{Feed, Strip};
use crate::layout::{Halo, Layout, SharedPtr, ViewMut};
use crate::pool::{self, apart, split};
use crate::pooling::PartialSums;
use crate::{Cpu, Isa};

/// Of the second-level cache, what panels of weights and the fewest rows of what they compute may fill.
const PANELS_KEPT: (usize, usize) = (7, 16);
/// More rows than the fewest are kept as long as they take this many bytes.
const KEPT: usize = 224 << 10;
/// Rows of the first convolution that are computed from one strip of a picture.
const STRIP: usize = 4;

/// A dense convolution and the depthwise one that reads it.
#[derive(Clone, Copy, Debug)]
pub struct Expansion<'a> {
    /// The dense convolution.
    pub expand: &'a PackedConv,
    /// What follows it.
    pub activation: Activation,
    /// Rows above and columns left of the picture that its first output reads, as in
    /// [`conv2d`](crate::conv2d).
    pub padding: (usize, usize),
    /// The layout of its output, with the halo that the depthwise convolution reads.
    pub expanded: Layout,
}

impl Expansion<'_> {
    /// Values of the strip of a picture that a thread keeps where it is fed rows; `picture` is how it lies as a whole.
    #[must_use]
    pub fn strip_len(&self, picture: &Layout) -> usize {
        Strip::len(self.strip_rows(), picture)
    }

    /// The same for what is read.
    pub(crate) fn strip_of(&self, feed: &Feed<'_>) -> usize {
        match feed {
            Feed::Whole(_) => 0,
            Feed::Rows(_, picture) => self.strip_len(picture),
        }
    }

    /// Rows of a picture from which [`STRIP`] rows are computed.
    fn strip_rows(&self) -> usize {
        (STRIP - 1) * self.expand.shape.stride + self.expand.shape.kernel
    }
}

/// Length of the scratch memory that [`expand_depthwise`] needs; `strip` is [`Expansion::strip_len`] where it is fed rows,
/// otherwise 0.
#[must_use]
pub fn expand_scratch_len(
    cpu: &Cpu,
    expansion: &Expansion<'_>,
    strip: usize,
    conv: &PackedDepthwise,
    output: &Layout,
) -> usize {
    let threads = cpu.pool.threads();
    threads * Cut::new(threads, expansion, conv, output).kept_len(&expansion.expanded, strip)
}

/// `depthwise(activation(weights ∗ input + bias))`: [`conv2d`](crate::conv2d), then
/// [`depthwise`](crate::depthwise), bit for bit, without keeping the activation between them.
///
/// # Panics
/// When shapes, halo or lengths do not fit together.
pub fn expand_depthwise(
    cpu: &Cpu,
    expansion: &Expansion<'_>,
    input: Feed<'_>,
    scratch: &mut [f32],
    conv: &PackedDepthwise,
    padding: (usize, usize),
    output: &mut ViewMut<'_>,
    activation: Activation,
    sums: Option<&mut PartialSums<'_>>,
) {
    let Expansion { expand, expanded, .. } = *expansion;
    let layout = output.layout;
    let read = input.layout();
    check_input(expand, &read, expansion.padding, &expanded);
    conv.check(&expanded, padding, &layout);
    let threads = cpu.pool.threads();
    let cut = Cut::new(threads, expansion, conv, &layout);
    let kept_len = cut.kept_len(&expanded, expansion.strip_of(&input));
    assert!(scratch.len() >= threads * kept_len, "scratch for {expanded:?}");
    output.clear_halo();
    let job = Job::new(conv, output, activation, sums);
    let scratch = SharedPtr::new(scratch);
    let groups = expand.panels().div_ceil(cut.panels);
    let parts = PartialSums::parts(layout.height);
    let row_tasks = cut.row_tasks;
    cpu.pool.run_with_thread(layout.images * row_tasks * groups, |thread, task| {
        let (rest, group) = (task / groups, task % groups);
        let (image, row_task) = (rest / row_tasks, rest % row_tasks);
        let panels = group * cut.panels..((group + 1) * cut.panels).min(expand.panels());
        let channels = expand.columns(panels.clone());
        // SAFETY: threads have parts of their own in the scratch, whose length was checked.
        let mut ring = unsafe {
            Ring::new(cpu.isa, expansion, input, image, panels, scratch.from(thread * kept_len), cut.rows)
        };
        let row_parts = split(parts, row_tasks, row_task);
        let part_rows = |part| PartialSums::rows(job.height(), part);
        let mut start = part_rows(row_parts.start).start;
        let end = part_rows(row_parts.end - 1).end;
        let mut next = conv.window(&(start..start + 1)).start;
        while start < end {
            let rows = start..end.min(start + cut.step);
            let window = conv.window(&rows);
            // Where the stride is larger than the kernel, rows are skipped.
            ring.fill(next.max(window.start)..window.end, padding.0);
            next = window.end;
            start = rows.end;
            let source = ring.source(padding.1);
            cpu.isa.run(Part { job: &job, source, image, rows, channels: channels.clone() });
        }
    });
}

/// How the work is cut so that what is kept between the convolutions stays small.
struct Cut {
    /// Panels of the first convolution's outputs that are computed together.
    panels: usize,
    /// Their channels, at most.
    channels: usize,
    /// Padded rows of them that are kept.
    rows: usize,
    /// Output rows that those are enough for.
    step: usize,
    /// Tasks that an image's rows are shared by.
    row_tasks: usize,
}

/// What a group of panels costs beside its arithmetic, in panels: reading the input, and in every tile as much as
/// multiplying so many rows of the matrix.
const READ: f32 = 0.2;
const ENTER: f32 = 20.0;

impl Cut {
    fn new(threads: usize, expansion: &Expansion<'_>, conv: &PackedDepthwise, output: &Layout) -> Self {
        let (share, of) = PANELS_KEPT;
        Self::within(cache::second_level() / of * share, threads, expansion, conv, output)
    }

    /// With so many bytes for panels of weights and the fewest rows of what they compute.
    fn within(
        bytes: usize,
        threads: usize,
        expansion: &Expansion<'_>,
        conv: &PackedDepthwise,
        output: &Layout,
    ) -> Self {
        let Expansion { expand, expanded, .. } = expansion;
        let panel_row = size_of::<f32>() * expanded.row_pitch() / expanded.channels * expand.panel_width();
        // Panels before rows: the input is read once for all panels of a group.
        let least = conv.reach(2.min(output.height));
        let panel = least * panel_row + size_of::<f32>() * expand.rows() * expand.panel_width();
        let most = (bytes / panel).clamp(1, expand.panels());
        // Groups of the same size: what they keep is smallest.
        let fitting = expand.panels().div_ceil(expand.panels().div_ceil(most));
        let (row_tasks, panels) = match threads {
            1 => (1, fitting),
            _ => row_tasks_and_panels(threads, expand, conv, output, fitting),
        };
        let rows = (KEPT / (panels * panel_row)).clamp(least, conv.reach(output.height).max(least));
        let channels = panels * expand.panel_width();
        Self { panels, channels, rows, step: conv.outputs(rows), row_tasks }
    }

    /// From the values that a thread keeps, of the activation between the convolutions and of a strip of a picture, to
    /// those of the next.
    fn kept_len(&self, expanded: &Layout, strip: usize) -> usize {
        apart(self.rows * (expanded.row_pitch() / expanded.channels) * self.channels + strip)
    }
}

/// Into how many tasks the rows of an image are cut, and how many panels a task computes, at most `fitting`, so that
/// threads end early. Rows at the border of two tasks are computed twice; every group of panels reads the input again.
fn row_tasks_and_panels(
    threads: usize,
    expand: &PackedConv,
    conv: &PackedDepthwise,
    output: &Layout,
    fitting: usize,
) -> (usize, usize) {
    let panels = expand.panels();
    let group_cost = (READ + ENTER / expand.rows() as f32) / panels as f32;
    let parts = PartialSums::parts(output.height);
    let twice = (2 * conv.reach(1)).saturating_sub(conv.reach(2)) as f32 / conv.reach(output.height) as f32;
    let mut best = (f32::INFINITY, (1, fitting));
    for row_tasks in (0..=parts.ilog2()).map(|doublings| 1 << doublings) {
        for group in 1..=fitting {
            let groups = panels.div_ceil(group);
            let tasks = output.images * row_tasks * groups;
            // The last group may be smaller.
            let largest = (group * groups) as f32 / panels as f32;
            let work = (1.0 + twice * (row_tasks - 1) as f32) * largest + group_cost * groups as f32;
            let time = pool::time(threads, tasks, work / tasks as f32);
            if time < best.0 {
                best = (time, (row_tasks, group));
            }
        }
    }
    best.1
}

/// Some channels of the activation between the convolutions, of one image, of which the last few rows are in memory.
pub(crate) struct Ring<'a> {
    isa: Isa,
    expansion: &'a Expansion<'a>,
    input: Feed<'a>,
    image: usize,
    panels: Range<usize>,
    first_channel: usize,
    /// How the channels would lie if all rows were kept.
    layout: Layout,
    kept: SharedPtr,
    /// Rows that are kept.
    rows: usize,
}

impl<'a> Ring<'a> {
    /// A ring of `rows` rows of the channels of `panels`, its sides cleared.
    ///
    /// # Safety
    /// `kept` must be valid for writing so many rows, and behind them a strip of the picture whose rows are brought, by
    /// this thread alone, for as long as the ring lives.
    pub(crate) unsafe fn new(
        isa: Isa,
        expansion: &'a Expansion<'a>,
        input: Feed<'a>,
        image: usize,
        panels: Range<usize>,
        kept: SharedPtr,
        rows: usize,
    ) -> Self {
        let channels = expansion.expand.columns(panels.clone());
        let layout = Layout { images: 1, channels: channels.len(), ..expansion.expanded };
        let first_channel = channels.start;
        let mut ring = Self { isa, expansion, input, image, panels, first_channel, layout, kept, rows };
        ring.clear_sides();
        ring
    }

    /// The row at a place of the ring, sides included.
    fn row(&mut self, place: usize) -> &mut [f32] {
        let pitch = self.layout.row_pitch();
        // SAFETY: callers stay within the ring, which is this task's own, borrowed from `self`.
        unsafe { std::slice::from_raw_parts_mut(self.kept.at(place * pitch), pitch) }
    }

    /// Writes zeros left and right of every row; the rows themselves never reach there.
    fn clear_sides(&mut self) {
        let Layout { width, channels, halo, .. } = self.layout;
        for row in 0..self.rows {
            let row = self.row(row);
            row[..halo.left * channels].fill(0.0);
            row[(halo.left + width) * channels..].fill(0.0);
        }
    }

    /// Computes padded rows: zeros above and below the picture, the first convolution within.
    pub(crate) fn fill(&mut self, rows: Range<usize>, top: usize) {
        let mut row = rows.start;
        while row < rows.end {
            let place = row % self.rows;
            let picture = top..top + self.layout.height;
            if !picture.contains(&row) {
                self.row(place).fill(0.0);
                row += 1;
                continue;
            }
            let count = (rows.end.min(picture.end) - row).min(self.rows - place);
            row += self.compute(row - top, count, place);
        }
    }

    /// Computes up to `count` rows from `first` on, to a place in the ring; returns how many.
    fn compute(&mut self, first: usize, count: usize, place: usize) -> usize {
        let Expansion { expand, activation, padding, .. } = *self.expansion;
        let ConvShape { kernel, stride, .. } = expand.shape;
        let mut strip;
        let (input, from, padding, count) = match self.input {
            Feed::Whole(input) => (input, (self.image, first), padding, count),
            Feed::Rows(samples, picture) => {
                let count = count.min(STRIP);
                // SAFETY: the strip lies behind the ring.
                strip = unsafe {
                    let behind = self.kept.from(self.rows * self.layout.row_pitch());
                    Strip::new(behind, self.expansion.strip_rows(), &picture)
                };
                let start = first * stride + picture.halo.top - padding.0;
                let rows = start..start + (count - 1) * stride + kernel;
                (strip.bring(self.isa, samples, &picture, self.image, rows), (0, 0), (0, padding.1), count)
            }
        };
        let halo = Halo { top: 0, bottom: 0, ..self.layout.halo };
        let layout = Layout { height: count, halo, ..self.layout };
        let epilogue = Epilogue { activation, residual: None };
        // SAFETY: `count` rows from `place` on lie within the ring, and in the picture from `first` on; of the picture, or
        // in the strip, there are all rows that they read.
        unsafe {
            let out = self.kept.from(place * self.layout.row_pitch());
            convolve_rows(self.isa, expand, self.panels.clone(), epilogue, input, padding, from, out, layout);
        }
        count
    }

    /// The ring, for windows that start `left` columns left of the picture.
    pub(crate) fn source(&self, left: usize) -> Source {
        let Layout { halo, channels, .. } = self.layout;
        // SAFETY: the halo is at least as wide as the padding (checked).
        let base = unsafe { self.kept.at((halo.left - left) * channels) };
        Source {
            base,
            pitch: self.layout.row_pitch(),
            pixel_pitch: channels,
            first_channel: self.first_channel,
            ring: self.rows,
            first: 0,
        }
    }
}

#[cfg(test)]
#[path = "expand_tests.rs"]
mod tests;
