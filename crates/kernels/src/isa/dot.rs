//! What a matrix product's tile multiplies: 32-bit cells that hold one number, or two of 16 bits.

use super::{Kernel, Simd};
use crate::bf16::round;

/// Products of numbers that lie in 32-bit cells, summed in `f32`.
///
/// Every [`Simd`] has cells of one number. As with [`Simd`], kernels must be `#[inline(always)]` down to
/// their last helper.
pub(crate) trait Dot: Copy + Send + Sync + 'static {
    /// The vectors that hold cells, and sums.
    type S: Simd;

    /// The instruction set of [`Dot::S`].
    fn simd(self) -> Self::S;
    /// Runs `kernel` in a function compiled for this instruction set.
    fn enter<K: DotKernel>(self, kernel: K) -> K::Output;
    /// `c` and, lane by lane, the products of the numbers in the cells of `a` and `b`.
    fn dot(
        self,
        a: <Self::S as Simd>::V,
        b: <Self::S as Simd>::V,
        c: <Self::S as Simd>::V,
    ) -> <Self::S as Simd>::V;
    /// Rounds a vector of floats to bf16 and writes them as the numbers from `at` on of a row of cells.
    ///
    /// # Safety
    /// The row must be valid for writing [`Simd::LANES`] numbers there.
    unsafe fn put(self, row: *mut f32, at: usize, v: <Self::S as Simd>::V);
}

/// A piece of work written over [`Dot`]; `run` must be `#[inline(always)]`.
pub(crate) trait DotKernel {
    /// What the work returns.
    type Output;
    /// Does the work.
    fn run<D: Dot>(self, dot: D) -> Self::Output;
}

struct Floats<K>(K);

impl<K: DotKernel> Kernel for Floats<K> {
    type Output = K::Output;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> K::Output {
        self.0.run(simd)
    }
}

impl<S: Simd> Dot for S {
    type S = S;

    #[inline(always)]
    fn simd(self) -> S {
        self
    }

    fn enter<K: DotKernel>(self, kernel: K) -> K::Output {
        self.vectorize(Floats(kernel))
    }

    #[inline(always)]
    fn dot(self, a: S::V, b: S::V, c: S::V) -> S::V {
        self.fma(a, b, c)
    }

    #[inline(always)]
    unsafe fn put(self, row: *mut f32, at: usize, v: S::V) {
        // SAFETY: the caller's promise.
        unsafe {
            let to = row.add(at);
            self.store(to, v);
            for i in 0..S::LANES {
                *to.add(i) = round(*to.add(i));
            }
        }
    }
}
