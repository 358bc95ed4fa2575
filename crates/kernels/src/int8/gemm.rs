//! Sums of products of bytes in a register tile, and their epilogue.

use super::finish::Sums;
use super::weights::GROUP;
use crate::ahead::Ahead;
use crate::isa::int::IntSimd;
use crate::isa::{prefetch, prefetch_far};

/// How many bytes ahead weights are fetched: those of late layers come from memory.
const AHEAD: usize = 4 << 10;
/// Bytes in a cache line.
const LINE: usize = 64;
/// Rows of the largest tile.
pub(crate) const MAX_ROWS: usize = 12;

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
    pub(crate) ahead: Ahead,
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

    /// The sums of a panel of vectors of so many lanes.
    pub(crate) fn sums(&self, lanes: usize) -> Sums {
        Sums { first: self.0.as_ptr(), row: Self::WIDTH, vector: lanes }
    }
}

/// The sums of `ROWS` rows and a panel of `VECTORS` vectors.
///
/// # Safety
/// As [`run_tile`].
#[inline(always)]
unsafe fn sums<S: IntSimd, const ROWS: usize, const VECTORS: usize>(s: S, tile: &Tile, spill: &mut Spill) {
    let Tile { a, pitch, segments, segment_pitch, groups, mut b, start, ahead, .. } = *tile;
    let mut later = ahead.or(b);
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
                prefetch_far(later);
                later = later.wrapping_add(ahead.step);
                let mut weights = [[first[0]; 2]; VECTORS];
                for (v, weights) in weights.iter_mut().enumerate() {
                    *weights = [s.load(b.add(v * vector)), s.load(b.add((VECTORS + v) * vector))];
                }
                for line in (0..2 * VECTORS * vector).step_by(LINE) {
                    prefetch(b.wrapping_add(AHEAD + line));
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
            8 => sums::<S, 8, VECTORS>(s, tile, spill),
            9 => sums::<S, 9, VECTORS>(s, tile, spill),
            10 => sums::<S, 10, VECTORS>(s, tile, spill),
            11 => sums::<S, 11, VECTORS>(s, tile, spill),
            _ => sums::<S, 12, VECTORS>(s, tile, spill),
        }
    }
}
