//! Sums of products of bytes in a register tile, and their epilogue.

use super::epilogue::{Addend, Constants, Finish, Map, Output, WithMap};
use super::weights::GROUP;
use crate::isa::int::IntSimd;

/// How many bytes ahead weights are fetched: those of late layers come from memory.
const AHEAD: usize = 4 << 10;
/// Bytes in a cache line.
const LINE: usize = 64;
/// Rows of the largest tile.
pub(crate) const MAX_ROWS: usize = 8;

/// One register tile: rows of bytes times a panel of weights.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    /// The first row; others follow every `pitch` bytes.
    pub(crate) a: *const u8,
    pub(crate) pitch: usize,
    /// A row is so many segments, which follow every `segment_pitch` bytes, each of `groups` times
    /// [`GROUP`] bytes.
    pub(crate) segments: usize,
    pub(crate) segment_pitch: usize,
    pub(crate) groups: usize,
    /// The panel: `[segments · groups][2][vectors][lanes][4]`.
    pub(crate) b: *const i8,
    /// Where the sums of every column start.
    pub(crate) start: *const i32,
    pub(crate) rows: usize,
}

/// Where a tile's sums wait for their epilogue.
#[repr(align(64))]
pub(crate) struct Spill([i32; Self::WIDTH * MAX_ROWS]);

impl Spill {
    /// Two of the longest vectors.
    pub(crate) const WIDTH: usize = 32;

    pub(crate) fn new() -> Self {
        Self([0; Self::WIDTH * MAX_ROWS])
    }
}

/// The sums of `ROWS` rows and a panel of `VECTORS` vectors.
///
/// # Safety
/// As [`run_tile`].
#[inline(always)]
unsafe fn sums<S: IntSimd, const ROWS: usize, const VECTORS: usize>(s: S, tile: &Tile, spill: &mut Spill) {
    let Tile { a, pitch, segments, segment_pitch, groups, mut b, start, .. } = *tile;
    let vector = 4 * S::LANES;
    let to = spill.0.as_mut_ptr();
    // Loops, not closures: those would be compiled without the instruction set.
    // SAFETY: `run_tile`'s contract; a spill has room for the largest tile.
    unsafe {
        let mut first = [s.load(start); VECTORS];
        for (v, first) in first.iter_mut().enumerate() {
            *first = s.load(start.add(v * S::LANES));
        }
        let mut acc = [first; ROWS];
        for segment in 0..segments {
            let mut a = a.add(segment * segment_pitch);
            for _ in 0..groups {
                let mut weights = [[first[0]; 2]; VECTORS];
                for (v, weights) in weights.iter_mut().enumerate() {
                    *weights = [s.load(b.add(v * vector)), s.load(b.add((VECTORS + v) * vector))];
                }
                for line in (0..2 * VECTORS * vector).step_by(LINE) {
                    s.prefetch(b.wrapping_add(AHEAD + line));
                }
                for (row, acc) in acc.iter_mut().enumerate() {
                    let p = a.add(row * pitch);
                    let bytes = [s.splat_bytes(p), s.splat_bytes(p.add(4))];
                    for (acc, weights) in acc.iter_mut().zip(&weights) {
                        *acc = s.dot_bytes(*acc, bytes, *weights);
                    }
                }
                a = a.add(GROUP);
                b = b.add(2 * VECTORS * vector);
            }
        }
        for (row, acc) in acc.into_iter().enumerate() {
            for (v, acc) in acc.into_iter().enumerate() {
                s.store(to.add(row * Spill::WIDTH + v * S::LANES), acc);
            }
        }
    }
}

/// Computes one tile of `tile.rows` rows and a panel of 1 or 2 vectors.
///
/// # Safety
/// Every row of A must be readable for all its segments, `b` for as many groups, `start` for the panel's
/// width; there are at most [`IntSimd::TILE_ROWS`] rows.
#[inline(always)]
pub(crate) unsafe fn run_tile<S: IntSimd>(s: S, vectors: usize, tile: &Tile, spill: &mut Spill) {
    // SAFETY: the caller's promise.
    unsafe {
        if vectors == 1 {
            any_rows::<S, 1>(s, tile, spill);
        } else {
            any_rows::<S, 2>(s, tile, spill);
        }
    }
}

/// # Safety
/// As [`run_tile`].
#[inline(always)]
unsafe fn any_rows<S: IntSimd, const VECTORS: usize>(s: S, tile: &Tile, spill: &mut Spill) {
    // SAFETY: the caller's promise.
    unsafe {
        match tile.rows {
            1 => sums::<S, 1, VECTORS>(s, tile, spill),
            2 => sums::<S, 2, VECTORS>(s, tile, spill),
            3 => sums::<S, 3, VECTORS>(s, tile, spill),
            4 => sums::<S, 4, VECTORS>(s, tile, spill),
            // Instruction sets with smaller tiles have no code for larger ones.
            _ if S::TILE_ROWS <= 4 => unreachable!("more rows than a tile has"),
            5 => sums::<S, 5, VECTORS>(s, tile, spill),
            6 => sums::<S, 6, VECTORS>(s, tile, spill),
            7 => sums::<S, 7, VECTORS>(s, tile, spill),
            _ => sums::<S, 8, VECTORS>(s, tile, spill),
        }
    }
}

/// Where the rows of a tile are written, and what is added to them.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    /// The first row of the output; floats are cast.
    pub(crate) out: *mut u8,
    /// Bytes from one to the next.
    pub(crate) pitch: usize,
    /// The same row of the residual, if there is one.
    pub(crate) residual: *const u8,
    pub(crate) residual_pitch: usize,
    pub(crate) count: usize,
}

/// Turns the sums in `spill`, of a panel of 1 or 2 vectors, into the output's rows.
///
/// # Safety
/// Rows must be valid for writing `columns` values, at most as many as the panel has, from `column` on;
/// residuals for reading the panel's width of bytes there; the tables of `finish` must reach to two vectors
/// from `column` on.
#[inline(always)]
pub(crate) unsafe fn finish_rows<S: IntSimd>(
    s: S,
    finish: &Finish,
    spill: &Spill,
    rows: &Rows,
    vectors: usize,
    (column, columns): (usize, usize),
    addend: Option<Addend>,
) {
    let rows = FinishRows { finish, spill, rows, vectors, column, columns, addend };
    finish.select(FinishLoop { s, rows: &rows }, addend.is_some());
}

struct FinishRows<'a> {
    finish: &'a Finish,
    spill: &'a Spill,
    rows: &'a Rows,
    vectors: usize,
    column: usize,
    columns: usize,
    addend: Option<Addend>,
}

struct FinishLoop<'a, S> {
    s: S,
    rows: &'a FinishRows<'a>,
}

impl<S: IntSimd> WithMap for FinishLoop<'_, S> {
    #[inline(always)]
    fn with<M: Map>(self, constants: &Constants) {
        // SAFETY: `finish_rows`' contract.
        unsafe {
            if self.rows.vectors == 1 {
                self.panel::<M, 1>(constants);
            } else {
                self.panel::<M, 2>(constants);
            }
        }
    }
}

impl<S: IntSimd> FinishLoop<'_, S> {
    /// # Safety
    /// As [`finish_rows`].
    #[inline(always)]
    unsafe fn panel<M: Map, const VECTORS: usize>(&self, constants: &Constants) {
        let FinishRows { finish, columns, addend, .. } = self.rows;
        let is_whole = *columns == VECTORS * S::LANES && matches!(finish.output, Output::Bytes(_));
        // SAFETY: the caller's promise.
        unsafe {
            match (is_whole, addend.is_some()) {
                (true, false) => self.rows::<M, VECTORS, true, false>(constants),
                (true, true) => self.rows::<M, VECTORS, true, true>(constants),
                (false, _) => self.rows::<M, VECTORS, false, true>(constants),
            }
        }
    }

    /// The rows of a tile of `VECTORS`: `WHOLE` where all their columns are written as bytes; without a
    /// residual where `ADDED` is false.
    ///
    /// # Safety
    /// As [`finish_rows`].
    #[inline(always)]
    unsafe fn rows<M: Map, const VECTORS: usize, const WHOLE: bool, const ADDED: bool>(
        &self,
        constants: &Constants,
    ) {
        let Self { s, rows: FinishRows { finish, spill, rows, column, columns, addend, .. } } = *self;
        // SAFETY: the caller's promise; there are at most `MAX_ROWS` rows, for which the spill has room.
        unsafe {
            let multipliers = load_two(s, &finish.multipliers, *column);
            let offsets = load_two(s, &finish.offsets, *column);
            let size_of_output = match finish.output {
                Output::Bytes(_) => size_of::<u8>(),
                Output::Floats => size_of::<f32>(),
            };
            // Four vectors at a time; behind the last row, that row again.
            for first in (0..rows.count).step_by(4 / VECTORS) {
                let row = |i: usize| (first + i).min(rows.count - 1);
                let mut values = [s.splat(0.0); 4];
                for (i, value) in values.iter_mut().enumerate() {
                    let v = i % VECTORS;
                    let at = row(i / VECTORS) * Spill::WIDTH + v * S::LANES;
                    let sum = s.to_floats(s.load(spill.0.as_ptr().add(at)));
                    *value = s.fma(sum, multipliers[v], offsets[v]);
                }
                M::map(s, &mut values, constants);
                if ADDED && let Some(Addend { ratio, shift }) = *addend {
                    for (i, value) in values.iter_mut().enumerate() {
                        let at = column + i % VECTORS * S::LANES;
                        let residual = rows.residual.add(row(i / VECTORS) * rows.residual_pitch);
                        let bytes = s.load_bytes(residual.add(at));
                        *value = s.add(s.fma(bytes, s.splat(ratio), s.splat(shift)), *value);
                    }
                }
                let to = |i: usize| rows.out.wrapping_add(row(i) * rows.pitch + *column * size_of_output);
                match finish.output {
                    Output::Bytes(_) if WHOLE && VECTORS == 2 => {
                        s.store_halves([to(0), to(1)], s.to_bytes(values));
                    }
                    Output::Bytes(_) if WHOLE => {
                        s.store_quarters([to(0), to(1), to(2), to(3)], s.to_bytes(values));
                    }
                    Output::Bytes(_) => {
                        let mut bytes = [0u8; 2 * Spill::WIDTH];
                        s.store(bytes.as_mut_ptr().cast(), s.to_bytes(values));
                        for i in 0..4 / VECTORS {
                            copy_few(&bytes[i * VECTORS * S::LANES..], to(i), *columns);
                        }
                    }
                    Output::Floats => {
                        let mut floats = [0.0f32; 2 * Spill::WIDTH];
                        for (i, value) in values.into_iter().enumerate() {
                            s.store_floats(floats.as_mut_ptr().add(i * S::LANES), value);
                        }
                        for i in 0..4 / VECTORS {
                            let from = floats.as_ptr().add(i * VECTORS * S::LANES);
                            std::ptr::copy_nonoverlapping(from, to(i).cast(), *columns);
                        }
                    }
                }
            }
        }
    }
}

/// Two vectors of a table.
///
/// # Safety
/// The table must reach two vectors from `at` on.
#[inline(always)]
unsafe fn load_two<S: IntSimd>(s: S, table: &[f32], at: usize) -> [S::F; 2] {
    // SAFETY: the caller's promise.
    unsafe { [s.load_floats(table.as_ptr().add(at)), s.load_floats(table.as_ptr().add(at + S::LANES))] }
}

/// Copies `count` bytes; the most frequent numbers without a call.
///
/// # Safety
/// `to` must be valid for writing `count` bytes, at most as many as there are.
#[inline(always)]
pub(crate) unsafe fn copy_few(from: &[u8], to: *mut u8, count: usize) {
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
