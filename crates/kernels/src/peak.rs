//! What the processor can do at most: multiply-adds that wait for nothing and load nothing, and loads of
//! which nothing is made.

use std::hint::black_box;
use std::time::{Duration, Instant};

use effigy_tensor::AlignedBuf;

use crate::bf16::Bf16;
use crate::isa::{Dot, DotKernel, Isa, Kernel, Simd};
use crate::pool::ThreadPool;

/// Chains of dependent multiply-adds: more than latency × ports of any current core, and few enough
/// for 16 registers.
const CHAINS: usize = 12;
/// Links of each chain in one measurement: a fraction of a millisecond, so that on a busy machine some
/// measurements still run without being interrupted, and yet much longer than handing out the work.
const LINKS: usize = 1 << 17;
/// Measurements of which the best counts: other programs can only slow one down.
const REPEATS: usize = 200;

/// Floating-point operations per second that `threads` threads reach together with an instruction set,
/// a multiply-add counted as two. Measured, which takes about 0.1 s.
#[must_use]
pub fn flops(isa: Isa, threads: usize) -> f64 {
    2.0 * (isa.lanes() * CHAINS * LINKS) as f64 * per_second(threads, || isa.run(Chains))
}

/// As [`flops`], of bf16 that are summed in `f32`; the same where the processor multiplies no bf16.
#[must_use]
pub fn bf16_flops(isa: Isa, threads: usize) -> f64 {
    match Bf16::of(isa) {
        #[cfg(target_arch = "x86_64")]
        Bf16::Pairs(pairs) => {
            4.0 * (isa.lanes() * CHAINS * LINKS) as f64 * per_second(threads, || pairs.enter(PairChains))
        }
        Bf16::Singles => flops(isa, threads),
    }
}

/// How often a second `threads` threads together do `work`.
fn per_second(threads: usize, work: impl Fn() -> f32 + Sync) -> f64 {
    let threads = threads.max(1);
    let pool = ThreadPool::new(threads);
    let run = || {
        let start = Instant::now();
        pool.run(threads, |_| {
            black_box(work());
        });
        start.elapsed()
    };
    let best = (0..REPEATS).map(|_| run()).min().unwrap_or(Duration::MAX);
    threads as f64 / best.as_secs_f64()
}

/// Sums of what is loaded: as many as hide the latency of adding.
const STREAMS: usize = 8;
/// Values that [`Sum`] takes at a time.
const STEP: usize = STREAMS * 16;
/// What each thread loads in one measurement, in bytes, if its part is not larger.
const LOADED: usize = 2 << 20;
/// Measurements of [`bandwidth`] of which the best counts.
const LOADS: usize = 25;

/// Bytes per second that `threads` threads load together, each a part of its own of `bytes` of memory, again
/// and again: what the nearest memory gives that holds so many. Measured, which takes some milliseconds, and
/// for hundreds of megabytes about a second.
#[must_use]
pub fn bandwidth(isa: Isa, threads: usize, bytes: usize) -> f64 {
    let threads = threads.max(1);
    let pool = ThreadPool::new(threads);
    let len = (bytes / size_of::<f32>() / threads).next_multiple_of(STEP).max(STEP);
    // Written, since memory that nobody has written is one and the same page of zeros.
    let filled = |_| {
        let mut part = AlignedBuf::zeroed(len);
        part.fill(1.0);
        part
    };
    let parts: Vec<AlignedBuf> = (0..threads).map(filled).collect();
    let passes = (LOADED / (size_of::<f32>() * len)).max(1);
    let run = || {
        let start = Instant::now();
        pool.run_with_thread(threads, |thread, _| {
            black_box(isa.run(Sum { values: &parts[thread], passes }));
        });
        start.elapsed()
    };
    run();
    let best = (0..LOADS).map(|_| run()).min().unwrap_or(Duration::MAX);
    (threads * passes * len * size_of::<f32>()) as f64 / best.as_secs_f64()
}

struct Sum<'a> {
    /// A multiple of [`STEP`].
    values: &'a [f32],
    passes: usize,
}

impl Kernel for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        const { assert!(STEP.is_multiple_of(STREAMS * S::LANES)) };
        let mut sums = [s.splat(0.0); STREAMS];
        for _ in 0..self.passes {
            // The compiler must not know that the values are those of the last pass.
            let values = black_box(self.values);
            for chunk in values.chunks_exact(STREAMS * S::LANES) {
                for (i, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: the chunk holds as many vectors as there are sums.
                    *sum = s.add(*sum, unsafe { s.load(chunk.as_ptr().add(i * S::LANES)) });
                }
            }
        }
        let sum = sums[1..].iter().fold(sums[0], |sum, other| s.add(sum, *other));
        let mut lanes = [0.0; STEP];
        // SAFETY: no vector is longer.
        unsafe { s.store(lanes.as_mut_ptr(), sum) };
        lanes.iter().sum()
    }
}

/// Every value converges to 1: no infinities, no denormals.
struct Chains;

impl Kernel for Chains {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        // The compiler must not know the factors, or it could sum the series.
        let (factor, addend) = (s.splat(black_box(0.5)), s.splat(black_box(0.5)));
        let mut chains: [S::V; CHAINS] = std::array::from_fn(|i| s.splat(i as f32));
        for _ in 0..LINKS {
            for chain in &mut chains {
                *chain = s.fma(*chain, factor, addend);
            }
        }
        let sum = chains[1..].iter().fold(chains[0], |sum, chain| s.add(sum, *chain));
        let mut first = 0.0;
        // SAFETY: one value is written to one value.
        unsafe { s.store_first(&raw mut first, 1, sum) };
        first
    }
}

/// Sums of products of pairs: every link adds ½ to a value.
struct PairChains;

impl DotKernel for PairChains {
    type Output = f32;

    #[inline(always)]
    fn run<D: Dot>(self, d: D) -> f32 {
        let s = d.simd();
        // Two bf16 of ½ each.
        let half = s.splat(black_box(f32::from_bits(0x3f00_3f00)));
        let mut chains = [s.splat(0.0); CHAINS];
        for _ in 0..LINKS {
            for chain in &mut chains {
                *chain = d.dot(half, half, *chain);
            }
        }
        let mut sum = chains[0];
        for chain in &chains[1..] {
            sum = s.add(sum, *chain);
        }
        let mut first = 0.0;
        // SAFETY: one value is written to one value.
        unsafe { s.store_first(&raw mut first, 1, sum) };
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_loaded() {
        let values = AlignedBuf::from(&[1.0; 3 * STEP][..]);
        for isa in Isa::available() {
            assert_eq!(isa.run(Sum { values: &values, passes: 5 }), (5 * 3 * STEP) as f32);
            assert!(bandwidth(isa, 2, 1 << 16) > 0.0);
        }
    }

    #[test]
    fn the_chains_are_really_computed() {
        for isa in Isa::available() {
            assert_eq!(isa.run(Chains), CHAINS as f32);
            for flops in [flops(isa, 1), bf16_flops(isa, 1)] {
                assert!(flops > 1e8 && flops < 1e13, "{isa:?}: {flops}");
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_chains_of_pairs_are_really_computed() {
        for isa in Isa::available() {
            if let Bf16::Pairs(pairs) = Bf16::of(isa) {
                assert_eq!(pairs.enter(PairChains), (CHAINS * LINKS) as f32 * 0.5);
            }
        }
    }
}
