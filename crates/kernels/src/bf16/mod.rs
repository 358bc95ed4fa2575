//! Dense convolutions that multiply bf16: floats whose significand is cut to eight bits.
//!
//! Activations stay floats in memory. Before a tile is computed, its rows of A are rounded into a small
//! buffer of the thread, where every panel of the weights meets them; sums, bias, activation and residual
//! are in `f32`. Where the processor gains by multiplying pairs of bf16 (AVX512-BF16), a 32-bit cell of A or B
//! holds two numbers that follow each other in k. Elsewhere a cell holds one rounded number, and the
//! tile of `f32` does the rest: the same products, so that results and accuracy can be had on every
//! processor, but nothing is faster.
//!
//! Both forms compute exact products. They differ in the order of the sums, and the processor's treats
//! subnormal sums as zero: results are equal up to the rounding of an `f32` sum.

use std::cell::Cell;

use effigy_tensor::AlignedBuf;

use crate::gemm::Operand;
#[cfg(target_arch = "x86_64")]
use crate::isa::Avx512Bf16;
use crate::isa::{Dot, DotKernel, Isa, Simd};

/// The nearest bf16, to even where two are as near, as an `f32`; subnormal numbers become zero.
#[must_use]
#[inline(always)]
pub fn round(x: f32) -> f32 {
    const SIGN: u32 = 1 << 31;
    let bits = x.to_bits();
    let size = bits & !SIGN;
    let even = (bits >> 16) & 1;
    let nearest = bits.wrapping_add(0x7fff + even) & 0xffff_0000;
    // A NaN stays one: it is cut and made quiet.
    let nearest = if size > f32::INFINITY.to_bits() { (bits | 1 << 22) & 0xffff_0000 } else { nearest };
    f32::from_bits(if size < f32::MIN_POSITIVE.to_bits() { bits & SIGN } else { nearest })
}

/// The sixteen bits of the nearest bf16.
fn half(x: f32) -> u32 {
    round(x).to_bits() >> 16
}

/// How an instruction set multiplies bf16.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bf16 {
    /// A cell holds two numbers, the first in its low half.
    #[cfg(target_arch = "x86_64")]
    Pairs(Avx512Bf16),
    /// A cell holds one number, rounded.
    Singles,
}

impl Bf16 {
    pub(crate) fn of(isa: Isa) -> Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(simd) => Avx512Bf16::detect(simd).map_or(Self::Singles, Self::Pairs),
            _ => Self::Singles,
        }
    }

    /// Whether the processor has instructions for it.
    pub(crate) fn is_native(self) -> bool {
        !matches!(self, Self::Singles)
    }

    /// Cells that hold `len` numbers.
    pub(crate) fn cells(self, len: usize) -> usize {
        if self.is_native() { len.div_ceil(2) } else { len }
    }

    /// Cell `index` of the numbers `value(0..len)`; a pair is filled up with zero.
    pub(crate) fn cell(self, len: usize, index: usize, value: impl Fn(usize) -> f32) -> f32 {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Pairs(_) => {
                let second = if 2 * index + 1 < len { value(2 * index + 1) } else { 0.0 };
                f32::from_bits(half(value(2 * index)) | half(second) << 16)
            }
            Self::Singles => round(value(index)),
        }
    }

    /// Rounds rows of A into `cells`, and says how they lie there: one stretch of cells each.
    ///
    /// # Safety
    /// The `count` rows of `operand` from `a` on must be valid for reading; a gate has as many values as
    /// a row, which is then a single stretch.
    #[inline(always)]
    pub(crate) unsafe fn round_rows<S: Simd>(
        self,
        s: S,
        a: *const f32,
        operand: Operand,
        count: usize,
        gate: Option<&[f32]>,
        cells: &mut Cells,
    ) -> Operand {
        let len = operand.segments * operand.segment_len;
        assert!(gate.is_none_or(|gate| operand.segments == 1 && gate.len() == len), "one gate a channel");
        let pitch = self.pitch(len);
        let to = cells.at_least(count * pitch);
        let rows = RoundRows { a, operand, count, gate: gate.map(<[f32]>::as_ptr), to, pitch };
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Pairs(pairs) => pairs.enter(rows),
            Self::Singles => s.enter(rows),
        }
        Operand { pitch, segments: 1, segment_pitch: 0, segment_len: self.cells(len) }
    }

    /// Cells from a row to the next. A row's last vector may be written past its end; an odd number of
    /// cache lines keeps rows out of each other's sets.
    fn pitch(self, len: usize) -> usize {
        (self.cells(len + MAX_LANES).div_ceil(LINE) | 1) * LINE
    }
}

/// Cells in a cache line.
const LINE: usize = 16;
/// No instruction set has more lanes.
const MAX_LANES: usize = 16;

thread_local! {
    static CELLS: Cell<AlignedBuf> = Cell::default();
}

/// This thread's buffer of rounded rows: the first-level cache holds it, and no call allocates it anew.
#[derive(Default)]
pub(crate) struct Cells(AlignedBuf);

impl Cells {
    pub(crate) fn take() -> Self {
        Self(CELLS.take())
    }

    pub(crate) fn give_back(self) {
        CELLS.set(self.0);
    }

    pub(crate) fn as_ptr(&self) -> *const f32 {
        self.0.as_ptr()
    }

    fn at_least(&mut self, len: usize) -> *mut f32 {
        if self.0.len() < len {
            self.0 = AlignedBuf::zeroed(len);
        }
        self.0.as_mut_ptr()
    }
}

struct RoundRows {
    a: *const f32,
    operand: Operand,
    count: usize,
    gate: Option<*const f32>,
    to: *mut f32,
    pitch: usize,
}

impl DotKernel for RoundRows {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, d: D) {
        let s = d.simd();
        let lanes = <D::S as Simd>::LANES;
        let Operand { pitch, segments, segment_pitch, segment_len: len } = self.operand;
        let whole = len - len % lanes;
        for row in 0..self.count {
            // SAFETY: `round_rows`' contract; a row of the buffer has room for its last vector, and what
            // that vector writes past the row's end are zeros, or overwritten by the next stretch.
            unsafe {
                let to = self.to.add(row * self.pitch);
                for segment in 0..segments {
                    let from = self.a.add(row * pitch + segment * segment_pitch);
                    let at = segment * len;
                    for i in (0..whole).step_by(lanes) {
                        let mut x = s.load(from.add(i));
                        if let Some(gate) = self.gate {
                            x = s.mul(x, s.load(gate.add(i)));
                        }
                        d.put(to, at + i, x);
                    }
                    if whole < len {
                        let mut x = s.load_first(from.add(whole), len - whole);
                        if let Some(gate) = self.gate {
                            x = s.mul(x, s.load_first(gate.add(whole), len - whole));
                        }
                        d.put(to, at + whole, x);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
