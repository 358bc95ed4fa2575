//! A 1×1 convolution and the depthwise one after it, row by row: the wide activation between them never
//! leaves the second-level cache.

use crate::conv::{PackedConv, conv2d, convolve_rows, split};
use crate::depthwise::{Job, PackedDepthwise, Part, Source, depthwise};
use crate::epilogue::{Activation, Epilogue};
use crate::layout::{Halo, Layout, SharedPtr, View, ViewMut};
use crate::pooling::PartialSums;
use crate::{Cpu, Isa};

/// Length of the scratch memory that [`expand_depthwise`] needs: `expanded` is the layout of the
/// activation between the convolutions, with the halo that the depthwise one reads.
#[must_use]
pub fn expand_scratch_len(cpu: &Cpu, conv: &PackedDepthwise, expanded: &Layout, output: &Layout) -> usize {
    match PartialSums::parts(output.height) {
        1 => expanded.len(),
        _ => cpu.pool.threads() * ring_rows(conv, output) * expanded.row_pitch(),
    }
}

/// `depthwise(activation(weights ∗ input + bias))`: [`conv2d`] with a 1×1 kernel and stride 1 into
/// `expanded`, then [`depthwise`], without keeping the activation between them.
///
/// # Panics
/// When shapes, halo or lengths do not fit together.
pub fn expand_depthwise(
    cpu: &Cpu,
    (expand, expand_activation): (&PackedConv, Activation),
    input: View<'_>,
    expanded: Layout,
    scratch: &mut [f32],
    conv: &PackedDepthwise,
    padding: (usize, usize),
    output: &mut ViewMut<'_>,
    activation: Activation,
    sums: Option<&mut PartialSums<'_>>,
) {
    let layout = output.layout;
    let parts = PartialSums::parts(layout.height);
    if parts == 1 {
        let mut between = ViewMut::new(scratch, expanded);
        let epilogue = Epilogue { activation: expand_activation, residual: None };
        conv2d(cpu, expand, input, (0, 0), None, &mut between, epilogue);
        return depthwise(cpu, conv, between.as_view(), padding, output, activation, sums);
    }
    check(expand, &input.layout, &expanded);
    conv.check(&expanded, padding, &layout);
    assert!(scratch.len() >= expand_scratch_len(cpu, conv, &expanded, &layout), "scratch for {expanded:?}");
    output.clear_halo();
    let job = Job::new(conv, output, activation, sums);
    let ring_rows = ring_rows(conv, &layout);
    let ring_len = ring_rows * expanded.row_pitch();
    let scratch = SharedPtr::new(scratch);
    // Rows at the border of two tasks are expanded twice, so there are no more tasks than threads need.
    let tasks = if cpu.pool.threads() == 1 { 1 } else { parts.min(2 * cpu.pool.threads()) };
    cpu.pool.run_with_thread(layout.images * tasks, |thread, task| {
        let (image, task) = (task / tasks, task % tasks);
        // SAFETY: threads have rings of their own in the scratch, whose length was checked.
        let ring = unsafe { scratch.from(thread * ring_len) };
        let mut strip =
            Strip { isa: cpu.isa, expand, expand_activation, input, image, expanded, ring, ring_rows };
        strip.clear_sides();
        let mut next = None;
        for row_part in split(parts, tasks, task) {
            let window = conv.window(&PartialSums::rows(layout.height, row_part));
            strip.fill(next.unwrap_or(window.start)..window.end, padding.0);
            next = Some(window.end);
            let source = strip.source(padding.1);
            cpu.isa.run(Part { job: &job, source, image, row_part, channels: 0..layout.channels });
        }
    });
}

fn check(expand: &PackedConv, input: &Layout, expanded: &Layout) {
    assert_eq!((expand.shape.kernel, expand.shape.stride), (1, 1), "an expansion is 1×1");
    assert_eq!(expand.shape.inputs, input.channels, "channels of the input");
    assert_eq!(expand.shape.outputs, expanded.channels, "channels of the expansion");
    assert!(Layout { channels: input.channels, ..*expanded }.same_shape(input), "{input:?} → {expanded:?}");
}

/// Rows that the longest part needs at the same time.
fn ring_rows(conv: &PackedDepthwise, output: &Layout) -> usize {
    let parts = PartialSums::parts(output.height);
    conv.reach(output.height.div_ceil(parts))
}

/// The expansion of one image, of which a ring of rows is in memory.
struct Strip<'a> {
    isa: Isa,
    expand: &'a PackedConv,
    expand_activation: Activation,
    input: View<'a>,
    image: usize,
    expanded: Layout,
    ring: SharedPtr,
    ring_rows: usize,
}

impl Strip<'_> {
    /// The row at a place of the ring, sides included.
    fn row(&mut self, place: usize) -> &mut [f32] {
        let pitch = self.expanded.row_pitch();
        // SAFETY: callers stay within the ring, which is this task's own, borrowed from `self`.
        unsafe { std::slice::from_raw_parts_mut(self.ring.at(place * pitch), pitch) }
    }

    /// Writes zeros left and right of every row; the rows themselves never reach there.
    fn clear_sides(&mut self) {
        let Layout { width, channels, halo, .. } = self.expanded;
        for row in 0..self.ring_rows {
            let row = self.row(row);
            row[..halo.left * channels].fill(0.0);
            row[(halo.left + width) * channels..].fill(0.0);
        }
    }

    /// Computes padded rows: zeros above and below the picture, the expansion within.
    fn fill(&mut self, rows: std::ops::Range<usize>, top: usize) {
        let mut row = rows.start;
        while row < rows.end {
            let place = row % self.ring_rows;
            let picture = top..top + self.expanded.height;
            if !picture.contains(&row) {
                self.row(place).fill(0.0);
                row += 1;
                continue;
            }
            let count = (rows.end.min(picture.end) - row).min(self.ring_rows - place);
            let halo = Halo { top: 0, bottom: 0, ..self.expanded.halo };
            let layout = Layout { images: 1, height: count, halo, ..self.expanded };
            // SAFETY: `count` rows from `place` on lie within the ring, and in the picture from `row − top`.
            unsafe {
                let out = self.ring.from(place * self.expanded.row_pitch());
                let from = (self.image, row - top);
                let panels = 0..self.expand.panels();
                convolve_rows(
                    self.isa,
                    self.expand,
                    panels,
                    self.expand_activation,
                    self.input,
                    (0, 0),
                    from,
                    out,
                    layout,
                );
            }
            row += count;
        }
    }

    /// The ring, for windows that start `left` columns left of the picture.
    fn source(&self, left: usize) -> Source {
        let Layout { halo, channels, .. } = self.expanded;
        // SAFETY: the halo is at least as wide as the padding (checked).
        let base = unsafe { self.ring.at((halo.left - left) * channels) };
        Source { base, pitch: self.expanded.row_pitch(), ring: self.ring_rows, first: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::ConvShape;
    use crate::naive::noise;

    /// The fused form against the two kernels one after the other: the same arithmetic, bit for bit.
    fn run(
        cpu: &Cpu,
        (kernel, stride): (usize, usize),
        pad: Halo,
        (height, width): (usize, usize),
        channels: usize,
    ) {
        let (images, inputs) = (2, 7);
        let size = |side: usize, before: usize, after: usize| (side + before + after - kernel) / stride + 1;
        let out = Layout::dense(
            images,
            size(height, pad.top, pad.bottom),
            size(width, pad.left, pad.right),
            channels,
        );
        let input = Layout::dense(images, height, width, inputs);
        let expanded = Layout::dense(images, height, width, channels).with_halo(pad);
        let values = noise(input.len(), 1);
        let shape = ConvShape { inputs, outputs: channels, kernel: 1, stride: 1 };
        let expand = PackedConv::new(cpu.isa, shape, &noise(inputs * channels, 2), &noise(channels, 3));
        let weights = noise(channels * kernel * kernel, 4);
        let conv = PackedDepthwise::new(cpu.isa, kernel, stride, &weights, &noise(channels, 5));

        let mut between = vec![f32::NAN; expanded.len()];
        let epilogue = Epilogue { activation: Activation::Swish, residual: None };
        let view = View::new(&values, input);
        conv2d(cpu, &expand, view, (0, 0), None, &mut ViewMut::new(&mut between, expanded), epilogue);
        let padding = (pad.top, pad.left);
        let mut results = [vec![f32::NAN; out.len()], vec![f32::NAN; out.len()]];
        let mut sums = [(); 2].map(|()| vec![f32::NAN; PartialSums::len_for(&out)]);
        let between = View::new(&between, expanded);
        let mut partial = PartialSums::new(&mut sums[0]);
        let mut output = ViewMut::new(&mut results[0], out);
        depthwise(cpu, &conv, between, padding, &mut output, Activation::Relu6, Some(&mut partial));

        let mut scratch = vec![f32::NAN; expand_scratch_len(cpu, &conv, &expanded, &out)];
        let expand = (&expand, Activation::Swish);
        let mut partial = PartialSums::new(&mut sums[1]);
        let mut output = ViewMut::new(&mut results[1], out);
        let (act, sums_out) = (Activation::Relu6, Some(&mut partial));
        expand_depthwise(
            cpu,
            expand,
            view,
            expanded,
            &mut scratch,
            &conv,
            padding,
            &mut output,
            act,
            sums_out,
        );
        let what = format!("{} {kernel}/{stride} {height}×{width}×{channels} {pad:?}", cpu.isa.name());
        assert!(results[0] == results[1], "{what}: values differ");
        assert!(sums[0] == sums[1], "{what}: sums differ");
    }

    #[test]
    fn equals_one_after_the_other() {
        for isa in Isa::available() {
            for threads in [1, 3] {
                let cpu = Cpu::new(isa, threads);
                for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2)] {
                    let half = kernel / 2;
                    for (top, left) in [(half, half), (half - 1, half - 1)] {
                        let pad = Halo { top, left, bottom: half, right: half };
                        for height in [5, 16, 17, 33, 35, 70] {
                            run(&cpu, (kernel, stride), pad, (height, 9), 20);
                        }
                        run(&cpu, (kernel, stride), pad, (40, 23), 48);
                    }
                }
            }
        }
    }
}
