//! The weight gradient of depthwise convolutions, vectorised over channels.

use std::ops::Range;

use effigy_kernels::isa::{Kernel, Simd, prefetch_far};
use effigy_kernels::{Cpu, Layout, SharedPtr, View, split};

use crate::blocks::total;
use crate::lanes::{count, load, store};

/// Channels whose rows stay in the cache together: a cache line.
const BLOCK_CHANNELS: usize = 16;
/// Rows of a picture that share a sum.
const ROWS: usize = 14;
/// Pixels that share a sum where pictures are so small that several do.
const PIXELS: usize = 256;
/// Pixels over which sums stay in registers: short rows are not worth loading them.
const PIXELS_TOGETHER: usize = 64;
/// Multiply-adds that are worth a task.
const TASK_MACS: usize = 100_000;
/// Sums whose adding up is worth a task.
const TASK_SUMS: usize = 1 << 15;
/// Pixels at a time, whose gradients are in registers.
const COLUMNS: usize = 4;

/// Adds the gradient of `weights: [C, 1, k, k]` to `d_weights`, for `output = weights ∗ input`, channel by channel.
///
/// `padding` and the input's halo are as in [`depthwise`](effigy_kernels::depthwise).
///
/// # Panics
/// When shapes, halo or lengths do not fit together.
pub fn depthwise_weights(
    cpu: &Cpu,
    (kernel, stride): (usize, usize),
    input: View<'_>,
    padding: (usize, usize),
    d_output: View<'_>,
    d_weights: &mut [f32],
) {
    let (x, d) = (input.layout, d_output.layout);
    let (channels, area) = (d.channels, kernel * kernel);
    assert_eq!((x.channels, x.images), (channels, d.images), "{x:?} → {d:?}");
    assert_eq!(d_weights.len(), channels * area, "weights of a {kernel}×{kernel} depthwise convolution");
    assert!(padding.0 <= x.halo.top && padding.1 <= x.halo.left, "{padding:?} zeros are not in {x:?}");
    let reach = |out: usize| (out - 1) * stride + kernel;
    assert!(reach(d.height) <= padding.0 + x.height + x.halo.bottom, "{x:?} → {d:?}");
    assert!(reach(d.width) <= padding.1 + x.width + x.halo.right, "{x:?} → {d:?}");
    let threads = cpu.pool.threads();
    let cut = Cut::of(d, area, threads);
    let mut sums = vec![0.0; cut.sets() * area * channels];
    let out = SharedPtr::new(&mut sums);
    cpu.pool.run(cut.sets() * cut.channel_parts, |task| {
        let (set, images, rows, part) = cut.task(task);
        // SAFETY: the set's own sums, of which its tasks write different channels.
        let sums = unsafe { out.at(set * area * channels) };
        cpu.isa.run(Part { kernel, stride, input, padding, d_output, images, rows, channels: part, sums });
    });
    let out = SharedPtr::new(d_weights);
    let tasks = (sums.len() / TASK_SUMS).clamp(1, threads.min(channels));
    cpu.pool.run(tasks, |task| {
        let part = split(channels, tasks, task);
        // SAFETY: the task's own channels.
        let out = unsafe { std::slice::from_raw_parts_mut(out.at(part.start * area), part.len() * area) };
        for tap in 0..area {
            let total = total(&sums, 0..cut.sets(), area * channels, tap * channels + part.start, part.len());
            out[tap..].iter_mut().step_by(area).zip(total).for_each(|(out, sum)| *out += sum as f32);
        }
    });
}

/// How the work is cut: pixels by the shape alone, into sets that share a sum; channels for the threads, which changes
/// no sum.
struct Cut {
    d: Layout,
    image_groups: usize,
    row_parts: usize,
    channel_parts: usize,
}

impl Cut {
    fn of(d: Layout, area: usize, threads: usize) -> Self {
        let row_parts = d.height.div_ceil(ROWS);
        let image_groups = d.images.div_ceil((PIXELS / (d.height.min(ROWS) * d.width)).max(1));
        let sets = image_groups * row_parts;
        let macs = d.images * d.pixels() * d.channels * area;
        let wanted = if threads == 1 { 1 } else { (4 * threads).div_ceil(sets) };
        let channel_parts = wanted.min(macs / sets / TASK_MACS).clamp(1, d.channels.div_ceil(BLOCK_CHANNELS));
        Self { d, image_groups, row_parts, channel_parts }
    }

    fn sets(&self) -> usize {
        self.image_groups * self.row_parts
    }

    /// The set of task `index`, its images and its rows of each, and its channels.
    fn task(&self, index: usize) -> (usize, Range<usize>, Range<usize>, Range<usize>) {
        let (set, cut) = (index / self.channel_parts, index % self.channel_parts);
        let (group, part) = (set / self.row_parts, set % self.row_parts);
        let images = split(self.d.images, self.image_groups, group);
        let rows = part * ROWS..self.d.height.min((part + 1) * ROWS);
        let blocks = split(self.d.channels.div_ceil(BLOCK_CHANNELS), self.channel_parts, cut);
        let channels = blocks.start * BLOCK_CHANNELS..self.d.channels.min(blocks.end * BLOCK_CHANNELS);
        (set, images, rows, channels)
    }
}

/// Some rows and channels of some pictures: their sums are `[k·k][C]`.
struct Part<'a> {
    kernel: usize,
    stride: usize,
    input: View<'a>,
    padding: (usize, usize),
    d_output: View<'a>,
    images: Range<usize>,
    rows: Range<usize>,
    channels: Range<usize>,
    sums: *mut f32,
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match (self.kernel, self.stride) {
            // Rows of the kernel whose sums fit in the registers together.
            (3, 1) => self.blocks::<S, 3, 1, 3>(s),
            (3, 2) => self.blocks::<S, 3, 2, 3>(s),
            (5, 1) => self.blocks::<S, 5, 1, 2>(s),
            (5, 2) => self.blocks::<S, 5, 2, 2>(s),
            _ => self.any(s),
        }
    }
}

impl Part<'_> {
    /// Channels in blocks, each row of a block before the next.
    #[inline(always)]
    fn blocks<S: Simd, const K: usize, const STRIDE: usize, const TAPS: usize>(&self, s: S) {
        let end = self.channels.end;
        let together = (PIXELS_TOGETHER / self.d_output.layout.width).max(1);
        for block in self.channels.clone().step_by(BLOCK_CHANNELS) {
            for first in (0..self.row_count()).step_by(together) {
                let rows = first..self.row_count().min(first + together);
                let mut c = block;
                while c < end.min(block + BLOCK_CHANNELS) {
                    let n = count::<S>(c, end);
                    let mut ky = 0;
                    while ky < K {
                        // A whole vector needs no mask.
                        match (ky + TAPS <= K, n == S::LANES) {
                            (true, true) => self.taps::<S, K, STRIDE, TAPS>(s, rows.clone(), ky, c, S::LANES),
                            (true, false) => self.taps::<S, K, STRIDE, TAPS>(s, rows.clone(), ky, c, n),
                            (false, true) => self.taps::<S, K, STRIDE, 1>(s, rows.clone(), ky, c, S::LANES),
                            (false, false) => self.taps::<S, K, STRIDE, 1>(s, rows.clone(), ky, c, n),
                        }
                        ky += TAPS;
                    }
                    c += S::LANES;
                }
            }
        }
    }

    /// Output rows of all images.
    #[inline(always)]
    fn row_count(&self) -> usize {
        self.images.len() * self.rows.len()
    }

    /// Image and row of output row `index`.
    #[inline(always)]
    fn row(&self, index: usize) -> (usize, usize) {
        (self.images.start + index / self.rows.len(), self.rows.start + index % self.rows.len())
    }

    /// Where output row `y`'s window has its row `ky`, and the row itself, from channel `c` on.
    #[inline(always)]
    fn at(&self, (image, y): (usize, usize), ky: usize, c: usize) -> (*const f32, *const f32) {
        let Self { stride, input, padding, d_output, .. } = *self;
        let Layout { halo, .. } = input.layout;
        // Counted from the corner of the halo, in which the padding lies.
        let from = image * input.layout.image_pitch()
            + (y * stride + ky + halo.top - padding.0) * input.layout.row_pitch()
            + (halo.left - padding.1) * input.layout.channels;
        let d = d_output.layout.index(image, y, 0);
        (input.data[from + c..].as_ptr(), d_output.data[d + c..].as_ptr())
    }

    /// The sums of `TAPS` rows of the kernel from `ky` on, over some output rows.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    fn taps<S: Simd, const K: usize, const STRIDE: usize, const TAPS: usize>(
        &self,
        s: S,
        rows: Range<usize>,
        ky: usize,
        c: usize,
        n: usize,
    ) {
        let Layout { width, channels, .. } = self.d_output.layout;
        let mut sums = [[s.splat(0.0); K]; TAPS];
        // SAFETY: the windows of the rows lie in the input and its halo (checked), `n` channels are left, and the
        // sums are this task's own.
        unsafe {
            let own = |tap: usize, kx: usize| self.sums.add(((ky + tap) * K + kx) * channels + c);
            if rows.start > 0 {
                for tap in 0..TAPS {
                    for kx in 0..K {
                        sums[tap][kx] = load(s, own(tap, kx), n);
                    }
                }
            }
            for row in rows {
                let (x, d) = self.at(self.row(row), ky, c);
                let mut at = 0;
                while at + COLUMNS <= width {
                    let from = (x.add(at * STRIDE * channels), d.add(at * channels));
                    self.columns::<S, K, STRIDE, TAPS, COLUMNS>(s, from, ky, n, &mut sums);
                    at += COLUMNS;
                }
                while at < width {
                    let from = (x.add(at * STRIDE * channels), d.add(at * channels));
                    self.columns::<S, K, STRIDE, TAPS, 1>(s, from, ky, n, &mut sums);
                    at += 1;
                }
            }
            for tap in 0..TAPS {
                for kx in 0..K {
                    store(s, own(tap, kx), n, sums[tap][kx]);
                }
            }
        }
    }

    /// Adds `N` pixels of an output row to the sums. Who reads a line for the last time asks for that of the next
    /// channels.
    ///
    /// # Safety
    /// `n` channels must be readable of the pixels from `d` on and of their windows' rows from `x` on.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    unsafe fn columns<S: Simd, const K: usize, const STRIDE: usize, const TAPS: usize, const N: usize>(
        &self,
        s: S,
        (x, d): (*const f32, *const f32),
        ky: usize,
        n: usize,
        sums: &mut [[S::V; K]; TAPS],
    ) {
        let (channels, row_pitch) = (self.d_output.layout.channels, self.input.layout.row_pitch());
        // SAFETY: the caller's promise.
        unsafe {
            let mut pixels = [s.splat(0.0); N];
            for column in 0..N {
                let pixel = d.add(column * channels);
                pixels[column] = load(s, pixel, n);
                if ky == 0 {
                    prefetch_far(pixel.wrapping_add(BLOCK_CHANNELS));
                }
            }
            for tap in 0..TAPS {
                // Each pixel of the input meets every column whose window it is in.
                for j in 0..(N - 1) * STRIDE + K {
                    let value = x.add(tap * row_pitch + j * channels);
                    if ky + tap + 1 == K {
                        prefetch_far(value.wrapping_add(BLOCK_CHANNELS));
                    }
                    let value = load(s, value, n);
                    for column in 0..N {
                        if j >= column * STRIDE && j < column * STRIDE + K {
                            let kx = j - column * STRIDE;
                            sums[tap][kx] = s.fma(value, pixels[column], sums[tap][kx]);
                        }
                    }
                }
            }
        }
    }

    /// A kernel of any size.
    #[inline(always)]
    fn any<S: Simd>(&self, s: S) {
        let Self { kernel, stride, sums, .. } = *self;
        let Layout { width, channels, .. } = self.d_output.layout;
        for c in self.channels.clone().step_by(S::LANES) {
            let n = count::<S>(c, self.channels.end);
            for ky in 0..kernel {
                for kx in 0..kernel {
                    let mut sum = s.splat(0.0);
                    for row in 0..self.row_count() {
                        let (x, d) = self.at(self.row(row), ky, c);
                        // SAFETY: as in `taps`.
                        unsafe {
                            for at in 0..width {
                                let value = load(s, x.add((at * stride + kx) * channels), n);
                                sum = s.fma(value, load(s, d.add(at * channels), n), sum);
                            }
                        }
                    }
                    // SAFETY: as in `taps`.
                    unsafe { store(s, sums.add((ky * kernel + kx) * channels + c), n, sum) };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naive;
    use effigy_kernels::naive::noise;
    use effigy_kernels::{ConvShape, Halo, Isa, ViewMut};

    /// Largest error allowed, as a share of the largest value.
    const TOLERANCE: f32 = 1e-5;

    #[test]
    fn equals_the_plain_gradient() {
        for isa in Isa::available() {
            for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (3, 3)] {
                for (images, height, width, channels) in [
                    (2, 7, 7, 24),
                    (2, 20, 9, 9),
                    (2, 5, 13, 1),
                    (2, 33, 8, 40),
                    (9, 8, 8, 70),
                    (40, 4, 3, 33),
                ] {
                    let pad = kernel / 2;
                    let halo = Halo { top: pad, left: pad, bottom: kernel, right: kernel };
                    let x = Layout::dense(images, height, width, channels).with_halo(halo);
                    let d = Layout::dense(images, height.div_ceil(stride), width.div_ceil(stride), channels);
                    let mut x_values = noise(x.len(), 1);
                    ViewMut::new(&mut x_values, x).clear_halo();
                    let d_values = noise(d.len(), 2);
                    let (x, d) = (View::new(&x_values, x), View::new(&d_values, d));
                    let shape = ConvShape { inputs: channels, outputs: channels, kernel, stride };
                    let expected = naive::conv_weights(shape, channels, x, (pad, pad), d);
                    let results = [1, 2, 7].map(|threads| {
                        let mut weights = vec![0.0; expected.len()];
                        let cpu = Cpu::new(isa, threads);
                        depthwise_weights(&cpu, (kernel, stride), x, (pad, pad), d, &mut weights);
                        weights
                    });
                    naive::check_flat(&results[0], &expected, TOLERANCE);
                    assert!(results.iter().all(|weights| *weights == results[0]));
                }
            }
        }
    }
}
