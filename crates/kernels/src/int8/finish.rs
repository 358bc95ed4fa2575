//! Exact sums become the output, some vectors of channels of some pixels at a time.

use super::epilogue::{Addend, Constants, Finish, Map, Output, WithMap};
use crate::isa::int::IntSimd;

/// Where sums lie that wait for their epilogue.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    pub(super) first: *const i32,
    /// Sums from a pixel to the next.
    pub(super) row: usize,
    /// Sums from a vector of channels to the next.
    pub(super) vector: usize,
}

/// Where pixels are written, and what is added to them.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    /// Channel 0 of the first pixel of the output; floats are cast.
    pub(super) out: *mut u8,
    /// Bytes from one to the next.
    pub(super) pitch: usize,
    /// The same pixel of the residual, if there is one.
    pub(super) residual: *const u8,
    pub(super) residual_pitch: usize,
    pub(super) count: usize,
}

/// Channels of which sums become the output.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    pub(super) first: usize,
    pub(super) count: usize,
    /// 1, 2 or 4 vectors, of which the channels fill all but the last.
    pub(super) vectors: usize,
}

/// Turns `sums` into the output's rows.
///
/// # Safety
/// The sums must be there for all rows and vectors. Rows must be valid for writing these columns, residuals for
/// reading the vectors' width of bytes there; the tables of `finish` must reach to the end of the last vector.
#[inline(always)]
pub(super) unsafe fn finish_rows<S: IntSimd>(
    s: S,
    finish: &Finish,
    sums: Sums,
    rows: &Rows,
    columns: Columns,
    addend: Option<Addend>,
) {
    finish.select(FinishLoop { s, finish, sums, rows, columns, addend }, addend.is_some());
}

struct FinishLoop<'a, S> {
    s: S,
    finish: &'a Finish,
    sums: Sums,
    rows: &'a Rows,
    columns: Columns,
    addend: Option<Addend>,
}

impl<S: IntSimd> WithMap for FinishLoop<'_, S> {
    #[inline(always)]
    fn with<M: Map>(self, constants: &Constants) {
        // SAFETY: `finish_rows`' contract.
        unsafe {
            match self.columns.vectors {
                1 => self.columns::<M, 1>(constants),
                2 => self.columns::<M, 2>(constants),
                _ => self.columns::<M, 4>(constants),
            }
        }
    }
}

/// Bytes in four of the longest vectors of 32-bit lanes, once they are bytes.
const WIDEST: usize = 64;

impl<S: IntSimd> FinishLoop<'_, S> {
    /// # Safety
    /// As [`finish_rows`].
    #[inline(always)]
    unsafe fn columns<M: Map, const VECTORS: usize>(&self, constants: &Constants) {
        let is_whole =
            self.columns.count == VECTORS * S::LANES && matches!(self.finish.output, Output::Bytes(_));
        // SAFETY: the caller's promise.
        unsafe {
            match (is_whole, self.addend.is_some()) {
                (true, false) => self.rows::<M, VECTORS, true, false>(constants),
                (true, true) => self.rows::<M, VECTORS, true, true>(constants),
                (false, _) => self.rows::<M, VECTORS, false, true>(constants),
            }
        }
    }

    /// All rows of `VECTORS`: `WHOLE` where all their columns are written as bytes; without a residual where
    /// `ADDED` is false.
    ///
    /// # Safety
    /// As [`finish_rows`].
    #[inline(always)]
    unsafe fn rows<M: Map, const VECTORS: usize, const WHOLE: bool, const ADDED: bool>(
        &self,
        constants: &Constants,
    ) {
        let Self { s, finish, sums, rows, columns: Columns { first: column, count, .. }, addend } = *self;
        // SAFETY: the caller's promise.
        unsafe {
            let multipliers = load::<S, VECTORS>(s, &finish.multipliers, column);
            let offsets = load::<S, VECTORS>(s, &finish.offsets, column);
            let size = match finish.output {
                Output::Bytes(_) => size_of::<u8>(),
                Output::Floats => size_of::<f32>(),
            };
            // Four vectors at a time; behind the last row, that row again.
            for first in (0..rows.count).step_by(4 / VECTORS) {
                let row = |i: usize| (first + i).min(rows.count - 1);
                let mut values = [s.splat(0.0); 4];
                for (i, value) in values.iter_mut().enumerate() {
                    let v = i % VECTORS;
                    let sum = s.load(sums.first.add(row(i / VECTORS) * sums.row + v * sums.vector));
                    *value = s.fma(s.to_floats(sum), multipliers[v], offsets[v]);
                }
                M::map(s, &mut values, constants);
                if ADDED && let Some(Addend { ratio, shift }) = addend {
                    for (i, value) in values.iter_mut().enumerate() {
                        let residual = rows.residual.add(row(i / VECTORS) * rows.residual_pitch);
                        let bytes = s.load_bytes(residual.add(column + i % VECTORS * S::LANES));
                        *value = s.add(s.fma(bytes, s.splat(ratio), s.splat(shift)), *value);
                    }
                }
                let to = |i: usize| rows.out.wrapping_add(row(i) * rows.pitch + column * size);
                match finish.output {
                    Output::Bytes(_) if WHOLE && VECTORS == 4 => s.store(to(0).cast(), s.to_bytes(values)),
                    Output::Bytes(_) if WHOLE && VECTORS == 2 => {
                        s.store_halves([to(0), to(1)], s.to_bytes(values));
                    }
                    Output::Bytes(_) if WHOLE => {
                        s.store_quarters([to(0), to(1), to(2), to(3)], s.to_bytes(values));
                    }
                    Output::Bytes(_) => {
                        let mut bytes = [0u8; WIDEST];
                        s.store(bytes.as_mut_ptr().cast(), s.to_bytes(values));
                        for i in 0..4 / VECTORS {
                            copy_few(&bytes[i * VECTORS * S::LANES..], to(i), count);
                        }
                    }
                    Output::Floats => {
                        let mut floats = [0.0f32; WIDEST];
                        for (i, value) in values.into_iter().enumerate() {
                            s.store_floats(floats.as_mut_ptr().add(i * S::LANES), value);
                        }
                        for i in 0..4 / VECTORS {
                            let from = floats.as_ptr().add(i * VECTORS * S::LANES);
                            std::ptr::copy_nonoverlapping(from, to(i).cast(), count);
                        }
                    }
                }
            }
        }
    }
}

/// Vectors of a table.
///
/// # Safety
/// The table must reach as many vectors from `at` on.
#[inline(always)]
unsafe fn load<S: IntSimd, const VECTORS: usize>(s: S, table: &[f32], at: usize) -> [S::F; VECTORS] {
    let mut vectors = [s.splat(0.0); VECTORS];
    for (v, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *vector = unsafe { s.load_floats(table.as_ptr().add(at + v * S::LANES)) };
    }
    vectors
}

/// Copies `count` bytes; the most frequent numbers without a call.
///
/// # Safety
/// `to` must be valid for writing `count` bytes, at most as many as there are.
#[inline(always)]
unsafe fn copy_few(from: &[u8], to: *mut u8, count: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match count {
            24 => to.cast::<[u8; 24]>().write(from.as_ptr().cast::<[u8; 24]>().read()),
            16 => to.cast::<[u8; 16]>().write(from.as_ptr().cast::<[u8; 16]>().read()),
            8 => to.cast::<[u8; 8]>().write(from.as_ptr().cast::<[u8; 8]>().read()),
            _ => std::ptr::copy_nonoverlapping(from.as_ptr(), to, count),
        }
    }
}
