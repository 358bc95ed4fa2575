//! Depthwise convolution: every channel by itself, vectorised over channels.

use std::ops::Range;

use effigy_tensor::AlignedBuf;

use crate::Cpu;
use crate::epilogue::{Activation, Map, WithMap};
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
        for (i, value) in weights.iter().enumerate() {
            packed[(i % area) * padded + i / area] = *value;
        }
        let mut padded_bias = AlignedBuf::zeroed(padded);
        padded_bias[..channels].copy_from_slice(bias);
        Self { channels, kernel, stride, weights: packed, bias: padded_bias }
    }

    /// Input pixels, padding included, that `outputs` pixels of an axis reach over.
    pub(crate) fn reach(&self, outputs: usize) -> usize {
        (outputs - 1) * self.stride + self.kernel
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

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&self.weights[..]) + size_of_val(&self.bias[..])
    }
}

/// Channels of a task where rows are few, so that threads share a small picture.
const TASK_CHANNELS: usize = 64;
/// Channels whose rows stay in the cache together.
const BLOCK_CHANNELS: usize = 16;

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
        cpu.isa.run(Part { job: &job, source, image, row_part, channels });
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
}

/// The padded rows of one image that the windows pass over. Row 0 lies as far above the picture as the
/// padding says.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    /// The first padded value of row 0.
    pub(crate) base: *const f32,
    /// Values from a row to the next.
    pub(crate) pitch: usize,
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
        Self { base: input.data[start..].as_ptr(), pitch, ring: usize::MAX, first: 0 }
    }
}

/// One task: some rows and channels of one image.
pub(crate) struct Part<'a> {
    pub(crate) job: &'a Job<'a>,
    pub(crate) source: Source,
    pub(crate) image: usize,
    /// Which of the parts that [`PartialSums`] cuts the rows into.
    pub(crate) row_part: usize,
    pub(crate) channels: Range<usize>,
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let conv = self.job.conv;
        match (conv.kernel, conv.stride) {
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
    /// Where the sums of the task's rows start.
    fn sums_at(&self) -> usize {
        let parts = PartialSums::parts(self.job.layout.height);
        (self.image * parts + self.row_part) * self.job.conv.channels
    }

    /// The task's channels in blocks, each row of a block before the next: a row's neighbours in memory
    /// are used while they are in the cache.
    #[inline(always)]
    fn channels<S: Simd, const K: usize, const STRIDE: usize>(&self, s: S) {
        let Range { mut start, end } = self.channels.clone();
        while start < end {
            let block = start..end.min(start + BLOCK_CHANNELS);
            if let Some(sums) = self.job.sums {
                // SAFETY: this task's rows and channels have a place of their own (`PartialSums::check`).
                unsafe { std::slice::from_raw_parts_mut(sums.at(self.sums_at() + start), block.len()) }
                    .fill(0.0);
            }
            for y in PartialSums::rows(self.job.layout.height, self.row_part) {
                let mut channel = block.start;
                while channel + S::LANES <= block.end {
                    self.row::<S, K, STRIDE>(Lanes { s, first: S::LANES, whole: true }, y, channel);
                    channel += S::LANES;
                }
                if channel < block.end {
                    let first = block.end - channel;
                    self.row::<S, K, STRIDE>(Lanes { s, first, whole: false }, y, channel);
                }
            }
            start = block.end;
        }
    }

    /// One output row of one vector of channels: the convolution, then the activation and the sum.
    #[inline(always)]
    fn row<S: Simd, const K: usize, const STRIDE: usize>(&self, lanes: Lanes<S>, y: usize, channel: usize) {
        let Job { out, sums, layout, activation, .. } = *self.job;
        self.convolve::<S, K, STRIDE>(lanes, y, channel);
        if activation == Activation::Identity && sums.is_none() {
            return;
        }
        // SAFETY: the row was just written, by this task; the sums of its rows and channels are its own.
        unsafe {
            let row = out.at(layout.index(self.image, y, 0) + channel);
            let finish = FinishRow { lanes, row, pitch: layout.channels, width: layout.width };
            let sum = activation.select(finish);
            if let Some(sums) = sums {
                let total = sums.at(self.sums_at() + channel);
                lanes.store(total, lanes.s.add(lanes.load(total), sum));
            }
        }
    }

    /// The convolution of a row, several columns at a time.
    #[inline(always)]
    fn convolve<S: Simd, const K: usize, const STRIDE: usize>(
        &self,
        lanes: Lanes<S>,
        y: usize,
        channel: usize,
    ) {
        let width = self.job.layout.width;
        // Wide blocks reuse the weights; at stride 2 their inputs would no longer fit in registers.
        match (STRIDE, width) {
            (1, 8..) if width.is_multiple_of(8) => self.columns::<S, K, STRIDE, 8>(lanes, y, channel),
            (1, 7..) => self.columns::<S, K, STRIDE, 7>(lanes, y, channel),
            (1 | 2, 4..) => self.columns::<S, K, STRIDE, 4>(lanes, y, channel),
            _ => self.columns::<S, K, STRIDE, 1>(lanes, y, channel),
        }
    }

    #[inline(always)]
    fn columns<S: Simd, const K: usize, const STRIDE: usize, const COLUMNS: usize>(
        &self,
        lanes: Lanes<S>,
        y: usize,
        channel: usize,
    ) {
        let Job { conv, out, layout, .. } = *self.job;
        let Source { base, pitch, ring, first } = self.source;
        let s = lanes.s;
        let (kernel, stride) = if K == 0 { (conv.kernel, conv.stride) } else { (K, STRIDE) };
        let channels = layout.channels;
        let padded = conv.bias.len();
        let first_row = (first + y * stride) % ring;
        let out_row = layout.index(self.image, y, 0) + channel;
        // SAFETY: the caller has checked that every window lies within the source's rows and the output
        // row within the output; the lanes' channels exist from `channel` on; no other task writes
        // these rows and channels.
        unsafe {
            let bias = s.load(conv.bias.as_ptr().add(channel));
            let weights = conv.weights.as_ptr().add(channel);
            let mut x = 0;
            loop {
                // The last block overlaps the one before it; results are written again, unchanged.
                let at = x.min(layout.width - COLUMNS);
                let from = base.add(at * stride * channels + channel);
                let mut acc = [bias; COLUMNS];
                for ky in 0..kernel {
                    let row = first_row + ky;
                    let from = from.add(if row < ring { row } else { row - ring } * pitch);
                    for kx in 0..kernel {
                        let w = s.load(weights.add((ky * kernel + kx) * padded));
                        let from = from.add(kx * channels);
                        for (column, acc) in acc.iter_mut().enumerate() {
                            *acc = s.fma(lanes.load(from.add(column * stride * channels)), w, *acc);
                        }
                    }
                }
                for (column, acc) in acc.into_iter().enumerate() {
                    lanes.store(out.at(out_row + (at + column) * channels), acc);
                }
                x += COLUMNS;
                if x >= layout.width {
                    return;
                }
            }
        }
    }
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

/// The activation over one row of one vector of channels, and their sum.
struct FinishRow<S: Simd> {
    lanes: Lanes<S>,
    row: *mut f32,
    pitch: usize,
    width: usize,
}

impl<S: Simd> WithMap for FinishRow<S> {
    type Output = S::V;

    #[inline(always)]
    fn with<M: Map>(self) -> S::V {
        let Self { lanes, row, pitch, width } = self;
        let mut sum = lanes.s.splat(0.0);
        for x in 0..width {
            // SAFETY: pixel x of the row that the caller has just written.
            unsafe {
                let p = row.add(x * pitch);
                let value = M::map(lanes.s, lanes.load(p));
                lanes.store(p, value);
                sum = lanes.s.add(sum, value);
            }
        }
        sum
    }
}

#[cfg(test)]
#[path = "depthwise_tests.rs"]
mod tests;
