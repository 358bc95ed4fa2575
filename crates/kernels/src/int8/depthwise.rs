//! Depthwise convolution of bytes: two input rows are woven into pairs of 16-bit integers, so that one
//! instruction multiplies and adds both.

use std::ops::Range;

use super::epilogue::{Constants, Finish, Map, Output, WithMap};
use super::gemm::copy_few;
use super::weights::QuantWeights;
use super::{Bytes, BytesMut, Quant, Shared};
use crate::epilogue::Activation;
use crate::isa::int::{IntIsa, IntKernel, IntSimd};
use crate::layout::Layout;
use crate::pool::{ThreadPool, split};

/// A depthwise convolution on bytes, packed for one instruction set.
#[derive(Debug)]
pub struct QuantDepthwise {
    isa: IntIsa,
    channels: usize,
    kernel: usize,
    stride: usize,
    input: Quant,
    /// For windows that start in an even row, then in an odd one:
    /// `[2][pairs][kernel][channels, filled up][2]`.
    weights: Vec<i16>,
    starts: Vec<i32>,
    finish: Finish,
}

/// Channels that are convolved together.
const BLOCK: usize = 16;
/// Channels of a task where several threads share a small picture.
const TASK_CHANNELS: usize = 64;
/// Rows of a task: those that two tasks read are woven twice.
const TASK_ROWS: usize = 14;

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
        let padded = channels.next_multiple_of(BLOCK);
        let pairs = kernel / 2 + 1;
        let mut packed = vec![0; 2 * pairs * kernel * padded * 2];
        for parity in 0..2 {
            for (i, value) in quantised.values.iter().enumerate() {
                let (c, ky, kx) = (i / area, i % area / kernel, i % kernel);
                let row = ky + parity;
                let place = ((parity * pairs + row / 2) * kernel + kx) * padded + c;
                packed[2 * place + row % 2] = i16::from(*value);
            }
        }
        let sum = |c| quantised.row(c).iter().map(|w| i32::from(*w)).sum::<i32>();
        let mut starts: Vec<i32> = (0..channels).map(|c| -i32::from(input.zero) * sum(c)).collect();
        starts.resize(padded, 0);
        let scales: Vec<f32> = quantised.scales.iter().map(|scale| scale * input.scale).collect();
        let finish = Finish::new(&scales, bias, activation, Output::Bytes(output), padded);
        Self { isa, channels, kernel, stride, input, weights: packed, starts, finish }
    }

    fn pairs(&self) -> usize {
        self.kernel / 2 + 1
    }

    /// Padded columns that a row of so many output pixels reads.
    fn reach(&self, outputs: usize) -> usize {
        (outputs - 1) * self.stride + self.kernel
    }

    /// Bytes of scratch memory that one thread needs for an output of this layout.
    fn thread_scratch(&self, output: &Layout) -> usize {
        let blocks = TASK_CHANNELS / BLOCK;
        let ring = blocks * self.pairs() * self.reach(output.width) * BLOCK * 2 * size_of::<i16>();
        // Sums of a row, and the bytes that they become, in whole vectors.
        ring + (output.width + SPARE) * BLOCK * (size_of::<i32>() + 1)
    }

    /// Length of the scratch memory, in floats, that [`run`](Self::run) needs for an output of this layout.
    #[must_use]
    pub fn scratch_len(&self, threads: usize, output: &Layout) -> usize {
        threads * self.thread_scratch(output).next_multiple_of(64) / size_of::<f32>()
    }

    /// Length of `sums` for an output of this layout: `[N, parts, C]`, one part a task.
    #[must_use]
    pub fn sums_len(&self, output: &Layout) -> usize {
        output.images * parts(output.height) * self.channels
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
            assert!(sums.len() >= self.sums_len(&layout), "{} sums for {layout:?}", sums.len());
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
        let channel_parts = self.channels.div_ceil(TASK_CHANNELS);
        let row_parts = parts(layout.height);
        let bytes = self.thread_scratch(&layout).next_multiple_of(64);
        let scratch = Shared::new(super::bytes_of_mut(scratch));
        pool.run_with_thread(layout.images * row_parts * channel_parts, |thread, task| {
            let (rest, channel_part) = (task / channel_parts, task % channel_parts);
            let first = channel_part * TASK_CHANNELS;
            let part = Part {
                job: &job,
                image: rest / row_parts,
                row_part: rest % row_parts,
                channels: first..(first + TASK_CHANNELS).min(self.channels),
                // SAFETY: threads have parts of their own in the scratch, whose length was checked.
                scratch: unsafe { scratch.at(thread * bytes) },
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

/// Pixels behind the last of a row that the epilogue may compute in vain.
const SPARE: usize = 4;

/// Parts that the rows of a picture are cut into.
pub(crate) fn parts(height: usize) -> usize {
    height.div_ceil(TASK_ROWS)
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
    channels: Range<usize>,
    scratch: *mut u8,
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

/// The woven rows that one block of channels needs: pair p lies at place p mod `pairs`.
#[derive(Clone, Copy)]
struct Ring {
    base: *mut i16,
    pairs: usize,
    /// 16-bit integers from a pair of rows to the next.
    pitch: usize,
}

impl Part<'_> {
    #[inline(always)]
    fn rows<S: IntSimd, const K: usize, const STRIDE: usize>(&self, s: S) {
        let Job { conv, layout, .. } = *self.job;
        let stride = if K == 0 { conv.stride } else { STRIDE };
        let rows = split(layout.height, parts(layout.height), self.row_part);
        let blocks = self.channels.len().div_ceil(BLOCK);
        let pitch = conv.reach(layout.width) * 2 * BLOCK;
        let ring_len = conv.pairs() * pitch;
        let ring = |block: usize| Ring {
            // SAFETY: a thread's scratch has room for so many rings (`thread_scratch`).
            base: unsafe { self.scratch.cast::<i16>().add(block * ring_len) },
            pairs: conv.pairs(),
            pitch,
        };
        // SAFETY: the rows' sums lie behind the rings of a whole task.
        let spill = unsafe { self.scratch.cast::<i16>().add(TASK_CHANNELS / BLOCK * ring_len) }.cast::<i32>();
        let mut totals = [[0i32; BLOCK]; TASK_CHANNELS / BLOCK];
        // Padded input rows, counted from the task's first; a pair is woven when its first row is needed.
        let first_row = rows.start * stride;
        let mut woven = 0;
        for y in rows.clone() {
            let row = y * stride - first_row;
            let last_pair = (row + conv.kernel - 1) / 2;
            for (block, totals) in totals.iter_mut().enumerate().take(blocks) {
                for pair in woven..=last_pair {
                    self.weave(s, ring(block), first_row, pair, block);
                }
                self.convolve::<S, K, STRIDE>(s, ring(block), row, block, spill);
                self.finish(s, y, block, spill, totals);
            }
            woven = woven.max(last_pair + 1);
        }
        if let Some(sums) = self.job.sums {
            let at = (self.image * parts(layout.height) + self.row_part) * conv.channels;
            for (i, c) in self.channels.clone().enumerate() {
                // SAFETY: this task's rows and channels have a place of their own (checked).
                unsafe { *sums.at(at + c) = totals[i / BLOCK][i % BLOCK] };
            }
        }
    }

    /// Weaves a pair of padded input rows; behind the picture's last one, its own copy (of no weight).
    #[inline(always)]
    fn weave<S: IntSimd>(&self, s: S, ring: Ring, first_row: usize, pair: usize, block: usize) {
        let Job { conv, input, padding, layout, .. } = *self.job;
        let Layout { halo, channels, .. } = input.layout;
        let row_pitch = input.layout.row_pitch();
        let last = conv.reach(layout.height) - 1;
        let place = |row: usize| {
            self.image * input.layout.image_pitch()
                + (halo.top - padding.0 + row.min(last)) * row_pitch
                + (halo.left - padding.1) * channels
                + self.channels.start
                + block * BLOCK
        };
        let row = first_row + 2 * pair;
        let to = ring.base.wrapping_add(pair % ring.pairs * ring.pitch);
        // SAFETY: the padded rows and columns lie within the input (checked), whose slack covers the rest of
        // the last block; the ring has room for as many columns.
        unsafe {
            let (a, b) = (input.data.as_ptr().add(place(row)), input.data.as_ptr().add(place(row + 1)));
            for x in 0..conv.reach(layout.width) {
                s.weave(a.add(x * channels), b.add(x * channels), to.add(x * 2 * BLOCK));
            }
        }
    }

    /// The sums of one output row of a block of channels, several columns at a time.
    #[inline(always)]
    fn convolve<S: IntSimd, const K: usize, const STRIDE: usize>(
        &self,
        s: S,
        ring: Ring,
        row: usize,
        block: usize,
        spill: *mut i32,
    ) {
        let width = self.job.layout.width;
        for v in 0..BLOCK / S::LANES {
            match width {
                8.. if width.is_multiple_of(8) => {
                    self.columns::<S, K, STRIDE, 8>(s, ring, row, block, v, spill);
                }
                7.. => self.columns::<S, K, STRIDE, 7>(s, ring, row, block, v, spill),
                4.. => self.columns::<S, K, STRIDE, 4>(s, ring, row, block, v, spill),
                _ => self.columns::<S, K, STRIDE, 1>(s, ring, row, block, v, spill),
            }
        }
    }

    #[inline(always)]
    fn columns<S: IntSimd, const K: usize, const STRIDE: usize, const COLUMNS: usize>(
        &self,
        s: S,
        ring: Ring,
        row: usize,
        block: usize,
        v: usize,
        spill: *mut i32,
    ) {
        let Job { conv, layout, .. } = *self.job;
        let (kernel, stride) = if K == 0 { (conv.kernel, conv.stride) } else { (K, STRIDE) };
        let channel = self.channels.start + block * BLOCK + v * S::LANES;
        let padded = conv.starts.len();
        let pairs = kernel / 2 + 1;
        // SAFETY: windows of all output columns lie within the woven columns; weights and starts reach to
        // the end of the block; the spill has room for a row.
        unsafe {
            let weights = conv.weights.as_ptr().add(2 * (row % 2 * pairs * kernel * padded + channel));
            let start = s.load(conv.starts.as_ptr().add(channel));
            let lanes = ring.base.add(2 * v * S::LANES);
            let mut x = 0;
            loop {
                // The last block overlaps the one before it; sums are written again, unchanged.
                let at = x.min(layout.width - COLUMNS);
                let mut acc = [start; COLUMNS];
                for pair in 0..pairs {
                    let from =
                        lanes.add((row / 2 + pair) % ring.pairs * ring.pitch + at * stride * 2 * BLOCK);
                    for kx in 0..kernel {
                        let w = s.load(weights.add(2 * (pair * kernel + kx) * padded));
                        for (column, acc) in acc.iter_mut().enumerate() {
                            let pixels = s.load(from.add((column * stride + kx) * 2 * BLOCK));
                            *acc = s.dot_pairs(*acc, pixels, w);
                        }
                    }
                }
                for (column, acc) in acc.into_iter().enumerate() {
                    s.store(spill.add((at + column) * BLOCK + v * S::LANES), acc);
                }
                x += COLUMNS;
                if x >= layout.width {
                    return;
                }
            }
        }
    }

    /// A row's sums become bytes, which are added up.
    #[inline(always)]
    fn finish<S: IntSimd>(&self, s: S, y: usize, block: usize, spill: *mut i32, totals: &mut [i32; BLOCK]) {
        let Job { conv, layout, out, sums, .. } = *self.job;
        let channel = self.channels.start + block * BLOCK;
        let count = BLOCK.min(self.channels.end - channel);
        // SAFETY: the bytes lie behind the row's sums, and those of the spare pixels, in the scratch.
        let bytes = unsafe { spill.add((layout.width + SPARE) * BLOCK) }.cast::<u8>();
        let row = FinishRow { s, finish: &conv.finish, channel, spill, bytes, pixels: layout.width };
        conv.finish.select(row, false);
        // SAFETY: pixels of this task's rows and channels, of which nobody else writes any; `bytes` holds a
        // block for each of them.
        unsafe {
            let row = out.at(layout.index(self.image, y, 0) + channel);
            for x in 0..layout.width {
                let from = std::slice::from_raw_parts(bytes.add(x * BLOCK), BLOCK);
                copy_few(from, row.add(x * layout.channels), count);
            }
            if sums.is_some() {
                let bytes = std::slice::from_raw_parts(bytes, layout.width * BLOCK);
                for pixel in bytes.as_chunks::<BLOCK>().0 {
                    totals.iter_mut().zip(pixel).for_each(|(total, byte)| *total += i32::from(*byte));
                }
            }
        }
    }
}

/// The epilogue over one row of a block of channels.
struct FinishRow<'a, S> {
    s: S,
    finish: &'a Finish,
    channel: usize,
    spill: *const i32,
    bytes: *mut u8,
    pixels: usize,
}

impl<S: IntSimd> WithMap for FinishRow<'_, S> {
    #[inline(always)]
    fn with<M: Map>(self, constants: &Constants) {
        let Self { s, finish, channel, spill, bytes, pixels } = self;
        // SAFETY: sums and bytes are there for spare pixels, and a step takes four at most;
        // tables reach to the end of the block.
        unsafe {
            let (multipliers, offsets) = (finish.multipliers.as_ptr(), finish.offsets.as_ptr());
            for i in (0..pixels * BLOCK).step_by(4 * S::LANES) {
                let mut values = [s.splat(0.0); 4];
                for (v, value) in values.iter_mut().enumerate() {
                    let at = i + v * S::LANES;
                    let n = channel + at % BLOCK;
                    let sum = s.to_floats(s.load(spill.add(at)));
                    *value = s.fma(sum, s.load_floats(multipliers.add(n)), s.load_floats(offsets.add(n)));
                }
                M::map(s, &mut values, constants);
                s.store_bytes(bytes.add(i), [values[0], values[1]]);
                s.store_bytes(bytes.add(i + 2 * S::LANES), [values[2], values[3]]);
            }
        }
    }
}

#[cfg(test)]
#[path = "depthwise_tests.rs"]
mod tests;
