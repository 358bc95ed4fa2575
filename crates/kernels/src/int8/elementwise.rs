//! Between floats and bytes, and what a network does to single bytes.

use super::depthwise::parts;
use super::{Bytes, BytesMut, Quant, Shared};
use crate::elementwise::share_rows;
use crate::feed::{Levels, PERIOD, Samples};
use crate::isa::int::{IntIsa, IntKernel, IntSimd};
use crate::isa::prefetch;
use crate::layout::{Layout, View, ViewMut};
use crate::pool::ThreadPool;

/// Floats as the nearest bytes.
///
/// # Panics
/// When the shapes differ.
pub fn quantise(isa: IntIsa, pool: &ThreadPool, input: View<'_>, output: &mut BytesMut<'_>) {
    let from = input.layout;
    assert!(from.same_shape(&output.layout), "{from:?} and {:?} differ in shape", output.layout);
    let quant = output.quant;
    let len = from.width * from.channels;
    each_row(pool, output, |image, y, to| {
        isa.run(QuantiseRow { from: &input.data[from.index(image, y, 0)..][..len], to, quant });
    });
}

/// Pictures as the nearest bytes.
///
/// # Panics
/// When there are not as many samples as the output has, or of other channels.
pub fn quantise_samples(isa: IntIsa, pool: &ThreadPool, samples: Samples<'_>, output: &mut BytesMut<'_>) {
    let Layout { height, width, channels, .. } = output.layout;
    samples.check(&output.layout);
    let quant = output.quant;
    let len = width * channels;
    each_row(pool, output, |image, y, to| {
        let row = (image * height + y) * len..(image * height + y + 1) * len;
        match samples {
            Samples::Floats(values) => isa.run(QuantiseRow { from: &values[row], to, quant }),
            Samples::Bytes(samples, levels) => {
                isa.run(QuantiseSamples { samples: &samples[row], levels, to, quant });
            }
        }
    });
}

/// Calls `f` with the image, the number and the bytes of every row; clears the halo.
fn each_row(pool: &ThreadPool, output: &mut BytesMut<'_>, f: impl Fn(usize, usize, &mut [u8]) + Sync) {
    output.clear_halo();
    let layout = output.layout;
    let len = layout.width * layout.channels;
    let out = Shared::new(output.data);
    share_rows(pool, &layout, |image, y| {
        // SAFETY: a row of the output, and this task's own.
        f(image, y, unsafe { std::slice::from_raw_parts_mut(out.at(layout.index(image, y, 0)), len) });
    });
}

/// How many floats ahead they are fetched, and floats in a cache line.
const AHEAD: usize = 1024;
const LINE: usize = 16;

struct QuantiseRow<'a> {
    from: &'a [f32],
    to: &'a mut [u8],
    quant: Quant,
}

impl IntKernel for QuantiseRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: IntSimd>(self, s: S) {
        let Self { from, to, quant } = self;
        let step = 4 * S::LANES;
        for (from, to) in from.chunks(step).zip(to.chunks_mut(step)) {
            // Pictures come from afar.
            for line in (0..step).step_by(LINE) {
                prefetch(from.as_ptr().wrapping_add(AHEAD + line));
            }
            convert_step(s, from, to, quant);
        }
    }
}

struct QuantiseSamples<'a> {
    samples: &'a [u8],
    levels: &'a Levels,
    to: &'a mut [u8],
    quant: Quant,
}

impl IntKernel for QuantiseSamples<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: IntSimd>(self, s: S) {
        let Self { samples, levels, to, quant } = self;
        let mut floats = [0.0; 4 * PERIOD];
        for (samples, to) in samples.chunks(floats.len()).zip(to.chunks_mut(4 * PERIOD)) {
            let floats = &mut floats[..samples.len()];
            levels.convert(samples, floats);
            let step = 4 * S::LANES;
            for (from, to) in floats.chunks(step).zip(to.chunks_mut(step)) {
                convert_step(s, from, to, quant);
            }
        }
    }
}

/// At most four vectors of floats to bytes.
#[inline(always)]
fn convert_step<S: IntSimd>(s: S, from: &[f32], to: &mut [u8], quant: Quant) {
    if from.len() == 4 * S::LANES {
        // SAFETY: both hold four vectors' lanes.
        unsafe { convert(s, from.as_ptr(), to.as_mut_ptr(), quant) };
    } else {
        let (mut floats, mut bytes) = ([0.0; 64], [0; 64]);
        floats[..from.len()].copy_from_slice(from);
        // SAFETY: both hold four of the longest vectors' lanes.
        unsafe { convert(s, floats.as_ptr(), bytes.as_mut_ptr(), quant) };
        to.copy_from_slice(&bytes[..to.len()]);
    }
}

/// Four vectors of floats to bytes.
///
/// # Safety
/// Four vectors' lanes must be valid for reading from `from` and for writing to `to`.
#[inline(always)]
unsafe fn convert<S: IntSimd>(s: S, from: *const f32, to: *mut u8, quant: Quant) {
    let (steps, zero) = (s.splat(quant.scale.recip()), s.splat(f32::from(quant.zero)));
    let mut values = [zero; 4];
    for (v, value) in values.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        let x = s.fma(unsafe { s.load_floats(from.add(v * S::LANES)) }, steps, zero);
        // What lies far beyond the range must not pass that of integers.
        *value = s.max(s.min(x, s.splat(1e9)), s.splat(-1e9));
    }
    // SAFETY: the caller's promise.
    unsafe { s.store(to.cast(), s.to_bytes(values)) }
}

/// What bytes stand for.
///
/// # Panics
/// When the shapes differ.
pub fn dequantise(pool: &ThreadPool, input: Bytes<'_>, output: &mut ViewMut<'_>) {
    let (from, to) = (input.layout, output.layout);
    assert!(from.same_shape(&to), "{from:?} and {to:?} differ in shape");
    output.clear_halo();
    let quant = input.quant;
    let out = Shared::new(output.data);
    let len = from.width * from.channels;
    share_rows(pool, &from, |image, y| {
        let bytes = &input.data[from.index(image, y, 0)..][..len];
        // SAFETY: a row of the output, and this task's own.
        let to = unsafe { std::slice::from_raw_parts_mut(out.at(to.index(image, y, 0)), len) };
        to.iter_mut().zip(bytes).for_each(|(to, byte)| *to = quant.value(*byte));
    });
}

/// Length of the scratch memory, in floats, that [`gate`] needs for an activation of this layout.
#[must_use]
pub fn gate_scratch_len(layout: &Layout) -> usize {
    2 * layout.images * (layout.channels + BEHIND)
}

/// Floats behind the last channel: four of the longest vectors.
const BEHIND: usize = 64;

/// `output = input · gate`, the gate one float per image and channel: `[N, C]` (squeeze and excitation).
///
/// `scratch` has [`gate_scratch_len`].
///
/// # Panics
/// When shapes or lengths do not fit.
pub fn gate(
    isa: IntIsa,
    pool: &ThreadPool,
    input: Bytes<'_>,
    gate: &[f32],
    scratch: &mut [f32],
    output: &mut BytesMut<'_>,
) {
    let (from, to) = (input.layout, output.layout);
    assert!(from.same_shape(&to), "{from:?} and {to:?} differ in shape");
    assert_eq!(gate.len(), from.images * from.channels, "one gate per image and channel");
    output.clear_halo();
    let table = from.channels + BEHIND;
    let scratch = &mut scratch[..2 * from.images * table];
    let (factors, shifts) = scratch.split_at_mut(from.images * table);
    let ratio = input.quant.scale * output.quant.scale.recip();
    let (zero, out_zero) = (f32::from(input.quant.zero), f32::from(output.quant.zero));
    for (image, gate) in gate.chunks_exact(from.channels).enumerate() {
        for (c, gate) in gate.iter().enumerate() {
            let factor = gate * ratio;
            factors[image * table + c] = factor;
            shifts[image * table + c] = factor.mul_add(-zero, out_zero);
        }
    }
    let (factors, shifts) = (&*factors, &*shifts);
    let out = Shared::new(output.data);
    share_rows(pool, &from, |image, y| {
        // SAFETY: the pixels of a row of the output, this task's own.
        let to = unsafe { out.at(to.index(image, y, 0)) };
        let from_row = input.data[from.index(image, y, 0)..].as_ptr();
        let tables = [factors, shifts].map(|table_of| table_of[image * table..].as_ptr());
        isa.run(GateRow { from: from_row, to, pixels: from.width, channels: from.channels, tables });
    });
}

struct GateRow {
    from: *const u8,
    to: *mut u8,
    pixels: usize,
    channels: usize,
    tables: [*const f32; 2],
}

impl IntKernel for GateRow {
    type Output = ();

    #[inline(always)]
    fn run<S: IntSimd>(self, s: S) {
        let Self { from, to, pixels, channels, .. } = self;
        let step = 4 * S::LANES;
        let whole = channels - channels % step;
        // SAFETY: `gate` gives a row of pixels to read (with slack behind) and to write, and tables that
        // reach four vectors behind the last channel.
        unsafe {
            for x in 0..pixels {
                let (p, q) = (from.add(x * channels), to.add(x * channels));
                for c in (0..whole).step_by(step) {
                    s.store(q.add(c).cast(), self.gated(s, p, c));
                }
                if whole < channels {
                    let mut rest = [0u8; 64];
                    s.store(rest.as_mut_ptr().cast(), self.gated(s, p, whole));
                    std::ptr::copy_nonoverlapping(rest.as_ptr(), q.add(whole), channels - whole);
                }
            }
        }
    }
}

impl GateRow {
    /// The gated bytes of the pixel at `p`, from channel `c` on.
    ///
    /// # Safety
    /// The pixel and the tables must be valid for reading four vectors' lanes from there.
    #[inline(always)]
    unsafe fn gated<S: IntSimd>(&self, s: S, p: *const u8, c: usize) -> S::I {
        let [factors, shifts] = self.tables;
        let mut values = [s.splat(0.0); 4];
        for (v, value) in values.iter_mut().enumerate() {
            let c = c + v * S::LANES;
            // SAFETY: the caller's promise.
            *value = unsafe {
                s.fma(s.load_bytes(p.add(c)), s.load_floats(factors.add(c)), s.load_floats(shifts.add(c)))
            };
        }
        s.to_bytes(values)
    }
}

/// Turns the sums that [`QuantDepthwise::run`](super::QuantDepthwise::run) left with so many threads for an
/// activation of `layout` into means, `[N, C]`.
///
/// # Panics
/// When a length does not fit.
pub fn mean_of_sums(threads: usize, sums: &[i32], layout: &Layout, quant: Quant, means: &mut [f32]) {
    let (channels, parts) = (layout.channels, parts(threads, layout.height));
    assert_eq!(means.len(), layout.images * channels, "means for {layout:?}");
    let step = quant.scale / layout.pixels() as f32;
    let zero = f32::from(quant.zero) * quant.scale;
    for (means, sums) in means.chunks_exact_mut(channels).zip(sums.chunks_exact(parts * channels)) {
        for (c, mean) in means.iter_mut().enumerate() {
            let sum: i64 = sums[c..].iter().step_by(channels).map(|sum| i64::from(*sum)).sum();
            *mean = (sum as f32).mul_add(step, -zero);
        }
    }
}

/// The mean of every channel, in floats: `[N, H, W, C]` → `[N, C]`.
///
/// # Panics
/// When a length does not fit.
pub fn mean(isa: IntIsa, input: Bytes<'_>, means: &mut [f32]) {
    let Layout { images, channels, .. } = input.layout;
    assert_eq!(means.len(), images * channels, "means for {:?}", input.layout);
    for (image, means) in means.chunks_exact_mut(channels).enumerate() {
        isa.run(Mean { input, image, means });
    }
}

struct Mean<'a> {
    input: Bytes<'a>,
    image: usize,
    means: &'a mut [f32],
}

impl IntKernel for Mean<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: IntSimd>(self, s: S) {
        let Self { input: Bytes { data, layout, quant }, image, means } = self;
        let step = quant.scale / layout.pixels() as f32;
        let zero = f32::from(quant.zero) * quant.scale;
        // Without a halo, everything is one row.
        let (rows, width) =
            if layout.is_dense() { (1, layout.pixels()) } else { (layout.height, layout.width) };
        for (block, means) in means.chunks_mut(S::LANES).enumerate() {
            let mut totals = [0; 16];
            let totals = &mut totals[..means.len()];
            for y in 0..rows {
                let first = data[layout.index(image, y, 0) + block * S::LANES..].as_ptr();
                // SAFETY: a row of the input.
                unsafe { add_up(s, Pixels { first, pitch: layout.channels, width }, totals) };
            }
            means.iter_mut().zip(totals).for_each(|(mean, sum)| *mean = (*sum as f32).mul_add(step, -zero));
        }
    }
}

/// Some pixels of a row.
#[derive(Clone, Copy)]
pub(super) struct Pixels {
    pub(super) first: *const u8,
    /// Bytes from one to the next.
    pub(super) pitch: usize,
    pub(super) width: usize,
}

/// Adds the bytes of pixels to `totals`, one a channel.
///
/// # Safety
/// As many bytes of each pixel must be valid for reading.
#[inline(always)]
pub(super) unsafe fn add_up<S: IntSimd>(s: S, pixels: Pixels, totals: &mut [i32]) {
    let mut pixel = pixels.first;
    // SAFETY: the caller's promise.
    unsafe {
        if totals.len() < S::LANES {
            for _ in 0..pixels.width {
                let bytes = std::slice::from_raw_parts(pixel, totals.len());
                totals.iter_mut().zip(bytes).for_each(|(total, byte)| *total += i32::from(*byte));
                pixel = pixel.wrapping_add(pixels.pitch);
            }
            return;
        }
        // Whole numbers, exact in floats for up to 65 793 pixels of 255.
        let (mut sums, mut lanes) = (s.splat(0.0), [0.0; 16]);
        for _ in 0..pixels.width {
            sums = s.add(sums, s.load_bytes(pixel));
            pixel = pixel.wrapping_add(pixels.pitch);
        }
        s.store_floats(lanes.as_mut_ptr(), sums);
        totals.iter_mut().zip(lanes).for_each(|(total, sum)| *total += sum as i32);
    }
}

#[cfg(test)]
mod tests {
    use super::super::bytes_for;
    use super::*;
    use crate::isa::Isa;
    use crate::layout::Halo;
    use crate::naive::noise;

    #[test]
    fn floats_and_samples_become_the_nearest_bytes() {
        let quant = Quant::over(-1.7, 2.3);
        let pool = ThreadPool::new(2);
        for (channels, width) in [(1, 37), (3, 5), (3, 64), (3, 101)] {
            let layout = Layout::dense(2, 3, width, channels);
            let padded = layout.with_halo(Halo { top: 1, bottom: 2, left: 1, right: 3 });
            let each: Vec<(f32, f32)> = (0..channels).map(|c| (0.016, -1.9 - 0.1 * c as f32)).collect();
            let levels = Levels::new(&each);
            let samples: Vec<u8> =
                noise(layout.len(), 1).iter().map(|value| (127.5 + 127.0 * value) as u8).collect();
            let mut floats = vec![0.0; layout.len()];
            levels.convert(&samples, &mut floats);
            for isa in Isa::available().into_iter().map(IntIsa::of) {
                let check = |quantise: &dyn Fn(&mut BytesMut<'_>)| {
                    let mut bytes = vec![77; bytes_for(&padded)];
                    quantise(&mut BytesMut::new(&mut bytes, padded, quant));
                    let mut inside = 0;
                    for (i, value) in floats.iter().enumerate() {
                        let (row, x) = (i / (width * channels), i % (width * channels));
                        let at = padded.index(row / 3, row % 3, 0) + x;
                        assert_eq!(bytes[at], quant.byte(*value), "{value}");
                        inside += usize::from(bytes[at] != quant.zero);
                    }
                    let all = bytes[..padded.len()].iter().filter(|byte| **byte != quant.zero).count();
                    assert_eq!(all, inside, "the halo is clear");
                };
                check(&|output| quantise(isa, &pool, View::new(&floats, layout), output));
                check(&|output| quantise_samples(isa, &pool, Samples::Floats(&floats), output));
                check(&|output| quantise_samples(isa, &pool, Samples::Bytes(&samples, &levels), output));
            }
        }
    }
}
