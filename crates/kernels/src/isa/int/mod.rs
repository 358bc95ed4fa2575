//! What a vector of integers can do: the instructions of the 8-bit kernels.
//!
//! Every instruction set computes the same integers, and the few operations on floats round once, so
//! that 8-bit results are equal to the bit everywhere.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use super::Isa;

/// What 8-bit kernels need of a vector.
///
/// As with [`Simd`](super::Simd), kernels must be `#[inline(always)]` down to their last helper.
pub trait IntSimd: Copy + Send + Sync + 'static {
    /// [`IntSimd::LANES`] 32-bit integers, twice as many 16-bit ones, or four times as many bytes.
    type I: Copy;
    /// [`IntSimd::LANES`] floats.
    type F: Copy;
    /// 32-bit integers in a vector.
    const LANES: usize;
    /// Rows of a matrix product's register tile that is 1 or 2 vectors wide; at most 8.
    const TILE_ROWS: [usize; 2];

    /// Runs `kernel` in a function compiled for this instruction set.
    fn vectorize<K: IntKernel>(self, kernel: K) -> K::Output;

    /// Each lane of `acc` plus the products of its four bytes in `a[0]` (unsigned) with those in `b[0]`
    /// (signed), and in `a[1]` with those in `b[1]`.
    ///
    /// Where 16-bit sums would saturate on the way, they must not: the bytes of `b` obey
    /// [`fits`](crate::int8::fits).
    fn dot_bytes(self, acc: Self::I, a: [Self::I; 2], b: [Self::I; 2]) -> Self::I;
    /// Each lane of `acc` plus the products of its two 16-bit integers in `a` with those in `b`.
    fn dot_pairs(self, acc: Self::I, a: Self::I, b: Self::I) -> Self::I;
    /// The same four bytes in every lane.
    ///
    /// # Safety
    /// `p` must be valid for reading four bytes.
    unsafe fn splat_bytes(self, p: *const u8) -> Self::I;
    /// Reads a vector of integers of any width, from any address.
    ///
    /// # Safety
    /// `p` must be valid for reading a vector.
    unsafe fn load<T>(self, p: *const T) -> Self::I;
    /// Writes 32-bit integers.
    ///
    /// # Safety
    /// `p` must be valid for writing [`IntSimd::LANES`] of them.
    unsafe fn store(self, p: *mut i32, v: Self::I);
    /// Sixteen bytes of each row as 16-bit integers, those of `a` and `b` in turn.
    ///
    /// # Safety
    /// `a` and `b` must be valid for reading 16 bytes, `to` for writing 32 integers.
    unsafe fn weave(self, a: *const u8, b: *const u8, to: *mut i16);

    /// The nearest floats.
    fn to_floats(self, v: Self::I) -> Self::F;
    /// All lanes `value`.
    fn splat(self, value: f32) -> Self::F;
    /// `a + b`.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The absolute value.
    fn abs(self, a: Self::F) -> Self::F;
    /// The smaller of both.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// The larger of both.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// Reads floats.
    ///
    /// # Safety
    /// `p` must be valid for reading [`IntSimd::LANES`] of them.
    unsafe fn load_floats(self, p: *const f32) -> Self::F;
    /// Writes floats.
    ///
    /// # Safety
    /// `p` must be valid for writing [`IntSimd::LANES`] of them.
    unsafe fn store_floats(self, p: *mut f32, v: Self::F);
    /// Reads bytes as floats.
    ///
    /// # Safety
    /// `p` must be valid for reading [`IntSimd::LANES`] of them.
    unsafe fn load_bytes(self, p: *const u8) -> Self::F;
    /// Writes the nearest integers (the even one of two as near), held to 0..=255. Values lie within
    /// ±2³¹.
    ///
    /// # Safety
    /// `p` must be valid for writing twice [`IntSimd::LANES`] bytes.
    unsafe fn store_bytes(self, p: *mut u8, v: [Self::F; 2]);
}

/// A piece of work written over [`IntSimd`]; `run` must be `#[inline(always)]`.
pub trait IntKernel {
    /// What the work returns.
    type Output;
    /// Does the work.
    fn run<S: IntSimd>(self, simd: S) -> Self::Output;
}

/// An instruction set of 8-bit kernels that this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntIsa {
    /// AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(avx512::Avx512Vnni),
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(super::Avx2),
    /// Plain Rust.
    Portable(super::Portable),
}

impl IntIsa {
    /// The best one that computes with the registers of `isa`.
    #[must_use]
    pub fn of(isa: Isa) -> Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(token) => match avx512::Avx512Vnni::detect(token) {
                Some(token) => Self::Avx512Vnni(token),
                // Rare, and its 512-bit registers gain little without VNNI.
                None => super::Avx2::detect().map_or(Self::Portable(super::Portable), Self::Avx2),
            },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(token) => Self::Avx2(token),
            Isa::Portable(token) => Self::Portable(token),
        }
    }

    /// Every one that this processor has.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut all: Vec<Self> = Isa::available().into_iter().map(Self::of).collect();
        #[cfg(target_arch = "x86_64")]
        all.extend(super::Avx2::detect().map(Self::Avx2));
        all.dedup();
        all
    }

    /// `avx512-vnni`, `avx2` or `portable`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(_) => "avx512-vnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            Self::Portable(_) => "portable",
        }
    }

    /// Runs `kernel` compiled for this instruction set.
    pub fn run<K: IntKernel>(self, kernel: K) -> K::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(simd) => simd.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => simd.vectorize(kernel),
            Self::Portable(simd) => simd.vectorize(kernel),
        }
    }

    /// 32-bit integers in a vector.
    #[must_use]
    pub fn lanes(self) -> usize {
        struct Lanes;
        impl IntKernel for Lanes {
            type Output = usize;
            #[inline(always)]
            fn run<S: IntSimd>(self, _: S) -> usize {
                S::LANES
            }
        }
        self.run(Lanes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation on a few values, as floats and integers.
    struct Exercise;

    impl IntKernel for Exercise {
        type Output = Vec<i64>;

        #[inline(always)]
        fn run<S: IntSimd>(self, s: S) -> Vec<i64> {
            let bytes: Vec<u8> = (0..64u32).map(|i| (i * 37 + 11) as u8).collect();
            let signed: Vec<i8> = (0..64i32).map(|i| (i % 5 * 13 - 26) as i8).collect();
            let pairs: Vec<i16> = (0..32i32).map(|i| (i * 917 - 12_000) as i16).collect();
            let (mut ints, mut floats) = (vec![0; 16], vec![0.0; 16]);
            let mut woven = vec![0; 32];
            let mut out = vec![0; 32];
            let mut seen = Vec::new();
            // SAFETY: every buffer holds a vector of sixteen lanes.
            unsafe {
                let a = [s.load(bytes.as_ptr()), s.splat_bytes(bytes[8..].as_ptr())];
                let b = [s.load(signed.as_ptr()), s.load(signed.as_ptr())];
                let start = s.load([7; 16].as_ptr());
                let sum = s.dot_pairs(s.dot_bytes(start, a, b), b[0], s.load(pairs.as_ptr()));
                s.store(ints.as_mut_ptr(), sum);
                seen.extend(ints[..4].iter().map(|&v| i64::from(v)));
                s.weave(bytes.as_ptr(), bytes[16..].as_ptr(), woven.as_mut_ptr());
                seen.extend(woven.iter().map(|&v| i64::from(v)));
                let x = s.fma(s.to_floats(sum), s.splat(0.01), s.load_bytes(bytes.as_ptr()));
                let y = s.add(s.min(x, s.splat(90.5)), s.abs(s.max(x, s.splat(-3.0))));
                s.store_floats(floats.as_mut_ptr(), s.fma(y, y, s.load_floats([0.25; 16].as_ptr())));
                seen.extend(floats[..4].iter().map(|v| i64::from(v.to_bits())));
                for (low, high) in [(2.5, 3.5), (-1e9, 1e9), (254.5, 255.5), (0.49, f32::NAN)] {
                    s.store_bytes(out.as_mut_ptr(), [s.splat(low), s.splat(high)]);
                    seen.extend([out[0], out[S::LANES]].map(i64::from));
                }
            }
            seen
        }
    }

    #[test]
    fn every_instruction_set_computes_the_same_bits() {
        let expected = IntIsa::of(Isa::Portable(super::super::Portable)).run(Exercise);
        assert_eq!(expected[expected.len() - 8..], [2, 4, 0, 255, 254, 255, 0, 0]);
        for isa in IntIsa::available() {
            assert_eq!(isa.run(Exercise), expected, "{}", isa.name());
        }
    }
}
