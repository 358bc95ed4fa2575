//! Depthwise convolution: every channel by itself, vectorised over channels.

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
    rows: std::ops::Range<usize>,
    channels: std::ops::Range<usize>,
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
    #[inline(always)]
    fn channels<S: Simd, const K: usize, const STRIDE: usize>(&self, s: S) {
        let Job { conv, sums, layout, .. } = *self.job;
        let mut channel = self.channels.start;
        while channel < self.channels.end {
            let lanes = S::LANES.min(conv.channels - channel);
            let mut sum = s.splat(0.0);
            for y in self.rows.clone() {
                self.row::<S, K, STRIDE>(s, y, channel, lanes);
                // SAFETY: the row was just written, by this task.
                let row = unsafe { self.job.out.at(layout.index(self.image, y, 0) + channel) };
                let finish = FinishRow { s, row, pitch: layout.channels, width: layout.width, lanes, sum };
                sum = self.job.activation.select(finish);
            }
            if let Some(sums) = sums {
                // SAFETY: this task's rows and channels have a place of their own (`PartialSums::check`).
                unsafe { s.store_first(sums.at(self.sums_at + channel), lanes, sum) };
            }
            channel += S::LANES;
        }
    }

    /// One output row of one vector of channels, several columns at a time.
    #[inline(always)]
    fn row<S: Simd, const K: usize, const STRIDE: usize>(
        &self,
        s: S,
        y: usize,
        channel: usize,
        lanes: usize,
    ) {
        let width = self.job.layout.width;
        // Wide blocks reuse the weights; at stride 2 their inputs would no longer fit in registers.
        match (STRIDE, width) {
            (1, 8..) if width.is_multiple_of(8) => self.columns::<S, K, STRIDE, 8>(s, y, channel, lanes),
            (1, 7..) => self.columns::<S, K, STRIDE, 7>(s, y, channel, lanes),
            (1 | 2, 4..) => self.columns::<S, K, STRIDE, 4>(s, y, channel, lanes),
            _ => self.columns::<S, K, STRIDE, 1>(s, y, channel, lanes),
        }
    }

    #[inline(always)]
    fn columns<S: Simd, const K: usize, const STRIDE: usize, const COLUMNS: usize>(
        &self,
        s: S,
        y: usize,
        channel: usize,
        lanes: usize,
    ) {
        let Job { conv, input, padding, out, layout, .. } = *self.job;
        let (kernel, stride) = if K == 0 { (conv.kernel, conv.stride) } else { (K, STRIDE) };
        let pitch = input.layout.row_pitch();
        let padded = conv.bias.len();
        let row =
            input.layout.index(self.image, y * stride, 0) - padding.0 * pitch - padding.1 * layout.channels;
        let out_row = layout.index(self.image, y, 0) + channel;
        // SAFETY: `check` has established that every window lies within the input's halo and
        // the output row within the output; `lanes` channels exist from `channel` on; no other task writes
        // these rows and channels.
        unsafe {
            let bias = s.load(conv.bias.as_ptr().add(channel));
            let weights = conv.weights.as_ptr().add(channel);
            let mut x = 0;
            loop {
                // The last block overlaps the one before it; results are written again, unchanged.
                let at = x.min(layout.width - COLUMNS);
                let from = input.data.as_ptr().add(row + at * stride * layout.channels + channel);
                let mut acc = [bias; COLUMNS];
                for ky in 0..kernel {
                    for kx in 0..kernel {
                        let w = s.load(weights.add((ky * kernel + kx) * padded));
                        let from = from.add(ky * pitch + kx * layout.channels);
                        for (column, acc) in acc.iter_mut().enumerate() {
                            let p = from.add(column * stride * layout.channels);
                            let value = if lanes == S::LANES { s.load(p) } else { s.load_first(p, lanes) };
                            *acc = s.fma(value, w, *acc);
                        }
                    }
                }
                for (column, acc) in acc.into_iter().enumerate() {
                    s.store_first(out.at(out_row + (at + column) * layout.channels), lanes, acc);
                }
                x += COLUMNS;
                if x >= layout.width {
                    return;
                }
            }
        }
    }
}

/// The activation over one row of one vector of channels, and their sum.
struct FinishRow<S: Simd> {
    s: S,
    row: *mut f32,
    pitch: usize,
    width: usize,
    lanes: usize,
    sum: S::V,
}

impl<S: Simd> WithMap for FinishRow<S> {
    type Output = S::V;

    #[inline(always)]
    fn with<M: Map>(self) -> S::V {
        let Self { s, row, pitch, width, lanes, mut sum } = self;
        for x in 0..width {
            // SAFETY: pixel x of the row that the caller has just written.
            unsafe {
                let p = row.add(x * pitch);
                let value = M::map(s, s.load_first(p, lanes));
                s.store_first(p, lanes, value);
                sum = s.add(sum, value);
            }
        }
        sum
    }
}

#[cfg(test)]
#[path = "depthwise_tests.rs"]
mod tests;
