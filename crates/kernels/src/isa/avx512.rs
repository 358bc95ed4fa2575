//! AVX-512: sixteen lanes, masks for tails.

use std::arch::x86_64::*;

use super::{EIGHTH, Kernel, POWERS, ROUNDING, Simd};

/// Proof that the processor has AVX-512 F, VL, BW and DQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512(());

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("fma");
        found.then_some(Self(()))
    }
}

#[inline(always)]
fn first(n: usize) -> __mmask16 {
    ((1u32 << n) - 1) as __mmask16
}

// SAFETY (of every intrinsic below): `self` proves that the processor has the instruction; memory
// operands are the caller's promise.
impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;
    const TILE_ROWS: [usize; 4] = [14, 14, 9, 6];

    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
        fn enter<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` proves the features.
        unsafe { enter(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn min(self, bound: __m512, value: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_min_ps(bound, value) }
    }

    #[inline(always)]
    fn max(self, bound: __m512, value: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_max_ps(bound, value) }
    }

    #[inline(always)]
    fn divide(self, a: __m512, b: __m512) -> __m512 {
        // One Newton step on the 14-bit estimate: half the cost of a division.
        // SAFETY: see above.
        unsafe {
            let y = _mm512_rcp14_ps(b);
            let error = _mm512_fnmadd_ps(b, y, _mm512_set1_ps(1.0));
            _mm512_mul_ps(a, _mm512_fmadd_ps(y, error, y))
        }
    }

    #[inline(always)]
    fn eighths(self, a: __m512, b: __m512) -> (__m512, __m512) {
        // SAFETY: see above.
        unsafe {
            let magic = _mm512_set1_ps(ROUNDING);
            let n = _mm512_fmadd_ps(a, b, magic);
            (_mm512_fmsub_ps(a, b, _mm512_sub_ps(n, magic)), n)
        }
    }

    #[inline(always)]
    fn power(self, eighths: __m512) -> __m512 {
        // SAFETY: see above; the table is a vector long. Of an index only four bits count.
        unsafe {
            let n = _mm512_castps_si512(eighths);
            let power = _mm512_permutexvar_epi32(n, _mm512_loadu_si512(POWERS.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_add_epi32(power, _mm512_slli_epi32::<{ EIGHTH }>(n)))
        }
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m512) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(p, v) }
    }

    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_maskz_loadu_ps(first(n), p) }
    }

    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize, v: __m512) {
        // SAFETY: see above.
        unsafe { _mm512_mask_storeu_ps(p, first(n), v) }
    }
}
