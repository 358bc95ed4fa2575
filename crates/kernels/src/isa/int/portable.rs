//! Plain Rust: what the other instruction sets must equal.

use super::{IntKernel, IntSimd};
use crate::isa::Portable;

const LANES: usize = 4;

/// Four 32-bit integers as sixteen bytes.
type Bytes = [u8; 4 * LANES];

#[inline(always)]
fn ints(v: Bytes) -> [i32; LANES] {
    std::array::from_fn(|i| i32::from_le_bytes([v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3]]))
}

#[inline(always)]
fn bytes(v: [i32; LANES]) -> Bytes {
    std::array::from_fn(|i| v[i / 4].to_le_bytes()[i % 4])
}

impl IntSimd for Portable {
    type I = Bytes;
    type F = [f32; LANES];
    const LANES: usize = LANES;
    const TILE_ROWS: usize = 4;
    const TAPS: usize = 4;

    fn vectorize<K: IntKernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn dot_bytes(self, acc: Bytes, a: [Bytes; 2], b: [Bytes; 2]) -> Bytes {
        self.dot_taps(self.dot_taps(acc, a[0], b[0]), a[1], b[1])
    }

    #[inline(always)]
    unsafe fn push(self, taps: Bytes, p: *const u8) -> Bytes {
        // SAFETY: the caller's promise.
        let pixel = unsafe { p.cast::<[u8; LANES]>().read() };
        std::array::from_fn(|i| if i % 4 == 3 { pixel[i / 4] } else { taps[i + 1] })
    }

    #[inline(always)]
    fn dot_taps(self, acc: Bytes, taps: Bytes, weights: Bytes) -> Bytes {
        let mut sums = ints(acc);
        for i in 0..4 * LANES {
            sums[i / 4] = sums[i / 4].wrapping_add(i32::from(taps[i]) * i32::from(weights[i] as i8));
        }
        bytes(sums)
    }

    #[inline(always)]
    unsafe fn splat_bytes(self, p: *const u8) -> Bytes {
        // SAFETY: the caller's promise.
        let four = unsafe { p.cast::<[u8; 4]>().read() };
        std::array::from_fn(|i| four[i % 4])
    }

    #[inline(always)]
    unsafe fn load<T>(self, p: *const T) -> Bytes {
        // SAFETY: the caller's promise; bytes need no alignment.
        unsafe { p.cast::<Bytes>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut i32, v: Bytes) {
        // SAFETY: the caller's promise; bytes need no alignment.
        unsafe { p.cast::<Bytes>().write(v) }
    }

    #[inline(always)]
    unsafe fn store_halves(self, to: [*mut u8; 2], bytes: Bytes) {
        for (to, half) in to.into_iter().zip(bytes.as_chunks::<{ 2 * LANES }>().0) {
            // SAFETY: the caller's promise.
            unsafe { to.cast::<[u8; 2 * LANES]>().write(*half) };
        }
    }

    #[inline(always)]
    unsafe fn store_quarters(self, to: [*mut u8; 4], bytes: Bytes) {
        for (to, quarter) in to.into_iter().zip(bytes.as_chunks::<LANES>().0) {
            // SAFETY: the caller's promise.
            unsafe { to.cast::<[u8; LANES]>().write(*quarter) };
        }
    }

    #[inline(always)]
    fn to_floats(self, v: Bytes) -> Self::F {
        ints(v).map(|v| v as f32)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        [value; LANES]
    }

    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        // A call into libm where the target has no such instruction, but rounded once as elsewhere.
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }

    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        a.map(f32::abs)
    }

    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        std::array::from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    unsafe fn load_floats(self, p: *const f32) -> Self::F {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<Self::F>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store_floats(self, p: *mut f32, v: Self::F) {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<Self::F>().write_unaligned(v) }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8) -> Self::F {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[u8; LANES]>().read() }.map(f32::from)
    }

    #[inline(always)]
    fn to_bytes(self, v: [Self::F; 4]) -> Bytes {
        std::array::from_fn(|i| v[i / LANES][i % LANES].round_ties_even() as u8)
    }
}
