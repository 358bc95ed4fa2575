//! Vectors of channels: whole ones, and the few lanes at the end of a pixel.

use effigy_kernels::isa::{Simd, prefetch_far};

/// Values of a page of memory: at its end the processor stops to fetch what comes next.
const PAGE: usize = 1024;

/// Asks for what lies a page behind `p`, in a pass over memory.
#[inline(always)]
pub(crate) fn ahead(p: *const f32) {
    prefetch_far(p.wrapping_add(PAGE));
}

/// The first `n` lanes at `p`.
///
/// # Safety
/// `p` must be valid for reading `n` values, which are at most a vector's.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd>(s: S, p: *const f32, n: usize) -> S::V {
    // SAFETY: the caller's promise.
    unsafe { if n == S::LANES { s.load(p) } else { s.load_first(p, n) } }
}

/// The first `n` lanes to `p`.
///
/// # Safety
/// `p` must be valid for writing `n` values, which are at most a vector's.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd>(s: S, p: *mut f32, n: usize, v: S::V) {
    // SAFETY: the caller's promise.
    unsafe { if n == S::LANES { s.store(p, v) } else { s.store_first(p, n, v) } }
}

/// Lanes of the vector that starts at channel `c` of `channels`.
#[inline(always)]
pub(crate) fn count<S: Simd>(c: usize, channels: usize) -> usize {
    S::LANES.min(channels - c)
}
