//! Depthwise convolution: every channel by itself, vectorised over channels.

use std::ops::Range;

use effigy_tensor::AlignedBuf;

use crate::Cpu;
use crate::epilogue::{Activation, Map, WithMap};
use crate::gemm::flushed;
use crate::isa::{Isa, Kernel, Simd};
use crate::layout::{Layout, SharedPtr, View, ViewMut};
use crate::pooling::PartialSums;

/// A depthwise convolution's weights and bias, packed for one instruction set.
#[derive(Debug)]
pub struct PackedDepthwise {
    channels: usize,
    kernel: usize,
    stride: usize,
    /// `[k·k][channels rounded up to whole vectors]`.
    weights: AlignedBuf,
    bias: AlignedBuf,
}

impl PackedDepthwise {
    /// Packs `weights: [C, 1, k, k]` and `bias: [C]` for `isa`.
    ///
    /// # Panics
    /// When the lengths do not fit.
    #[must_use]
    pub fn new(isa: Isa, kernel: usize, stride: usize, weights: &[f32], bias: &[f32]) -> Self {
        let channels = bias.len();
        let area = kernel * kernel;
        assert_eq!(weights.len(), channels * area, "weights of a {kernel}×{kernel} depthwise convolution");
        let padded = channels.next_multiple_of(isa.lanes());
        let mut packed = AlignedBuf::zeroed(area * padded);
        for (channel, weights) in weights.chunks_exact(area).enumerate() {
            for (row, weight) in packed.chunks_exact_mut(padded).zip(weights) {
                row[channel] = flushed(*weight);
            }
        }
        let mut padded_bias = AlignedBuf::zeroed(padded);
        padded_bias[..channels].copy_from_slice(bias);
        Self { channels, kernel, stride, weights: packed, bias: padded_bias }
    }

    /// Input pixels, padding included, that `outputs` pixels of an axis reach over.
    pub(crate) fn reach(&self, outputs: usize) -> usize {
        (outputs - 1) * self.stride + self.kernel
    }

    /// Output pixels that some input pixels of an axis are enough for.
    pub(crate) fn outputs(&self, inputs: usize) -> usize {
        (inputs - self.kernel) / self.stride + 1
    }

    pub(crate) fn check(&self, input: &Layout, (top, left): (usize, usize), output: &Layout) {
        assert_eq!((input.channels, output.channels), (self.channels, self.channels), "channels");
        assert_eq!(input.images, output.images, "batch");
        assert!(
            top <= input.halo.top && left <= input.halo.left,
            "({top}, {left}) zeros are not in {input:?}"
        );
        assert!(output.height > 0 && output.width > 0, "an output has pixels");
        assert!(
            self.reach(output.height) <= top + input.height + input.halo.bottom,
            "{input:?} → {output:?}"
        );
        assert!(self.reach(output.width) <= left + input.width + input.halo.right, "{input:?} → {output:?}");
    }

    /// The padded input rows that some output rows need.
    pub(crate) fn window(&self, rows: &Range<usize>) -> Range<usize> {
        rows.start * self.stride..self.reach(rows.end)
    }

    /// The name of the kernel that runs it: type, kernel and stride, channels at a time, instruction set.
    #[must_use]
    pub fn kernel_name(&self, isa: Isa) -> String {
        let Self { kernel, stride, .. } = self;
        format!("f32 depthwise {kernel}x{kernel}/{stride} c{} {}", isa.lanes(), isa.name())
    }

    /// Height and width of the kernel.
    #[must_use]
    pub fn kernel(&self) -> usize {
        self.kernel
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&self.weights[..]) + size_of_val(&self.bias[..])
    }
}

/// Channels of a task where rows are few, so that threads share a small picture.
const TASK_CHANNELS: usize = 64;
/// Channels whose rows stay in the cache together.
const BLOCK_CHANNELS: usize = 128;
/// Blocks of columns that all those channels pass over before the next.
const SPAN: usize = 4;

/// Depthwise convolution: `output = activation(weights ∗ input + bias)`; with `sums`, also the sum of
/// every output channel, for the squeeze that follows.
///
/// `padding` and the input's halo are as in [`conv2d`](crate::conv2d).
///
/// # Panics
/// When shapes, halo or lengths do not fit together.
pub fn depthwise(
    cpu: &Cpu,
    conv: &PackedDepthwise,
    input: View<'_>,
    padding: (usize, usize),
    output: &mut ViewMut<'_>,
    activation: Activation,
    sums: Option<&mut PartialSums<'_>>,
) {
    let layout = output.layout;
    conv.check(&input.layout, padding, &layout);
    output.clear_halo();
    let job = Job::new(conv, output, activation, sums);
    let row_parts = PartialSums::parts(layout.height);
    // Rows are cut where there are many; where there are few, channels.
    let channel_parts = if row_parts == 1 { conv.channels.div_ceil(TASK_CHANNELS) } else { 1 };
    let part_channels = conv.channels.div_ceil(channel_parts).next_multiple_of(cpu.isa.lanes());
    cpu.pool.run(layout.images * row_parts * channel_parts, |task| {
        let (rest, channel_part) = (task / channel_parts, task % channel_parts);
        let (image, row_part) = (rest / row_parts, rest % row_parts);
        let first = (channel_part * part_channels).min(conv.channels);
        let channels = first..(first + part_channels).min(conv.channels);
        let source = Source::new(input, image, padding);
        let rows = PartialSums::rows(layout.height, row_part);
        cpu.isa.run(Part { job: &job, source, image, rows, channels });
    });
}

/// What all tasks of a depthwise convolution share.
pub(crate) struct Job<'a> {
    conv: &'a PackedDepthwise,
    out: SharedPtr,
    layout: Layout,
    activation: Activation,
    sums: Option<SharedPtr>,
}

impl<'a> Job<'a> {
    pub(crate) fn new(
        conv: &'a PackedDepthwise,
        output: &mut ViewMut<'_>,
        activation: Activation,
        sums: Option<&mut PartialSums<'_>>,
    ) -> Self {
        if let Some(sums) = &sums {
            sums.check(&output.layout);
        }
        Self {
            conv,
            out: SharedPtr::new(output.data),
            layout: output.layout,
            activation,
            sums: sums.map(|sums| SharedPtr::new(sums.data)),
        }
    }

    /// Rows of the output.
    pub(crate) fn height(&self) -> usize {
        self.layout.height
    }
}

/// The padded rows of one image that the windows pass over. Row 0 lies as far above the picture as the
/// padding says.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    /// The first padded value of row 0.
    pub(crate) base: *const f32,
    /// Values from a row to the next.
    pub(crate) pitch: usize,
    /// Values from a pixel to the next.
    pub(crate) pixel_pitch: usize,
    /// The channel that lies first in a pixel.
    pub(crate) first_channel: usize,
    /// Row r lies at place r mod `ring`: only the last few rows need to be in memory.
    pub(crate) ring: usize,
    /// The row that the first output row's window starts at.
    pub(crate) first: usize,
}

impl Source {
    pub(crate) fn new(input: View<'_>, image: usize, padding: (usize, usize)) -> Self {
        let Layout { halo, channels, .. } = input.layout;
        let pitch = input.layout.row_pitch();
        let start = image * input.layout.image_pitch()
            + (halo.top - padding.0) * pitch
            + (halo.left - padding.1) * channels;
        let base = input.data[start..].as_ptr();
        Self { base, pitch, pixel_pitch: channels, first_channel: 0, ring: usize::MAX, first: 0 }
    }
}

/// One task: some rows and channels of one image.
pub(crate) struct Part<'a> {
    pub(crate) job: &'a Job<'a>,
    pub(crate) source: Source,
    pub(crate) image: usize,
    pub(crate) rows: Range<usize>,
    pub(crate) channels: Range<usize>,
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let PackedDepthwise { kernel, stride, .. } = *self.job.conv;
        match (kernel, stride) {
            (3, 1) => self.channels::<S, 3, 1>(s),
            (3, 2) => self.channels::<S, 3, 2>(s),
            (5, 1) => self.channels::<S, 5, 1>(s),
            (5, 2) => self.channels::<S, 5, 2>(s),
            // Zero: known only at run time.
            _ => self.channels::<S, 0, 0>(s),
        }
    }
}

impl Part<'_> {
    #[inline(always)]
    fn channels<S: Simd, const K: usize, const STRIDE: usize>(&self, s: S) {
        // Wide blocks reuse the weights and wait less for the last multiply-add.
        match self.job.layout.width {
            width @ 8.. if STRIDE > 0 && width.is_multiple_of(8) => self.blocks::<S, K, STRIDE, 8>(s),
            7.. if STRIDE > 0 => self.blocks::<S, K, STRIDE, 7>(s),
            4.. => self.blocks::<S, K, STRIDE, 4>(s),
            _ => self.blocks::<S, K, STRIDE, 1>(s),
        }
    }

    /// The task's channels in blocks, each row of a block before the next: a row's neighbours in memory are used while
    /// they are in the cache. Of a row, a span of pixels over all channels before the next one, so that what is read
    /// and written together lies together.
    #[inline(always)]
    fn blocks<S: Simd, const K: usize, const STRIDE: usize, const COLUMNS: usize>(&self, s: S) {
        let Range { mut start, end } = self.channels.clone();
        let width = self.job.layout.width;
        while start < end {
            let block = start..end.min(start + BLOCK_CHANNELS);
            for y in self.rows.clone() {
                let first_row = (self.source.first + y * self.job.conv.stride) % self.source.ring;
                for x in (0..width).step_by(SPAN * COLUMNS) {
                    let pixels = (x, width.min(x + SPAN * COLUMNS));
                    let mut channel = block.start;
                    while channel + S::LANES <= block.end {
                        let lanes = Lanes { s, first: S::LANES, whole: true };
                        self.span::<S, K, STRIDE, COLUMNS>(lanes, Span { y, first_row, pixels, channel });
                        channel += S::LANES;
                    }
                    if channel < block.end {
                        let lanes = Lanes { s, first: block.end - channel, whole: false };
                        self.span::<S, K, STRIDE, COLUMNS>(lanes, Span { y, first_row, pixels, channel });
                    }
                }
            }
            start = block.end;
        }
    }

    /// A span of one vector of channels: the convolution, the activation and the sum.
    #[inline(always)]
    fn span<S: Simd, const K: usize, const STRIDE: usize, const COLUMNS: usize>(
        &self,
        lanes: Lanes<S>,
        span: Span,
    ) {
        let Job { layout, sums, .. } = *self.job;
        let sum = self.columns::<S, K, STRIDE, COLUMNS>(lanes, span);
        if let Some(sums) = sums {
            let (row_part, first_row) = PartialSums::part_of(layout.height, span.y);
            let first = first_row && span.pixels.0 == 0;
            let parts = PartialSums::parts(layout.height);
            // SAFETY: this task's rows and channels have a place of their own (`PartialSums::check`).
            unsafe {
                let total = sums.at((self.image * parts + row_part) * layout.channels + span.channel);
                lanes.store(total, if first { sum } else { lanes.s.add(lanes.load(total), sum) });
            }
        }
    }

    /// A span, `COLUMNS` pixels at a time; its sum, where sums are wanted.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    fn columns<S: Simd, const K: usize, const STRIDE: usize, const COLUMNS: usize>(
        &self,
        lanes: Lanes<S>,
        Span { y, first_row, pixels, channel }: Span,
    ) -> S::V {
        let Self { job: Job { conv, out, layout, activation, sums }, source, .. } = self;
        let Source { base, pitch, pixel_pitch, first_channel, ring, .. } = *source;
        let s = lanes.s;
        let (kernel, stride) = if K == 0 { (conv.kernel, conv.stride) } else { (K, STRIDE) };
        let padded = conv.bias.len();
        let step = stride * pixel_pitch;
        let mut sum = [s.splat(0.0); 2];
        // SAFETY: the caller has checked that every window lies within the source's rows and the output
        // row within the output; the lanes' channels exist from `channel` on; no other task writes
        // these rows and channels.
        unsafe {
            let bias = s.load(conv.bias.as_ptr().add(channel));
            let weights = conv.weights.as_ptr().add(channel);
            let to = out.at(layout.index(self.image, y, 0) + channel);
            let mut x = pixels.0;
            while x < pixels.1 {
                // The last block overlaps the one before it; results are written again, unchanged.
                let at = x.min(layout.width - COLUMNS);
                let from = base.add(at * step + channel - first_channel);
                let mut acc = [bias; COLUMNS];
                for ky in 0..kernel {
                    let row = first_row + ky;
                    let from = from.add(if row < ring { row } else { row - ring } * pitch);
                    // Every third column: the others are one and two steps ahead, which an address takes.
                    let mut third = [from, from.wrapping_add(3 * step), from.wrapping_add(6 * step)];
                    for kx in 0..kernel {
                        let w = s.load(weights.add((ky * kernel + kx) * padded));
                        for column in 0..COLUMNS {
                            let value = lanes.load(third[column / 3].add(column % 3 * step));
                            acc[column] = s.fma(value, w, acc[column]);
                        }
                        for from in &mut third {
                            *from = from.wrapping_add(pixel_pitch);
                        }
                    }
                }
                let uncounted = if sums.is_some() { x - at } else { COLUMNS };
                let (to, pitch) = (to.add(at * layout.channels), layout.channels);
                activation.select(FinishBlock { lanes, acc, to, pitch, uncounted, sum: &mut sum });
                x += COLUMNS;
            }
        }
        s.add(sum[0], sum[1])
    }
}

/// The activation over a block of results while they are in registers, and their sum: memory that is written is not
/// read again, since the store may still be waiting for it.
struct FinishBlock<'a, S: Simd, const COLUMNS: usize> {
    lanes: Lanes<S>,
    acc: [S::V; COLUMNS],
    to: *mut f32,
    /// Values from a column to the next.
    pitch: usize,
    /// Columns that are not to be added to the sum.
    uncounted: usize,
    /// Two, so that an addition need not wait for the last.
    sum: &'a mut [S::V; 2],
}

impl<S: Simd, const COLUMNS: usize> WithMap for FinishBlock<'_, S, COLUMNS> {
    type Output = ();

    #[inline(always)]
    fn with<M: Map>(self) {
        let Self { lanes, acc, to, pitch, uncounted, sum } = self;
        for column in 0..COLUMNS {
            let value = M::map(lanes.s, acc[column]);
            // SAFETY: a pixel of the row that the caller computes.
            unsafe { lanes.store(to.add(column * pitch), value) };
            if column >= uncounted {
                sum[column % 2] = lanes.s.add(sum[column % 2], value);
            }
        }
    }
}

/// Some pixels of an output row, one vector of channels.
#[derive(Clone, Copy)]
struct Span {
    y: usize,
    /// Where the first row of its windows lies in the source's ring.
    first_row: usize,
    /// The first pixel and the one behind the last.
    pixels: (usize, usize),
    channel: usize,
}

/// The lanes of a vector that are channels: all of them, or the first few at the end.
#[derive(Clone, Copy)]
struct Lanes<S> {
    s: S,
    first: usize,
    /// A constant wherever this is inlined; whole vectors need no masks, and a masked store could not be
    /// forwarded to the load that follows it.
    whole: bool,
}

impl<S: Simd> Lanes<S> {
    /// # Safety
    /// `p` must be valid for reading the lanes' values.
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { if self.whole { self.s.load(p) } else { self.s.load_first(p, self.first) } }
    }

    /// # Safety
    /// `p` must be valid for writing the lanes' values.
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: S::V) {
        // SAFETY: the caller's promise.
        unsafe { if self.whole { self.s.store(p, v) } else { self.s.store_first(p, self.first, v) } }
    }
}

#[cfg(test)]
#[path = "depthwise_tests.rs"]
mod tests;
