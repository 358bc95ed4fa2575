//! A dense convolution and the depthwise one after it, a few rows or channels at a time: the wide
//! activation between them, the largest of a network, never leaves the cache.

use std::ops::Range;

use crate::cache;
use crate::conv::{PackedConv, check_input, convolve_rows};
use crate::depthwise::{Job, PackedDepthwise, Part, Source};
use crate::epilogue::{Activation, Epilogue};
use crate::layout::{Halo, Layout, SharedPtr, View, ViewMut};
use crate::pool::{self, apart, split};
use crate::pooling::PartialSums;
use crate::{Cpu, Isa};

/// Of the second-level cache, what panels of weights and the fewest rows of what they compute may fill.
const PANELS_KEPT: (usize, usize) = (7, 16);
/// More rows than the fewest are kept as long as they take this many bytes.
const KEPT: usize = 224 << 10;

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

/// Length of the scratch memory that [`expand_depthwise`] needs.
#[must_use]
pub fn expand_scratch_len(
    cpu: &Cpu,
    expansion: &Expansion<'_>,
    conv: &PackedDepthwise,
    output: &Layout,
) -> usize {
    let threads = cpu.pool.threads();
    threads * Cut::new(threads, expansion, conv, output).kept_len(&expansion.expanded)
}

/// `depthwise(activation(weights ∗ input + bias))`: [`conv2d`](crate::conv2d), then
/// [`depthwise`](crate::depthwise), bit for bit, without keeping the activation between them.
///
/// # Panics
/// When shapes, halo or lengths do not fit together.
pub fn expand_depthwise(
    cpu: &Cpu,
    expansion: &Expansion<'_>,
    input: View<'_>,
    scratch: &mut [f32],
    conv: &PackedDepthwise,
    padding: (usize, usize),
    output: &mut ViewMut<'_>,
    activation: Activation,
    sums: Option<&mut PartialSums<'_>>,
) {
    let Expansion { expand, expanded, .. } = *expansion;
    let layout = output.layout;
    check_input(expand, &input.layout, expansion.padding, &expanded);
    conv.check(&expanded, padding, &layout);
    let threads = cpu.pool.threads();
    let cut = Cut::new(threads, expansion, conv, &layout);
    let kept_len = cut.kept_len(&expanded);
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

    /// From the values of the activation between the convolutions that a thread keeps to those of the next.
    fn kept_len(&self, expanded: &Layout) -> usize {
        apart(self.rows * (expanded.row_pitch() / expanded.channels) * self.channels)
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
    input: View<'a>,
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
    /// `kept` must be valid for writing so many rows, by this thread alone, for as long as the ring lives.
    pub(crate) unsafe fn new(
        isa: Isa,
        expansion: &'a Expansion<'a>,
        input: View<'a>,
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
            let halo = Halo { top: 0, bottom: 0, ..self.layout.halo };
            let layout = Layout { height: count, halo, ..self.layout };
            let Expansion { expand, activation, padding, .. } = *self.expansion;
            let epilogue = Epilogue { activation, residual: None };
            let (panels, from) = (self.panels.clone(), (self.image, row - top));
            // SAFETY: `count` rows from `place` on lie within the ring, and in the picture from `row − top`.
            unsafe {
                let out = self.kept.from(place * self.layout.row_pitch());
                convolve_rows(self.isa, expand, panels, epilogue, self.input, padding, from, out, layout);
            }
            row += count;
        }
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
mod tests {
    use super::*;
    use crate::conv::{ConvShape, conv2d};
    use crate::depthwise::depthwise;
    use crate::naive::noise;

    /// Two convolutions and the picture they run on.
    #[derive(Clone, Copy)]
    struct Case {
        /// Kernel and stride.
        first: (usize, usize),
        depthwise: (usize, usize),
        /// Zeros around the activation between them.
        pad: Halo,
        /// Height and width of that activation.
        size: (usize, usize),
        channels: usize,
    }

    /// The fused form against the two kernels one after the other: the same arithmetic, bit for bit.
    fn run(cpu: &Cpu, case: Case) {
        let Case { first, depthwise: (kernel, stride), pad, size: (height, width), channels } = case;
        let (images, inputs) = (2, 7);
        let size = |side: usize, before: usize, after: usize| (side + before + after - kernel) / stride + 1;
        let (out_height, out_width) = (size(height, pad.top, pad.bottom), size(width, pad.left, pad.right));
        let out = Layout::dense(images, out_height, out_width, channels);
        // A picture that the first convolution reads without rows above it.
        let below = first.0 - 1;
        let input = Layout::dense(images, (height - 1) * first.1 + 1, (width - 1) * first.1 + 1, inputs)
            .with_halo(Halo { bottom: below, right: below, ..Halo::default() });
        let expanded = Layout::dense(images, height, width, channels).with_halo(pad);
        let values = noise(input.len(), 1);
        let shape = ConvShape { inputs, outputs: channels, kernel: first.0, stride: first.1 };
        let weights = noise(inputs * channels * first.0 * first.0, 2);
        let expand = PackedConv::new(cpu.isa, shape, &weights, &noise(channels, 3));
        let weights = noise(channels * kernel * kernel, 4);
        let conv = PackedDepthwise::new(cpu.isa, kernel, stride, &weights, &noise(channels, 5));

        let view = View::new(&values, input);
        let mut results = [vec![f32::NAN; out.len()], vec![f32::NAN; out.len()]];
        let mut sums = [(); 2].map(|()| vec![f32::NAN; PartialSums::len_for(&out)]);
        let [one_by_one, fused] = &mut results;
        let [sums_one_by_one, sums_fused] = &mut sums;
        let padding = (pad.top, pad.left);

        let mut between = vec![f32::NAN; expanded.len()];
        let mut between = ViewMut::new(&mut between, expanded);
        let epilogue = Epilogue { activation: Activation::Swish, residual: None };
        conv2d(cpu, &expand, view, (0, 0), None, &mut between, epilogue);
        let mut partial = PartialSums::new(sums_one_by_one);
        let mut output = ViewMut::new(one_by_one, out);
        let between = between.as_view();
        depthwise(cpu, &conv, between, padding, &mut output, Activation::Relu6, Some(&mut partial));

        let expansion =
            Expansion { expand: &expand, activation: Activation::Swish, padding: (0, 0), expanded };
        let mut scratch = vec![f32::NAN; expand_scratch_len(cpu, &expansion, &conv, &out)];
        let mut partial = PartialSums::new(sums_fused);
        let mut output = ViewMut::new(fused, out);
        expand_depthwise(
            cpu,
            &expansion,
            view,
            &mut scratch,
            &conv,
            padding,
            &mut output,
            Activation::Relu6,
            Some(&mut partial),
        );
        let what =
            format!("{} {first:?}, {kernel}/{stride} {height}×{width}×{channels} {pad:?}", cpu.isa.name());
        assert!(results[0] == results[1], "{what}: values differ");
        assert!(sums[0] == sums[1], "{what}: sums differ");
    }

    #[test]
    fn equals_one_after_the_other() {
        for isa in Isa::available() {
            for threads in [1, 3] {
                let cpu = Cpu::new(isa, threads);
                for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2), (3, 4)] {
                    let half = kernel / 2;
                    for (top, left) in [(half, half), (half - 1, half - 1)] {
                        let pad = Halo { top, left, bottom: half, right: half };
                        let case = Case {
                            first: (1, 1),
                            depthwise: (kernel, stride),
                            pad,
                            size: (5, 9),
                            channels: 20,
                        };
                        for height in [5, 16, 17, 33, 35, 70] {
                            run(&cpu, Case { size: (height, 9), ..case });
                        }
                        run(&cpu, Case { size: (40, 23), channels: 48, ..case });
                        run(&cpu, Case { size: (9, 7), channels: 144, ..case });
                        run(&cpu, Case { size: (12, 260), channels: 272, ..case });
                        run(&cpu, Case { size: (70, 60), channels: 48, ..case });
                        run(&cpu, Case { first: (3, 2), size: (34, 120), ..case });
                        run(&cpu, Case { first: (3, 2), size: (18, 20), channels: 33, ..case });
                    }
                }
            }
        }
    }

    #[test]
    fn the_cases_above_are_cut_in_every_way() {
        let cut = |size: (usize, usize), channels: usize| {
            let shape = ConvShape { inputs: 7, outputs: channels, kernel: 1, stride: 1 };
            let expand = PackedConv::new(Isa::best(), shape, &noise(7 * channels, 1), &noise(channels, 2));
            let conv = PackedDepthwise::new(Isa::best(), 3, 1, &noise(9 * channels, 3), &noise(channels, 4));
            let output = Layout::dense(1, size.0, size.1, channels);
            let expanded = output.with_halo(Halo { top: 1, bottom: 1, left: 1, right: 1 });
            let expansion =
                Expansion { expand: &expand, activation: Activation::Relu, padding: (0, 0), expanded };
            let cut = Cut::within(800 << 10, 1, &expansion, &conv, &output);
            (cut.panels == expand.panels(), cut.rows == size.0 + 2)
        };
        assert_eq!(cut((9, 7), 144), (true, true), "everything is kept");
        assert_eq!(cut((70, 60), 48), (true, false), "a ring of all channels");
        assert_eq!(cut((37, 260), 272), (false, false), "a ring of some channels");
    }
}
