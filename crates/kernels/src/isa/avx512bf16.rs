//! AVX-512 BF16: two products a lane, of bf16 pairs.

use std::arch::x86_64::*;

use super::{Avx512, Dot, DotKernel};

/// Proof that the processor has AVX-512 BF16 beside what [`Avx512`] proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512Bf16(Avx512);

impl Avx512Bf16 {
    /// Asks the processor whether it has the instruction and gains by it. Intel's have, but multiply twice the
    /// numbers in more than twice the time (their bf16 is in AMX): with it B0 takes 1.3 times as long as in fp32 on
    /// a Sapphire Rapids, and OpenVINO's networks do too.
    pub(crate) fn detect(simd: Avx512) -> Option<Self> {
        (is_x86_feature_detected!("avx512bf16") && !is_intel()).then_some(Self(simd))
    }
}

fn is_intel() -> bool {
    let id = __cpuid(0);
    [id.ebx, id.edx, id.ecx].map(u32::to_le_bytes).concat() == *b"GenuineIntel"
}

// SAFETY (of every intrinsic below): `self` proves that the processor has the instruction; memory
// operands are the caller's promise.
impl Dot for Avx512Bf16 {
    type S = Avx512;

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.0
    }

    fn enter<K: DotKernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512bf16,avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
        fn with_bf16<K: DotKernel>(dot: Avx512Bf16, kernel: K) -> K::Output {
            kernel.run(dot)
        }
        // SAFETY: `self` proves the features.
        unsafe { with_bf16(self, kernel) }
    }

    #[inline(always)]
    fn dot(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see above; a vector of pairs has the bits of a vector of cells.
        unsafe {
            let (a, b) =
                (std::mem::transmute::<__m512, __m512bh>(a), std::mem::transmute::<__m512, __m512bh>(b));
            _mm512_dpbf16_ps(c, a, b)
        }
    }

    #[inline(always)]
    unsafe fn put(self, row: *mut f32, at: usize, v: __m512) {
        // SAFETY: see above.
        unsafe {
            let pairs = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(v));
            _mm256_storeu_si256(row.cast::<u16>().add(at).cast(), pairs);
        }
    }
}
