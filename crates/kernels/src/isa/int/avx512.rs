//! AVX-512 with VNNI: four products of bytes are added at once.

use std::arch::x86_64::*;

use super::{IntKernel, IntSimd};
use crate::isa::Avx512;

/// Proof that the processor has AVX-512 F, VL, BW, DQ and VNNI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512Vnni(());

impl Avx512Vnni {
    pub(super) fn detect(_: Avx512) -> Option<Self> {
        is_x86_feature_detected!("avx512vnni").then_some(Self(()))
    }
}

// SAFETY (of every intrinsic below): `self` proves that the processor has the instruction; memory
// operands are the caller's promise.
impl IntSimd for Avx512Vnni {
    type I = __m512i;
    type F = __m512;
    const LANES: usize = 16;
    const TILE_ROWS: usize = 12;
    const TAPS: usize = 4;

    fn vectorize<K: IntKernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vnni,avx2,fma")]
        fn enter<K: IntKernel>(simd: Avx512Vnni, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` proves the features.
        unsafe { enter(self, kernel) }
    }

    #[inline(always)]
    fn dot_bytes(self, acc: __m512i, a: [__m512i; 2], b: [__m512i; 2]) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(acc, a[0], b[0]), a[1], b[1]) }
    }

    #[inline(always)]
    unsafe fn push(self, taps: __m512i, p: *const u8) -> __m512i {
        /// In each quarter of a vector, the bytes of its own lanes, as the last of these.
        static LAST: [u8; 64] = {
            let mut places = [0; 64];
            let mut lane = 0;
            while lane < 16 {
                places[4 * lane + 3] = lane as u8;
                lane += 1;
            }
            places
        };
        const IS_LAST: u64 = 0x8888_8888_8888_8888;
        // SAFETY: see above.
        unsafe {
            let pixel = _mm512_broadcast_i32x4(_mm_loadu_si128(p.cast()));
            let last = _mm512_loadu_si512(LAST.as_ptr().cast());
            _mm512_mask_shuffle_epi8(_mm512_srli_epi32::<8>(taps), IS_LAST, pixel, last)
        }
    }

    #[inline(always)]
    fn dot_taps(self, acc: __m512i, taps: __m512i, weights: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_dpbusd_epi32(acc, taps, weights) }
    }

    #[inline(always)]
    unsafe fn splat_bytes(self, p: *const u8) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_set1_epi32(p.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn load<T>(self, p: *const T) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_loadu_si512(p.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut i32, v: __m512i) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_si512(p.cast(), v) }
    }

    #[inline(always)]
    unsafe fn store_halves(self, to: [*mut u8; 2], bytes: __m512i) {
        // SAFETY: see above.
        unsafe {
            _mm256_storeu_si256(to[0].cast(), _mm512_castsi512_si256(bytes));
            _mm256_storeu_si256(to[1].cast(), _mm512_extracti64x4_epi64::<1>(bytes));
        }
    }

    #[inline(always)]
    unsafe fn store_quarters(self, to: [*mut u8; 4], bytes: __m512i) {
        // SAFETY: see above.
        unsafe {
            _mm_storeu_si128(to[0].cast(), _mm512_castsi512_si128(bytes));
            _mm_storeu_si128(to[1].cast(), _mm512_extracti32x4_epi32::<1>(bytes));
            _mm_storeu_si128(to[2].cast(), _mm512_extracti32x4_epi32::<2>(bytes));
            _mm_storeu_si128(to[3].cast(), _mm512_extracti32x4_epi32::<3>(bytes));
        }
    }

    #[inline(always)]
    fn to_floats(self, v: __m512i) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(v) }
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
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_abs_ps(a) }
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn load_floats(self, p: *const f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn store_floats(self, p: *mut f32, v: __m512) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(p, v) }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast()))) }
    }

    #[inline(always)]
    fn to_bytes(self, v: [__m512; 4]) -> __m512i {
        // SAFETY: see above.
        unsafe {
            let words = [
                _mm512_packs_epi32(_mm512_cvtps_epi32(v[0]), _mm512_cvtps_epi32(v[1])),
                _mm512_packs_epi32(_mm512_cvtps_epi32(v[2]), _mm512_cvtps_epi32(v[3])),
            ];
            // Packing works in quarters; this puts them in order.
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            _mm512_permutexvar_epi32(order, _mm512_packus_epi16(words[0], words[1]))
        }
    }
}
