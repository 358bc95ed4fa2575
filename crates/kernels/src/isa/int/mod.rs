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
    /// Rows of a matrix product's register tile that is two vectors wide; at most 8.
    const TILE_ROWS: usize;
    /// Neighbouring pixels that a lane of [`push`](IntSimd::push) holds: four bytes, or two integers of 16
    /// bits where bytes have no sums of 32 bits.
    const TAPS: usize;

    /// Runs `kernel` in a function compiled for this instruction set.
    fn vectorize<K: IntKernel>(self, kernel: K) -> K::Output;

    /// Each lane of `acc` plus the products of its four bytes in `a[0]` (unsigned) with those in `b[0]`
    /// (signed), and in `a[1]` with those in `b[1]`.
    ///
    /// Where 16-bit sums would saturate on the way, they must not: the bytes of `b` obey
    /// [`fits`](crate::int8::fits).
    fn dot_bytes(self, acc: Self::I, a: [Self::I; 2], b: [Self::I; 2]) -> Self::I;
    /// Moves on by a pixel: every lane loses the first of its [`IntSimd::TAPS`] and gets its own of the bytes
    /// at `p` as the last.
    ///
    /// # Safety
    /// `p` must be valid for reading 16 bytes.
    unsafe fn push(self, taps: Self::I, p: *const u8) -> Self::I;
    /// Each lane of `acc` plus the products of its `taps` with those of `weights`, which are signed.
    fn dot_taps(self, acc: Self::I, taps: Self::I, weights: Self::I) -> Self::I;
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
    /// Writes the first half of a vector's bytes at `to[0]`, the others at `to[1]`.
    ///
    /// # Safety
    /// Both must be valid for writing twice [`IntSimd::LANES`] bytes.
    unsafe fn store_halves(self, to: [*mut u8; 2], bytes: Self::I);
    /// Writes every quarter of a vector's bytes at its own place; the last of those at the same place stays.
    ///
    /// # Safety
    /// All must be valid for writing [`IntSimd::LANES`] bytes.
    unsafe fn store_quarters(self, to: [*mut u8; 4], bytes: Self::I);

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
    /// The nearest integers (the even one of two as near), held to 0..=255, of one vector after the other.
    /// Values lie within ±2³¹.
    fn to_bytes(self, v: [Self::F; 4]) -> Self::I;
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

    /// 32-bit integers in a vector: [`IntSimd::LANES`].
    #[must_use]
    pub fn lanes(self) -> usize {
        self.run(Shape).0
    }

    /// [`IntSimd::TAPS`].
    #[must_use]
    pub fn taps(self) -> usize {
        self.run(Shape).1
    }

    /// [`IntSimd::TILE_ROWS`].
    #[must_use]
    pub fn tile_rows(self) -> usize {
        self.run(Shape).2
    }
}

/// Lanes and taps of a vector, and rows of a tile.
struct Shape;

impl IntKernel for Shape {
    type Output = (usize, usize, usize);

    #[inline(always)]
    fn run<S: IntSimd>(self, _: S) -> (usize, usize, usize) {
        (S::LANES, S::TAPS, S::TILE_ROWS)
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
            let (mut ints, mut floats) = (vec![0; 16], vec![0.0; 16]);
            let mut out = [0u8; 64];
            let mut seen = Vec::new();
            // SAFETY: every buffer holds a vector of sixteen lanes.
            unsafe {
                let a = [s.load(bytes.as_ptr()), s.splat_bytes(bytes[8..].as_ptr())];
                let b = [s.load(signed.as_ptr()), s.load(signed.as_ptr())];
                let start = s.load([7; 16].as_ptr());
                let mut sum = s.dot_bytes(start, a, b);
                let mut taps = start;
                let mut weights = [0i32; 16];
                // Of more pixels than a lane holds, the last ones are left: a product with one of them each.
                for i in 0..5 {
                    taps = s.push(taps, bytes[i * 11..].as_ptr());
                }
                for tap in 0..2 {
                    let bits = 32 / S::TAPS;
                    weights.fill(
                        ((-100 - tap as i32) & (u32::MAX >> (32 - bits)) as i32) << (32 - bits * (tap + 1)),
                    );
                    sum = s.dot_taps(sum, taps, s.load(weights.as_ptr()));
                }
                s.store(ints.as_mut_ptr(), sum);
                seen.extend(ints[..4].iter().map(|&v| i64::from(v)));
                let x = s.fma(s.to_floats(sum), s.splat(0.01), s.load_bytes(bytes.as_ptr()));
                let y = s.add(s.min(x, s.splat(90.5)), s.abs(s.max(x, s.splat(-3.0))));
                s.store_floats(floats.as_mut_ptr(), s.fma(y, y, s.load_floats([0.25; 16].as_ptr())));
                seen.extend(floats[..4].iter().map(|v| i64::from(v.to_bits())));
                let rounded = s.to_bytes([2.5, 3.5, -1e9, 1e9].map(|v| s.splat(v)));
                s.store_quarters([0, 1, 2, 3].map(|i| out[16 * i..].as_mut_ptr()), rounded);
                seen.extend([0, 16, 32, 48].map(|i| i64::from(out[i])));
                let rounded = s.to_bytes([254.5, 255.5, 0.49, f32::NAN].map(|v| s.splat(v)));
                s.store_halves([0, 32].map(|i| out[i..].as_mut_ptr()), rounded);
                seen.extend([0, S::LANES, 32, 32 + S::LANES].map(|i| i64::from(out[i])));
                s.store(out.as_mut_ptr().cast(), s.to_bytes([x, y, x, y]));
                seen.extend([0, S::LANES, 2 * S::LANES + 1, 3 * S::LANES + 3].map(|i| i64::from(out[i])));
            }
            seen
        }
    }

    #[test]
    fn every_instruction_set_computes_the_same_bits() {
        let expected = IntIsa::of(Isa::Portable(super::super::Portable)).run(Exercise);
        assert_eq!(expected[expected.len() - 12..expected.len() - 4], [2, 4, 0, 255, 254, 255, 0, 0]);
        for isa in IntIsa::available() {
            assert_eq!(isa.run(Exercise), expected, "{}", isa.name());
        }
    }
}
