//! AVX2 with FMA: eight lanes, masked moves for tails.

use std::arch::x86_64::*;

use super::{EIGHTH, Kernel, POWERS, ROUNDING, Simd};

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

/// Eight set words, then eight clear ones: a window over them masks the first n lanes.
static MASK: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// # Safety
/// `n` is at most 8 and the processor has AVX2.
#[inline(always)]
unsafe fn first(n: usize) -> __m256i {
    // SAFETY: the window from 8 − n lies within MASK.
    unsafe { _mm256_loadu_si256(MASK.as_ptr().add(8 - n).cast()) }
}

// SAFETY (of every intrinsic below): `self` proves that the processor has the instruction; memory
// operands are the caller's promise.
impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;
    const TILE_ROWS: [usize; 4] = [8, 6, 4, 3];

    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma")]
        fn enter<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` proves the features.
        unsafe { enter(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn min(self, bound: __m256, value: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_min_ps(bound, value) }
    }

    #[inline(always)]
    fn max(self, bound: __m256, value: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_max_ps(bound, value) }
    }

    #[inline(always)]
    fn divide(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn eighths(self, a: __m256, b: __m256) -> (__m256, __m256) {
        // SAFETY: see above.
        unsafe {
            let magic = _mm256_set1_ps(ROUNDING);
            let n = _mm256_fmadd_ps(a, b, magic);
            (_mm256_fmsub_ps(a, b, _mm256_sub_ps(n, magic)), n)
        }
    }

    #[inline(always)]
    fn power(self, eighths: __m256) -> __m256 {
        // SAFETY: see above; eight values of the table are read. Of an index only three bits count.
        unsafe {
            let n = _mm256_castps_si256(eighths);
            let power = _mm256_permutevar8x32_epi32(_mm256_loadu_si256(POWERS.as_ptr().cast()), n);
            _mm256_castsi256_ps(_mm256_add_epi32(power, _mm256_slli_epi32::<{ EIGHTH as i32 }>(n)))
        }
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m256) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(p, v) }
    }

    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> __m256 {
        // SAFETY: see above; n is at most LANES.
        unsafe { _mm256_maskload_ps(p, first(n)) }
    }

    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize, v: __m256) {
        // SAFETY: see above; n is at most LANES.
        unsafe { _mm256_maskstore_ps(p, first(n), v) }
    }
}
