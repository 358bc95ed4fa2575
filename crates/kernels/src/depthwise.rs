//! Depthwise convolution: every channel by itself, vectorised over channels.

use std::ops::Range;

use effigy_tensor::AlignedBuf;

use crate::Cpu;
use crate::conv::split;
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
    check(conv, &input.layout, padding, &layout);
    output.clear_halo();
    let row_parts = PartialSums::parts(layout.height);
    if let Some(sums) = &sums {
        sums.check(&layout);
    }
    let channel_parts = if layout.height <= 16 { conv.channels.div_ceil(TASK_CHANNELS) } else { 1 };
    let job = Job {
        conv,
        input,
        padding,
        out: SharedPtr::new(output.data),
        layout,
        activation,
        sums: sums.map(|sums| SharedPtr::new(sums.data)),
    };
    cpu.pool.run(layout.images * row_parts * channel_parts, |task| {
        let (rest, channel_part) = (task / channel_parts, task % channel_parts);
        let (image, row_part) = (rest / row_parts, rest % row_parts);
        let first = channel_part * conv.channels.div_ceil(channel_parts).next_multiple_of(cpu.isa.lanes());
        let last = first + conv.channels.div_ceil(channel_parts).next_multiple_of(cpu.isa.lanes());
        let rows = split(layout.height, row_parts, row_part);
        let channels = first.min(conv.channels)..last.min(conv.channels);
        cpu.isa.run(Part { job: &job, image, rows, channels, sums_at: (rest) * conv.channels });
    });
}

fn check(conv: &PackedDepthwise, input: &Layout, (top, left): (usize, usize), output: &Layout) {
    assert_eq!((input.channels, output.channels), (conv.channels, conv.channels), "channels");
    assert_eq!(input.images, output.images, "batch");
    assert!(top <= input.halo.top && left <= input.halo.left, "({top}, {left}) zeros are not in {input:?}");
    assert!(output.height > 0 && output.width > 0, "an output has pixels");
    let reach = |out: usize| (out - 1) * conv.stride + conv.kernel;
    assert!(reach(output.height) <= top + input.height + input.halo.bottom, "{input:?} → {output:?}");
    assert!(reach(output.width) <= left + input.width + input.halo.right, "{input:?} → {output:?}");
}

struct Job<'a> {
    conv: &'a PackedDepthwise,
    input: View<'a>,
    padding: (usize, usize),
    out: SharedPtr,
    layout: Layout,
    activation: Activation,
    sums: Option<SharedPtr>,
}

/// One task: some rows and channels of one image.
struct Part<'a> {
    job: &'a Job<'a>,
    image: usize,
    rows: Range<usize>,
    channels: Range<usize>,
    sums_at: usize,
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
    /// The task's channels in blocks, each row of a block before the next: a row's neighbours in memory
    /// are used while they are in the cache.
    #[inline(always)]
    fn channels<S: Simd, const K: usize, const STRIDE: usize>(&self, s: S) {
        let Range { mut start, end } = self.channels.clone();
        while start < end {
            let block = start..end.min(start + BLOCK_CHANNELS);
            if let Some(sums) = self.job.sums {
                // SAFETY: this task's rows and channels have a place of their own (`PartialSums::check`).
                unsafe { std::slice::from_raw_parts_mut(sums.at(self.sums_at + start), block.len()) }
                    .fill(0.0);
            }
            for y in self.rows.clone() {
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
        // SAFETY: the row was just written, by this task; the sums of its rows and channels are its own.
        unsafe {
            let row = out.at(layout.index(self.image, y, 0) + channel);
            let finish = FinishRow { lanes, row, pitch: layout.channels, width: layout.width };
            let sum = activation.select(finish);
            if let Some(sums) = sums {
                let total = sums.at(self.sums_at + channel);
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
        let Job { conv, input, padding, out, layout, .. } = *self.job;
        let s = lanes.s;
        let (kernel, stride) = if K == 0 { (conv.kernel, conv.stride) } else { (K, STRIDE) };
        let (pitch, channels) = (input.layout.row_pitch(), layout.channels);
        let padded = conv.bias.len();
        let row = input.layout.index(self.image, y * stride, 0) - padding.0 * pitch - padding.1 * channels;
        let out_row = layout.index(self.image, y, 0) + channel;
        // SAFETY: `check` has established that every window lies within the input's halo and the output
        // row within the output; the lanes' channels exist from `channel` on; no other task writes
        // these rows and channels.
        unsafe {
            let bias = s.load(conv.bias.as_ptr().add(channel));
            let weights = conv.weights.as_ptr().add(channel);
            let mut x = 0;
            loop {
                // The last block overlaps the one before it; results are written again, unchanged.
                let at = x.min(layout.width - COLUMNS);
                let from = input.data.as_ptr().add(row + at * stride * channels + channel);
                let mut acc = [bias; COLUMNS];
                for ky in 0..kernel {
                    for kx in 0..kernel {
                        let w = s.load(weights.add((ky * kernel + kx) * padded));
                        let from = from.add(ky * pitch + kx * channels);
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
