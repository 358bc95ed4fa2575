//! AVX2: products of bytes in pairs of 16 bits, which the choice of the weights keeps from saturating.

use std::arch::x86_64::*;

use super::{IntKernel, IntSimd};
use crate::isa::Avx2;

// SAFETY (of every intrinsic below): `self` proves that the processor has the instruction; memory
// operands are the caller's promise.
impl IntSimd for Avx2 {
    type I = __m256i;
    type F = __m256;
    const LANES: usize = 8;
    const TILE_ROWS: usize = 4;
    const TAPS: usize = 2;

    fn vectorize<K: IntKernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma")]
        fn enter<K: IntKernel>(simd: Avx2, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` proves the features.
        unsafe { enter(self, kernel) }
    }

    #[inline(always)]
    fn dot_bytes(self, acc: __m256i, a: [__m256i; 2], b: [__m256i; 2]) -> __m256i {
        // SAFETY: see above.
        unsafe {
            let products = [_mm256_maddubs_epi16(a[0], b[0]), _mm256_maddubs_epi16(a[1], b[1])];
            let pairs = _mm256_add_epi16(products[0], products[1]);
            _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    unsafe fn push(self, taps: __m256i, p: *const u8) -> __m256i {
        /// For a shuffle: zeros, but for byte 0 as the third, the low half of the second integer.
        const LAST: i32 = 0x8000_8080_u32 as i32;
        /// The next byte instead.
        const LANE: i32 = 1 << 16;
        // SAFETY: see above.
        unsafe {
            let pixel = _mm256_broadcastsi128_si256(_mm_loadu_si128(p.cast()));
            // The bytes of its own lanes in each half, as their second integers.
            let last = _mm256_setr_epi32(
                LAST,
                LAST + LANE,
                LAST + 2 * LANE,
                LAST + 3 * LANE,
                LAST + 4 * LANE,
                LAST + 5 * LANE,
                LAST + 6 * LANE,
                LAST + 7 * LANE,
            );
            _mm256_or_si256(_mm256_srli_epi32::<16>(taps), _mm256_shuffle_epi8(pixel, last))
        }
    }

    #[inline(always)]
    fn dot_taps(self, acc: __m256i, taps: __m256i, weights: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_add_epi32(acc, _mm256_madd_epi16(taps, weights)) }
    }

    #[inline(always)]
    unsafe fn splat_bytes(self, p: *const u8) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_set1_epi32(p.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn load<T>(self, p: *const T) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_loadu_si256(p.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut i32, v: __m256i) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_si256(p.cast(), v) }
    }

    #[inline(always)]
    unsafe fn store_halves(self, to: [*mut u8; 2], bytes: __m256i) {
        // SAFETY: see above.
        unsafe {
            _mm_storeu_si128(to[0].cast(), _mm256_castsi256_si128(bytes));
            _mm_storeu_si128(to[1].cast(), _mm256_extracti128_si256::<1>(bytes));
        }
    }

    #[inline(always)]
    unsafe fn store_quarters(self, to: [*mut u8; 4], bytes: __m256i) {
        // SAFETY: see above.
        unsafe {
            let [low, high] = [_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes)];
            _mm_storel_epi64(to[0].cast(), low);
            _mm_storeh_pd(to[1].cast(), _mm_castsi128_pd(low));
            _mm_storel_epi64(to[2].cast(), high);
            _mm_storeh_pd(to[3].cast(), _mm_castsi128_pd(high));
        }
    }

    #[inline(always)]
    fn to_floats(self, v: __m256i) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_cvtepi32_ps(v) }
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
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn abs(self, a: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn load_floats(self, p: *const f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn store_floats(self, p: *mut f32, v: __m256) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(p, v) }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast()))) }
    }

    #[inline(always)]
    fn to_bytes(self, v: [__m256; 4]) -> __m256i {
        // SAFETY: see above.
        unsafe {
            let words = [
                _mm256_packs_epi32(_mm256_cvtps_epi32(v[0]), _mm256_cvtps_epi32(v[1])),
                _mm256_packs_epi32(_mm256_cvtps_epi32(v[2]), _mm256_cvtps_epi32(v[3])),
            ];
            // Packing works in halves; this puts them in order.
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            _mm256_permutevar8x32_epi32(_mm256_packus_epi16(words[0], words[1]), order)
        }
    }
}
