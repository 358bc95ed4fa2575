//! Sums of products of bytes in a register tile, and their epilogue.

use super::epilogue::{Addend, Constants, Finish, Map, Output, WithMap};
use super::weights::GROUP;
use crate::isa::int::IntSimd;

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

/// Where a tile's sums wait for their epilogue, which reads a row more where their number is odd.
#[repr(align(64))]
pub(crate) struct Spill([i32; Self::WIDTH * (MAX_ROWS + 1)]);

impl Spill {
    /// Two of the longest vectors.
    pub(crate) const WIDTH: usize = 32;

    pub(crate) fn new() -> Self {
        Self([0; Self::WIDTH * (MAX_ROWS + 1)])
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
            _ if S::TILE_ROWS[VECTORS - 1] <= 4 => unreachable!("more rows than a tile has"),
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
    /// The first byte of every row of the output; floats are cast.
    pub(crate) out: [*mut u8; MAX_ROWS],
    /// The same rows of the residual, if there is one.
    pub(crate) residual: [*const u8; MAX_ROWS],
    pub(crate) count: usize,
}

/// Turns the sums in `spill` into the output's rows.
///
/// # Safety
/// Rows must be valid for writing `columns` values, at most two vectors, from `column` on; residuals for
/// reading two vectors of bytes there; the tables of `finish` must reach to two vectors from `column` on.
#[inline(always)]
pub(crate) unsafe fn finish_rows<S: IntSimd>(
    s: S,
    finish: &Finish,
    spill: &Spill,
    rows: &Rows,
    (column, columns): (usize, usize),
    addend: Option<Addend>,
) {
    let rows = FinishRows { finish, spill, rows, column, columns, addend };
    finish.select(FinishLoop { s, rows: &rows }, addend.is_some());
}

struct FinishRows<'a> {
    finish: &'a Finish,
    spill: &'a Spill,
    rows: &'a Rows,
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
        let FinishRows { finish, columns, addend, .. } = self.rows;
        let is_whole = *columns == 2 * S::LANES && matches!(finish.output, Output::Bytes(_));
        // SAFETY: `finish_rows`' contract.
        unsafe {
            match (is_whole, addend.is_some()) {
                (true, false) => self.rows::<M, true, false>(constants),
                (true, true) => self.rows::<M, true, true>(constants),
                (false, _) => self.rows::<M, false, true>(constants),
            }
        }
    }
}

impl<S: IntSimd> FinishLoop<'_, S> {
    /// The rows of a tile: `WHOLE` where all columns of two vectors are written as bytes; without a residual
    /// where `ADDED` is false.
    ///
    /// # Safety
    /// As [`finish_rows`].
    #[inline(always)]
    unsafe fn rows<M: Map, const WHOLE: bool, const ADDED: bool>(&self, constants: &Constants) {
        let Self { s, rows: FinishRows { finish, spill, rows, column, columns, addend } } = *self;
        // SAFETY: the caller's promise; there are at most `MAX_ROWS` rows, and the spill has one to spare.
        unsafe {
            let multipliers = load_two(s, &finish.multipliers, *column);
            let offsets = load_two(s, &finish.offsets, *column);
            let (mut out, mut residual) = (rows.out.as_ptr(), rows.residual.as_ptr());
            let mut sums = spill.0.as_ptr();
            let mut left = rows.count;
            // Two rows at a time.
            while left > 0 {
                let mut values = [s.splat(0.0); 4];
                for (i, value) in values.iter_mut().enumerate() {
                    let v = i % 2;
                    let sum = s.load(sums.add(i / 2 * Spill::WIDTH + v * S::LANES));
                    *value = s.fma(s.to_floats(sum), multipliers[v], offsets[v]);
                }
                M::map(s, &mut values, constants);
                let count = left.min(2);
                for i in 0..2 {
                    if i == count {
                        break;
                    }
                    let mut values = [values[2 * i], values[2 * i + 1]];
                    if ADDED && let Some(Addend { ratio, shift }) = *addend {
                        for (v, value) in values.iter_mut().enumerate() {
                            let bytes = s.load_bytes((*residual.add(i)).add(column + v * S::LANES));
                            *value = s.add(s.fma(bytes, s.splat(ratio), s.splat(shift)), *value);
                        }
                    }
                    let to = *out.add(i);
                    if WHOLE {
                        s.store_bytes(to.add(*column), values);
                    } else {
                        write_some(s, finish.output, to, (*column, *columns), values);
                    }
                }
                (out, residual) = (out.add(count), residual.add(count));
                sums = sums.add(count * Spill::WIDTH);
                left -= count;
            }
        }
    }
}

/// Writes some columns of a row.
///
/// # Safety
/// The columns of the output's row `to` must be valid for writing, at most two vectors' lanes.
#[inline(always)]
unsafe fn write_some<S: IntSimd>(
    s: S,
    output: Output,
    to: *mut u8,
    (column, columns): (usize, usize),
    values: [S::F; 2],
) {
    // SAFETY: the caller's promise; the rows of floats are floats.
    unsafe {
        match output {
            Output::Bytes(_) => write_bytes(s, to.add(column), columns, values),
            Output::Floats => write_floats(s, to.cast::<f32>().add(column), columns, values),
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

/// # Safety
/// `to` must be valid for writing `columns` bytes, at most two vectors' lanes.
#[inline(always)]
unsafe fn write_bytes<S: IntSimd>(s: S, to: *mut u8, columns: usize, values: [S::F; 2]) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut bytes = [0u8; Spill::WIDTH];
        s.store_bytes(bytes.as_mut_ptr(), values);
        copy_few(&bytes, to, columns);
    }
}

/// Copies `count` bytes; eight, the most frequent number, at once.
///
/// # Safety
/// `to` must be valid for writing `count` bytes, at most as many as there are.
#[inline(always)]
pub(crate) unsafe fn copy_few(from: &[u8], to: *mut u8, count: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match count {
            16 => to.cast::<[u8; 16]>().write(from.as_ptr().cast::<[u8; 16]>().read()),
            8 => to.cast::<[u8; 8]>().write(from.as_ptr().cast::<[u8; 8]>().read()),
            _ => std::ptr::copy_nonoverlapping(from.as_ptr(), to, count),
        }
    }
}

/// # Safety
/// `to` must be valid for writing `columns` floats, at most two vectors' lanes.
#[inline(always)]
unsafe fn write_floats<S: IntSimd>(s: S, to: *mut f32, columns: usize, values: [S::F; 2]) {
    let mut floats = [0.0; Spill::WIDTH];
    // SAFETY: the caller's promise; `floats` has room for two of the longest vectors.
    unsafe {
        s.store_floats(floats.as_mut_ptr(), values[0]);
        s.store_floats(floats.as_mut_ptr().add(S::LANES), values[1]);
        std::ptr::copy_nonoverlapping(floats.as_ptr(), to, columns);
    }
}
