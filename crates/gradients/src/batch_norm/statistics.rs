//! Mean and variance of every channel over a batch.

use effigy_kernels::isa::{Kernel, Simd};
use effigy_kernels::{Cpu, Layout, SharedPtr, View};

use crate::blocks::{Blocks, total};
use crate::lanes::{count, load, store};

/// Mean and variance of a batch in the making: images can come a few at a time, while they are in the cache.
///
/// A block's sums are of the differences from its first pixel, so that a mean far from zero costs no digits; blocks
/// are put together in double precision.
#[derive(Debug)]
pub struct Statistics {
    layout: Layout,
    /// `[blocks][2][C]`.
    sums: Vec<f32>,
}

impl Statistics {
    /// Of a map of this layout.
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        Self { layout: *layout, sums: vec![0.0; Blocks::of(layout).count * 2 * layout.channels] }
    }

    /// Counts the images of `input`, which are those from `first` on of the whole map.
    ///
    /// # Panics
    /// When the images are not the map's.
    pub fn count(&mut self, cpu: &Cpu, input: View<'_>, first: usize) {
        let layout = input.layout;
        let channels = layout.channels;
        let blocks = Blocks::of(&layout);
        let start = Blocks::of(&self.layout).of_image(first).start * 2 * channels;
        let sums = &mut self.sums[start..start + blocks.count * 2 * channels];
        let out = SharedPtr::new(sums);
        cpu.pool.run(blocks.count, |task| {
            let (image, rows) = blocks.at(task);
            let (stretches, pixels) = blocks.stretches(task, layout.is_dense());
            let first = input.data[layout.index(image, rows.start, 0)..].as_ptr();
            // SAFETY: the task's own part of the sums.
            let out = unsafe { out.at(task * 2 * channels) };
            cpu.isa.run(Block { first, row_pitch: layout.row_pitch(), stretches, pixels, channels, out });
        });
    }

    /// Mean and variance (divided by the number of pixels) of every channel.
    #[must_use]
    pub fn finish(&self) -> (Vec<f32>, Vec<f32>) {
        let Self { layout, sums } = self;
        let (channels, blocks) = (layout.channels, Blocks::of(layout));
        let pixels = (layout.images * layout.pixels()) as f64;
        let pitch = 2 * channels;
        let mut mean = vec![0.0_f64; channels];
        for block in 0..blocks.count {
            let weight = blocks.pixels(block) as f64 / pixels;
            for (mean, sum) in mean.iter_mut().zip(&sums[block * pitch..][..channels]) {
                *mean += weight * f64::from(*sum);
            }
        }
        let mut variance = total(sums, 0..blocks.count, pitch, channels, channels);
        for block in 0..blocks.count {
            let weight = blocks.pixels(block) as f64;
            let means = &sums[block * pitch..][..channels];
            for ((variance, mean), sum) in variance.iter_mut().zip(&mean).zip(means) {
                let apart = f64::from(*sum) - mean;
                *variance += weight * apart * apart;
            }
        }
        let variance = variance.iter().map(|v| (v / pixels) as f32).collect();
        (mean.iter().map(|m| *m as f32).collect(), variance)
    }
}

/// Mean and variance (divided by the number of pixels) of every channel of `input`.
#[must_use]
pub fn batch_statistics(cpu: &Cpu, input: View<'_>) -> (Vec<f32>, Vec<f32>) {
    let mut statistics = Statistics::new(&input.layout);
    statistics.count(cpu, input, 0);
    statistics.finish()
}

/// A block's mean, and its sum of squared differences from it: `[2][channels]`.
struct Block {
    first: *const f32,
    row_pitch: usize,
    stretches: usize,
    pixels: usize,
    channels: usize,
    out: *mut f32,
}

/// Pixels at a time: their sums are in registers.
const GROUP: usize = 8;

impl Kernel for Block {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { first, row_pitch, stretches, pixels, channels, out } = self;
        // SAFETY: the stretches lie in the map, `out` has room for two values a channel.
        unsafe {
            std::slice::from_raw_parts_mut(out, 2 * channels).fill(0.0);
            for stretch in 0..stretches {
                let from = first.add(stretch * row_pitch);
                let whole = pixels - pixels % GROUP;
                for p in (0..whole).step_by(GROUP) {
                    self.group::<S, GROUP>(s, from.add(p * channels));
                }
                for p in whole..pixels {
                    self.group::<S, 1>(s, from.add(p * channels));
                }
            }
            let share = s.splat(1.0 / (stretches * pixels) as f32);
            for c in (0..channels).step_by(S::LANES) {
                let n = count::<S>(c, channels);
                let sum = load(s, out.add(c), n);
                let squares = load(s, out.add(channels + c), n);
                let apart = s.mul(sum, share);
                store(s, out.add(c), n, s.add(load(s, first.add(c), n), apart));
                let rest = s.max(s.splat(0.0), s.sub(squares, s.mul(apart, sum)));
                store(s, out.add(channels + c), n, rest);
            }
        }
    }
}

impl Block {
    /// # Safety
    /// `N` pixels must be there from `from` on.
    #[inline(always)]
    unsafe fn group<S: Simd, const N: usize>(&self, s: S, from: *const f32) {
        let Self { first, channels, out, .. } = *self;
        let mut c = 0;
        while c < channels {
            let n = count::<S>(c, channels);
            // SAFETY: the caller's promise; `n` channels are left.
            unsafe {
                let origin = load(s, first.add(c), n);
                let mut sum = load(s, out.add(c), n);
                let mut squares = load(s, out.add(channels + c), n);
                for pixel in 0..N {
                    let apart = s.sub(load(s, from.add(pixel * channels + c), n), origin);
                    sum = s.add(sum, apart);
                    squares = s.fma(apart, apart, squares);
                }
                store(s, out.add(c), n, sum);
                store(s, out.add(channels + c), n, squares);
            }
            c += S::LANES;
        }
    }
}
