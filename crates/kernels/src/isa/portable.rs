//! Plain Rust on short arrays, which the compiler turns into the target's baseline vectors.

use super::{EIGHTH, Kernel, POWERS, ROUNDING, Simd};

/// Needs no instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portable;

const LANES: usize = 4;

#[inline(always)]
fn zip(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

impl Simd for Portable {
    type V = [f32; LANES];
    const LANES: usize = LANES;
    const TILE_ROWS: [usize; 4] = [8, 6, 4, 3];

    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [value; LANES]
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // Not `mul_add`: without an FMA instruction that is a call into libm.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn min(self, bound: Self::V, value: Self::V) -> Self::V {
        zip(bound, value, |bound, value| if bound < value { bound } else { value })
    }

    #[inline(always)]
    fn max(self, bound: Self::V, value: Self::V) -> Self::V {
        zip(bound, value, |bound, value| if bound > value { bound } else { value })
    }

    #[inline(always)]
    fn divide(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn eighths(self, a: Self::V, b: Self::V) -> (Self::V, Self::V) {
        let product = self.mul(a, b);
        let n = product.map(|product| product + ROUNDING);
        (zip(product, n, |product, n| product - (n - ROUNDING)), n)
    }

    #[inline(always)]
    fn power(self, eighths: Self::V) -> Self::V {
        eighths.map(|n| {
            let n = n.to_bits();
            f32::from_bits(POWERS[n as usize % POWERS.len()].wrapping_add(n << EIGHTH))
        })
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::V {
        // SAFETY: the caller promises LANES values; arrays of f32 need no more than f32's alignment.
        unsafe { p.cast::<Self::V>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Self::V) {
        // SAFETY: as for `load`.
        unsafe { p.cast::<Self::V>().write(v) }
    }

    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::V {
        // SAFETY: the caller promises n values, and only those are read.
        std::array::from_fn(|i| if i < n { unsafe { *p.add(i) } } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize, v: Self::V) {
        for (i, value) in v.into_iter().enumerate().take(n) {
            // SAFETY: the caller promises n values.
            unsafe { *p.add(i) = value }
        }
    }
}
