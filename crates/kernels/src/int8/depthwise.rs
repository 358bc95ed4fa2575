//! Depthwise convolution of bytes: neighbouring pixels of a row are gathered in 32-bit lanes, so that one
//! instruction multiplies and adds several taps.

use std::ops::Range;

use super::elementwise::{Pixels, add_up};
use super::epilogue::{Finish, Output};
use super::finish::{Columns, Rows, Sums, finish_rows};
use super::weights::QuantWeights;
use super::window::Window;
use super::{Bytes, BytesMut, Quant, Shared};
use crate::epilogue::Activation;
use crate::isa::int::{IntIsa, IntKernel, IntSimd};
use crate::layout::Layout;
use crate::pool::{ThreadPool, apart, split};

/// A depthwise convolution on bytes, packed for one instruction set.
#[derive(Debug)]
pub struct QuantDepthwise {
    isa: IntIsa,
    channels: usize,
    kernel: usize,
    stride: usize,
    input: Quant,
    /// `[kernel][groups][channels, filled up]`: lanes of [`IntSimd::TAPS`] taps of a row of the kernel.
    weights: Vec<i32>,
    starts: Vec<i32>,
    finish: Finish,
}

/// Channels that tasks have at most.
const TASK_CHANNELS: usize = 64;
/// Rows of a task where several threads share a picture, at most and at least.
const TASK_ROWS: usize = 28;
const LEAST_ROWS: usize = 7;
/// Bytes of gathered rows that a task works on, to stay in the first-level cache.
const RINGS: usize = 24 << 10;
/// Columns of an output that a task passes over from top to bottom, before it does the next ones.
const STRIP: usize = 28;

impl QuantDepthwise {
    /// Bytes of packed weights.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&self.weights[..]) + size_of_val(&self.starts[..])
    }

    /// Packs `weights: [C, 1, k, k]` and `bias: [C]` for `isa`, to read bytes of `input` and to write bytes of
    /// `output`.
    ///
    /// # Panics
    /// When the lengths do not fit.
    #[must_use]
    pub fn new(
        isa: IntIsa,
        (kernel, stride): (usize, usize),
        weights: &[f32],
        bias: &[f32],
        input: Quant,
        activation: Activation,
        output: Quant,
    ) -> Self {
        let channels = bias.len();
        let area = kernel * kernel;
        assert_eq!(weights.len(), channels * area, "weights of a {kernel}×{kernel} depthwise convolution");
        let quantised = QuantWeights::free(weights.chunks_exact(area));
        let padded = channels.next_multiple_of(isa.lanes());
        let taps = isa.taps();
        let (groups, bits) = (kernel.div_ceil(taps), u32::BITS as usize / taps);
        let mut packed = vec![0; kernel * groups * padded];
        for (i, value) in quantised.values.iter().enumerate() {
            let (c, ky, kx) = (i / area, i % area / kernel, i % kernel);
            let number = i32::from(*value) as u32 & (u32::MAX >> (32 - bits));
            packed[(ky * groups + kx / taps) * padded + c] |= (number << (kx % taps * bits)) as i32;
        }
        let sum = |c| quantised.row(c).iter().map(|w| i32::from(*w)).sum::<i32>();
        let mut starts: Vec<i32> = (0..channels).map(|c| -i32::from(input.zero) * sum(c)).collect();
        starts.resize(padded, 0);
        let scales: Vec<f32> = quantised.scales.iter().map(|scale| scale * input.scale).collect();
        let finish = Finish::new(&scales, bias, activation, Output::Bytes(output), padded);
        Self { isa, channels, kernel, stride, input, weights: packed, starts, finish }
    }

    /// Padded rows or columns that so many output pixels read.
    pub(super) fn reach(&self, outputs: usize) -> usize {
        (outputs - 1) * self.stride + self.kernel
    }

    /// The padded rows that some output rows read.
    pub(super) fn window(&self, rows: &Range<usize>) -> Range<usize> {
        rows.start * self.stride..self.reach(rows.end)
    }

    /// Vectors of gathered pixels in a row for so many output pixels.
    fn gathered(&self, outputs: usize) -> usize {
        let taps = self.isa.taps();
        let last = (outputs - 1) * self.stride + (self.kernel.div_ceil(taps) - 1) * taps;
        last / step(taps, self.stride) + 1
    }

    /// 32-bit lanes of the gathered rows that a vector of channels needs at a time.
    fn ring_len(&self, output: &Layout) -> usize {
        self.kernel * self.gathered(output.width.min(STRIP)) * self.isa.lanes()
    }

    /// Vectors of channels that a task works on.
    fn blocks(&self, output: &Layout) -> usize {
        let ring = size_of::<i32>() * self.ring_len(output);
        (RINGS / ring).clamp(1, TASK_CHANNELS / self.isa.lanes())
    }

    /// Length of the scratch memory, in floats, that [`run`](Self::run) needs for an output of this layout.
    #[must_use]
    pub fn scratch_len(&self, threads: usize, output: &Layout) -> usize {
        threads * self.thread_scratch(output)
    }

    /// From a thread's rings, and sums of a row of four vectors, to those of the next, in 32-bit lanes.
    fn thread_scratch(&self, output: &Layout) -> usize {
        apart(self.blocks(output) * self.ring_len(output) + 4 * STRIP * self.isa.lanes())
    }

    /// Length of `sums` for an output of this layout: `[N, parts, C]`.
    #[must_use]
    pub fn sums_len(&self, threads: usize, output: &Layout) -> usize {
        output.images * parts(threads, output.height) * self.channels
    }

    /// `output = activation(weights ∗ input + bias)`; with `sums`, also the sums of every output channel's
    /// bytes, for the mean that follows ([`mean_of_sums`](super::mean_of_sums)).
    ///
    /// `padding` and the input's halo are as in [`QuantConv::run`](super::QuantConv::run).
    ///
    /// # Panics
    /// When shapes, halo, lengths, or what the bytes stand for do not fit.
    pub fn run(
        &self,
        pool: &ThreadPool,
        input: Bytes<'_>,
        padding: (usize, usize),
        scratch: &mut [f32],
        output: &mut BytesMut<'_>,
        sums: Option<&mut [i32]>,
    ) {
        let layout = output.layout;
        self.check(&input, padding, output);
        assert!(scratch.len() >= self.scratch_len(pool.threads(), &layout), "scratch for {layout:?}");
        if let Some(sums) = &sums {
            assert!(
                sums.len() >= self.sums_len(pool.threads(), &layout),
                "{} sums for {layout:?}",
                sums.len()
            );
        }
        output.clear_halo();
        let job = Job {
            conv: self,
            input,
            padding,
            out: Shared::new(output.data),
            layout,
            sums: sums.map(Shared::new),
        };
        let blocks = self.blocks(&layout);
        let task_channels = blocks * self.isa.lanes();
        let channel_parts = self.channels.div_ceil(task_channels);
        let row_parts = parts(pool.threads(), layout.height);
        let (ring_len, thread_scratch) = (self.ring_len(&layout), self.thread_scratch(&layout));
        let scratch = Shared::new(super::ints_of_mut(scratch));
        pool.run_with_thread(layout.images * row_parts * channel_parts, |thread, task| {
            let (rest, channel_part) = (task / channel_parts, task % channel_parts);
            let first = channel_part * task_channels;
            // SAFETY: threads have parts of their own in the scratch, whose length was checked.
            let rings = unsafe { scratch.at(thread * thread_scratch) };
            let part = Part {
                job: &job,
                image: rest / row_parts,
                row_part: rest % row_parts,
                row_parts,
                channels: first..(first + task_channels).min(self.channels),
                rings,
                ring_len,
                row_sums: rings.wrapping_add(blocks * ring_len),
            };
            self.isa.run(part);
        });
    }

    fn check(&self, input: &Bytes<'_>, (top, left): (usize, usize), output: &BytesMut<'_>) {
        assert_eq!(input.quant, self.input, "what the input's bytes stand for");
        assert_eq!(Output::Bytes(output.quant), self.finish.output, "what the output's bytes stand for");
        let (input, output) = (&input.layout, &output.layout);
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
}

/// Parts that the rows of a picture are cut into: as few as keep all threads busy, since rows at the border of two
/// parts are gathered twice. That costs less than to let threads write to the same rows.
pub(crate) fn parts(threads: usize, height: usize) -> usize {
    match threads {
        1 => 1,
        _ => (threads * height.div_ceil(threads * TASK_ROWS)).min(height.div_ceil(LEAST_ROWS)),
    }
}

/// Pixels from one gathered vector to the next: those between would not be read.
const fn step(taps: usize, stride: usize) -> usize {
    if taps.is_multiple_of(stride) { stride } else { 1 }
}

/// What all tasks of a depthwise convolution share.
struct Job<'a> {
    conv: &'a QuantDepthwise,
    input: Bytes<'a>,
    padding: (usize, usize),
    out: Shared<u8>,
    layout: Layout,
    sums: Option<Shared<i32>>,
}

/// One task: some rows and channels of one image.
struct Part<'a> {
    job: &'a Job<'a>,
    image: usize,
    row_part: usize,
    row_parts: usize,
    channels: Range<usize>,
    /// A ring of gathered rows for every vector of channels: padded row r lies at place r mod `kernel`.
    rings: *mut i32,
    ring_len: usize,
    /// The sums of an output row of a strip, of four vectors of channels.
    row_sums: *mut i32,
}

impl IntKernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: IntSimd>(self, s: S) {
        let conv = self.job.conv;
        match (conv.kernel, conv.stride) {
            (3, 1) => self.rows::<S, 3, 1>(s),
            (3, 2) => self.rows::<S, 3, 2>(s),
            (5, 1) => self.rows::<S, 5, 1>(s),
            (5, 2) => self.rows::<S, 5, 2>(s),
            // Zero: known only at run time.
            _ => self.rows::<S, 0, 0>(s),
        }
    }
}

impl Part<'_> {
    #[inline(always)]
    fn rows<S: IntSimd, const K: usize, const STRIDE: usize>(&self, s: S) {
        let Job { conv, layout, .. } = *self.job;
        let mut totals = [0i32; TASK_CHANNELS];
        let strips = layout.width.div_ceil(STRIP);
        for i in 0..strips {
            let columns = split(layout.width, strips, i);
            let strip = Strip { part: self, gathered: conv.gathered(columns.len()), columns };
            strip.rows::<S, K, STRIDE>(s, &mut totals);
        }
        if let Some(sums) = self.job.sums {
            let at = (self.image * self.row_parts + self.row_part) * conv.channels;
            for (c, total) in self.channels.clone().zip(totals) {
                // SAFETY: this task's rows and channels have a place of their own (checked).
                unsafe { *sums.at(at + c) = total };
            }
        }
    }
}

/// Some columns of a task.
struct Strip<'a> {
    part: &'a Part<'a>,
    columns: Range<usize>,
    /// Vectors of a gathered row.
    gathered: usize,
}

impl Strip<'_> {
    /// All rows; bytes are added to `totals` where their sums are wanted.
    #[inline(always)]
    fn rows<S: IntSimd, const K: usize, const STRIDE: usize>(&self, s: S, totals: &mut [i32; TASK_CHANNELS]) {
        let Part { job, row_part, row_parts, ref channels, rings, ring_len, row_sums, .. } = *self.part;
        let Job { conv, layout, .. } = *job;
        let stride = if K == 0 { conv.stride } else { STRIDE };
        // Padded input rows; one is gathered when it is needed first.
        let mut gathered = 0;
        for y in split(layout.height, row_parts, row_part) {
            let needed = y * stride..y * stride + conv.kernel;
            for row in needed.start.max(gathered)..needed.end {
                self.gather_blocks(s, row);
            }
            gathered = needed.end;
            for first in (0..channels.len()).step_by(4 * S::LANES) {
                let rings = rings.wrapping_add(first / S::LANES * ring_len);
                let channels =
                    channels.start + first..channels.end.min(channels.start + first + 4 * S::LANES);
                for block in 0..channels.len().div_ceil(S::LANES) {
                    let sums = row_sums.wrapping_add(block * STRIP * S::LANES);
                    let channel = channels.start + block * S::LANES;
                    self.convolve::<S, K, STRIDE>(s, rings.wrapping_add(block * ring_len), y, channel, sums);
                }
                let finishing = Finishing { strip: self, y, channels, totals: &mut totals[first..] };
                // A call, so that there is one copy of it for all kernels.
                s.vectorize(finishing);
            }
        }
    }

    /// Gathers all channels of a padded input row.
    #[inline(always)]
    fn gather_blocks<S: IntSimd>(&self, s: S, row: usize) {
        let blocks = self.part.channels.len().div_ceil(S::LANES);
        for first in (0..blocks).step_by(4) {
            match blocks - first {
                1 => self.gather::<S, 1>(s, row, first),
                2 => self.gather::<S, 2>(s, row, first),
                3 => self.gather::<S, 3>(s, row, first),
                _ => self.gather::<S, 4>(s, row, first),
            }
        }
    }

    /// Gathers `BLOCKS` vectors of channels of a padded input row: each waits for itself, not for the others.
    #[inline(always)]
    fn gather<S: IntSimd, const BLOCKS: usize>(&self, s: S, row: usize, first: usize) {
        let Part { job, image, ref channels, rings, ring_len, .. } = *self.part;
        let Job { conv, input, padding, .. } = *job;
        let layout = &input.layout;
        let at = image * layout.image_pitch()
            + (layout.halo.top - padding.0 + row) * layout.row_pitch()
            + (layout.halo.left - padding.1 + self.columns.start * conv.stride) * layout.channels
            + channels.start
            + first * S::LANES;
        let step = step(S::TAPS, conv.stride);
        // SAFETY: the padded rows and columns lie within the input (checked), whose slack covers the rest of
        // the last vector; the rings have room for as many vectors.
        unsafe {
            let pixel = input.data.as_ptr().add(at);
            let mut to = rings.add(first * ring_len + row % conv.kernel * self.gathered * S::LANES);
            let left = conv.reach(self.columns.len()) - 1;
            let mut window =
                Window::<S, BLOCKS> { taps: [s.load(pixel); BLOCKS], pixel, pitch: layout.channels, left };
            // All taps of the first vector but those that it gets in its turn.
            for _ in step..S::TAPS {
                window.push(s);
            }
            for _ in 0..self.gathered {
                for _ in 0..step {
                    window.push(s);
                }
                for (block, taps) in window.taps.iter().enumerate() {
                    s.store(to.add(block * ring_len), *taps);
                }
                to = to.add(S::LANES);
            }
        }
    }

    /// The sums of one output row, several columns at a time.
    #[inline(always)]
    fn convolve<S: IntSimd, const K: usize, const STRIDE: usize>(
        &self,
        s: S,
        ring: *const i32,
        y: usize,
        channel: usize,
        sums: *mut i32,
    ) {
        match self.columns.len() {
            width @ 8.. if width.is_multiple_of(8) => {
                self.columns::<S, K, STRIDE, 8>(s, ring, y, channel, sums);
            }
            7.. => self.columns::<S, K, STRIDE, 7>(s, ring, y, channel, sums),
            4.. => self.columns::<S, K, STRIDE, 4>(s, ring, y, channel, sums),
            _ => self.columns::<S, K, STRIDE, 1>(s, ring, y, channel, sums),
        }
    }

    #[inline(always)]
    fn columns<S: IntSimd, const K: usize, const STRIDE: usize, const COLUMNS: usize>(
        &self,
        s: S,
        ring: *const i32,
        y: usize,
        channel: usize,
        sums: *mut i32,
    ) {
        let conv = self.part.job.conv;
        let width = self.columns.len();
        let (kernel, stride) = if K == 0 { (conv.kernel, conv.stride) } else { (K, STRIDE) };
        let (groups, step) = (kernel.div_ceil(S::TAPS), step(S::TAPS, stride));
        let pitch = self.gathered * S::LANES;
        let padded = conv.starts.len();
        // SAFETY: the windows of all output columns lie within the gathered rows; weights and starts reach to
        // the end of the vector; there is room for a row's sums.
        unsafe {
            let weights = conv.weights.as_ptr().add(channel);
            let start = s.load(conv.starts.as_ptr().add(channel));
            let mut x = 0;
            while x < width {
                // The last columns overlap those before them; sums are written again, unchanged.
                let at = x.min(width - COLUMNS);
                let mut acc = [start; COLUMNS];
                for ky in 0..kernel {
                    let from = ring.add((y * stride + ky) % kernel * pitch + at * stride / step * S::LANES);
                    for group in 0..groups {
                        let w = s.load(weights.add((ky * groups + group) * padded));
                        for (column, acc) in acc.iter_mut().enumerate() {
                            let vector = (column * stride + group * S::TAPS) / step;
                            *acc = s.dot_taps(*acc, s.load(from.add(vector * S::LANES)), w);
                        }
                    }
                }
                for (column, acc) in acc.into_iter().enumerate() {
                    s.store(sums.add((at + column) * S::LANES), acc);
                }
                x += COLUMNS;
            }
        }
    }
}

/// The epilogue over one output row of at most four vectors of channels.
struct Finishing<'a> {
    strip: &'a Strip<'a>,
    y: usize,
    channels: Range<usize>,
    totals: &'a mut [i32],
}

impl IntKernel for Finishing<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: IntSimd>(self, s: S) {
        let Self { strip: Strip { part, columns, .. }, y, channels, totals } = self;
        let Job { conv, layout, out, sums, .. } = *part.job;
        let at = layout.index(part.image, y, columns.start);
        let rows = Rows {
            // SAFETY: a pixel of the output, and of this task's rows.
            out: unsafe { out.at(at) },
            pitch: layout.channels,
            residual: std::ptr::null(),
            residual_pitch: 0,
            count: columns.len(),
        };
        let mut first = 0;
        // Three vectors are two, and one.
        for vectors in [4, 2, 1] {
            if channels.len().div_ceil(S::LANES) & vectors == 0 {
                continue;
            }
            let count = (channels.len() - first).min(vectors * S::LANES);
            let row_sums = part.row_sums.wrapping_add(first * STRIP);
            let row_sums = Sums { first: row_sums, row: S::LANES, vector: STRIP * S::LANES };
            let columns = Columns { first: channels.start + first, count, vectors };
            // SAFETY: the sums of these channels lie there; their pixels are this task's own, and tables reach
            // to the end of every vector.
            unsafe { finish_rows(s, &conv.finish, row_sums, &rows, columns, None) };
            first += count;
        }
        if sums.is_some() {
            for (block, totals) in totals[..channels.len()].chunks_mut(S::LANES).enumerate() {
                let first = rows.out.wrapping_add(channels.start + block * S::LANES);
                let pixels = Pixels { first, pitch: rows.pitch, width: rows.count };
                // SAFETY: these channels of the pixels have been written, and nobody else writes them.
                unsafe { add_up(s, pixels, totals) };
            }
        }
    }
}

#[cfg(test)]
#[path = "depthwise_tests.rs"]
mod tests;
