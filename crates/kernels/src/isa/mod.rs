//! Instruction sets: what a vector can do, which set this processor has, and the jump into it.
//!
//! A value of an instruction set's token type ([`Avx512`], [`Avx2`]) exists only where the processor
//! has been asked, so holding one is the proof that its instructions may be executed.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512bf16;
mod dot;
pub mod int;
mod portable;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512bf16::Avx512Bf16;
pub(crate) use dot::{Dot, DotKernel};
pub use portable::Portable;

/// Asks for the cache line of `p`, which need not be a valid address. Every processor has an instruction for it.
#[inline(always)]
pub(crate) fn prefetch<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// Asks for the cache line of `p`, which need not be a valid address, for the second-level cache: for what is read
/// later on.
#[inline(always)]
pub fn prefetch_far<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// What kernels need of a vector of `f32`s.
///
/// Every method is inlined into the body of [`Simd::vectorize`], which is compiled with the
/// instruction set enabled; kernels must therefore be `#[inline(always)]` down to their last helper.
pub trait Simd: Copy + Send + Sync + 'static {
    /// A vector of [`Simd::LANES`] values.
    type V: Copy;
    /// Values in a vector.
    const LANES: usize;
    /// Rows of a GEMM register tile that is 1, 2, 3 or 4 vectors wide.
    const TILE_ROWS: [usize; 4];

    /// Runs `kernel` in a function compiled for this instruction set.
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output;

    /// All lanes `value`.
    fn splat(self, value: f32) -> Self::V;
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a − b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The smaller of both; `value` where `value` is NaN.
    fn min(self, bound: Self::V, value: Self::V) -> Self::V;
    /// The larger of both; `value` where `value` is NaN.
    fn max(self, bound: Self::V, value: Self::V) -> Self::V;
    /// `a / b` to within 2e-7 relative, for `b` in 1..2¹²⁵.
    fn divide(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b` as eighths, an integer, and a rest in −¹⁄₁₆..=¹⁄₁₆, for |a · b| up to 125. The integer is in a form
    /// that only [`Simd::power`] reads.
    fn eighths(self, a: Self::V, b: Self::V) -> (Self::V, Self::V);
    /// 2 to the power of the eighths that [`Simd::eighths`] found.
    fn power(self, eighths: Self::V) -> Self::V;

    /// Reads [`Simd::LANES`] values.
    ///
    /// # Safety
    /// `p` must be valid for reading that many.
    unsafe fn load(self, p: *const f32) -> Self::V;
    /// Writes [`Simd::LANES`] values.
    ///
    /// # Safety
    /// `p` must be valid for writing that many.
    unsafe fn store(self, p: *mut f32, v: Self::V);
    /// Reads the first `n` values (1..=LANES); other lanes are zero.
    ///
    /// # Safety
    /// `p` must be valid for reading `n` values.
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::V;
    /// Writes the first `n` lanes (1..=LANES).
    ///
    /// # Safety
    /// `p` must be valid for writing `n` values.
    unsafe fn store_first(self, p: *mut f32, n: usize, v: Self::V);
}

/// 1.5·2²⁰: a number added to it keeps its eighths, and they lie in the sum's low bits as an integer.
const ROUNDING: f32 = 1_572_864.0;

/// Where a number's exponent and the first three bits behind the point begin: eighths are shifted by so much.
const EIGHTH: u32 = 20;

/// 2^(i/8) as bits, less what i eighths add to an exponent; twice, for the longest vector.
const POWERS: [u32; 16] = powers();

const fn powers() -> [u32; 16] {
    let bits: [u32; 8] = [
        0x3f80_0000,
        0x3f8b_95c2,
        0x3f98_37f0,
        0x3fa5_fed7,
        0x3fb5_04f3,
        0x3fc5_672a,
        0x3fd7_44fd,
        0x3fea_c0c7,
    ];
    let mut powers = [0; 16];
    let mut i = 0;
    while i < powers.len() {
        powers[i] = bits[i % 8] - (((i % 8) as u32) << EIGHTH);
        i += 1;
    }
    powers
}

/// A piece of work written over [`Simd`]; `run` must be `#[inline(always)]`.
pub trait Kernel {
    /// What the work returns.
    type Output;
    /// Does the work.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// An instruction set that this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512 F, VL, BW and DQ: 16 lanes, 32 registers.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// AVX2 and FMA: 8 lanes, 16 registers.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// Plain Rust that the compiler vectorises for the target's baseline.
    Portable(Portable),
}

/// An instruction set's name that is unknown, or that this processor lacks.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IsaError {
    /// Not a name of an instruction set.
    #[error("unknown instruction set {0:?}: use avx512, avx2 or portable")]
    Unknown(String),
    /// Known, but the processor does not have it.
    #[error("this processor does not have {0}")]
    Missing(&'static str),
}

impl Isa {
    /// The best instruction set of this processor.
    #[must_use]
    pub fn best() -> Self {
        Self::available()[0]
    }

    /// Every instruction set of this processor, the best first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(Avx512::detect().map(Self::Avx512));
            all.extend(Avx2::detect().map(Self::Avx2));
        }
        all.push(Self::Portable(Portable));
        all
    }

    /// The instruction set called `avx512`, `avx2` or `portable`.
    ///
    /// # Errors
    /// When the name is another one, or the processor lacks the instruction set.
    pub fn from_name(name: &str) -> Result<Self, IsaError> {
        const NAMES: [&str; 3] = ["avx512", "avx2", "portable"];
        let known = NAMES.into_iter().find(|known| *known == name);
        let known = known.ok_or_else(|| IsaError::Unknown(name.to_owned()))?;
        Self::available().into_iter().find(|isa| isa.name() == known).ok_or(IsaError::Missing(known))
    }

    /// `avx512`, `avx2` or `portable`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            Self::Portable(_) => "portable",
        }
    }

    /// Runs `kernel` compiled for this instruction set.
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => simd.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => simd.vectorize(kernel),
            Self::Portable(simd) => simd.vectorize(kernel),
        }
    }

    /// [`Simd::TILE_ROWS`].
    #[must_use]
    pub fn tile_rows(self) -> [usize; 4] {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => Avx512::TILE_ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Avx2::TILE_ROWS,
            Self::Portable(_) => Portable::TILE_ROWS,
        }
    }

    /// Whether the processor has instructions for products of bf16 that are faster than those of floats.
    #[must_use]
    pub fn has_bf16(self) -> bool {
        crate::bf16::Bf16::of(self).is_native()
    }

    /// Values in a vector.
    #[must_use]
    pub fn lanes(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => Avx512::LANES,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Avx2::LANES,
            Self::Portable(_) => Portable::LANES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loads, stores and arithmetic of one vector, partial ones included.
    struct Exercise;

    impl Kernel for Exercise {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let from: Vec<f32> = (0..S::LANES).map(|i| i as f32 - 2.5).collect();
            for n in 1..=S::LANES {
                let mut to = vec![9.0; S::LANES];
                // SAFETY: n values are there to read and to write.
                unsafe { s.store_first(to.as_mut_ptr(), n, s.load_first(from.as_ptr(), n)) };
                assert_eq!(to[..n], from[..n]);
                assert!(to[n..].iter().all(|&v| v == 9.0));
            }
            let mut to = vec![0.0; S::LANES];
            // SAFETY: both buffers hold LANES values.
            unsafe {
                let x = s.load(from.as_ptr());
                let y = s.max(s.splat(0.0), s.fma(x, s.splat(2.0), s.splat(1.0)));
                s.store(to.as_mut_ptr(), s.divide(y, s.splat(8.0)));
            }
            for (y, x) in to.iter().zip(&from) {
                assert_eq!(*y, (x * 2.0 + 1.0).max(0.0) / 8.0);
            }
            for n in -124 * 8..=124 * 8 {
                for fraction in [-0.0546875f32, 0.0, 0.03125] {
                    let (mut f, mut y) = (vec![0.0; S::LANES], vec![0.0; S::LANES]);
                    let (rest, eighths) =
                        s.eighths(s.splat(-0.5), s.splat(-2.0 * (n as f32 / 8.0 + fraction)));
                    // SAFETY: both buffers hold LANES values.
                    unsafe {
                        s.store(f.as_mut_ptr(), rest);
                        s.store(y.as_mut_ptr(), s.power(eighths));
                    }
                    assert!(f.iter().all(|&f| f == fraction));
                    let power = (f64::from(n) / 8.0).exp2() as f32;
                    assert!(y.iter().all(|&y| y == power), "2^({n}/8) is {power}, not {}", y[0]);
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_computes_the_same() {
        for isa in Isa::available() {
            isa.run(Exercise);
            assert_eq!(Isa::from_name(isa.name()), Ok(isa));
        }
        assert_eq!(Isa::from_name("mmx"), Err(IsaError::Unknown("mmx".into())));
    }
}
