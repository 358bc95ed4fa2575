//! The register tile: a few rows of A against one panel of B, accumulated in registers.

use crate::ahead::Ahead;
use crate::isa::{Dot, DotKernel, Simd, prefetch, prefetch_far};

/// How a row of A lies in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand {
    /// Values from a row to the next.
    pub(crate) pitch: usize,
    /// Stretches of contiguous values that a row is made of (a kernel's rows).
    pub(crate) segments: usize,
    /// Values from a stretch to the next.
    pub(crate) segment_pitch: usize,
    /// Values in a stretch.
    pub(crate) segment_len: usize,
}

/// A few rows of A against adjacent panels of B, one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a> {
    /// First row of A.
    pub(crate) a: *const f32,
    pub(crate) operand: Operand,
    /// The first panel of B; the others follow it.
    pub(crate) b: *const f32,
    /// Panels of the same width.
    pub(crate) panels: usize,
    /// The panels' biases, padded to whole vectors.
    pub(crate) bias: *const f32,
    /// Where each row of C starts, `first` values before the panels' columns.
    pub(crate) rows: &'a [*mut f32],
    /// From the start of a row to the panels' columns.
    pub(crate) first: usize,
    /// Columns that exist in C, up to the last panel's last vector.
    pub(crate) columns: usize,
    /// Bounds that the sums are held within.
    pub(crate) clamp: Option<(f32, f32)>,
    /// Rows that are added then; like `rows`, they start `first` values early.
    pub(crate) residual: Option<&'a [*const f32]>,
    pub(crate) ahead: Ahead,
}

/// How many values ahead B is fetched: the weights of late layers come from memory, which answers within
/// the time of some 400 multiply-adds. A tile of few rows passes over B faster.
const fn prefetch_distance(rows: usize) -> usize {
    if rows >= 6 { 1024 } else { 6144 / (rows + 1) }
}

/// Values in a cache line.
const LINE: usize = 16;

struct TileKernel<'a, const ROWS: usize, const VECTORS: usize>(Tile<'a>);

// Loops over array indices, not closures: a closure that is not inlined would be compiled without the
// instruction set.
#[allow(clippy::needless_range_loop)]
impl<const ROWS: usize, const VECTORS: usize> TileKernel<'_, ROWS, VECTORS> {
    #[inline(always)]
    fn compute<S: Simd, D: Dot<S = S>>(self, s: S, d: D) {
        let Tile { a: start, operand, b, panels, bias, rows, first, columns, clamp, residual, ahead } =
            self.0;
        let Operand { pitch, segments, segment_pitch, segment_len } = operand;
        let mut b = b;
        let mut later = ahead.or(b);
        let width = VECTORS * S::LANES;
        // SAFETY: `run_tile`'s contract gives every operand its extent.
        unsafe {
            for panel in 0..panels {
                let mut acc = [[s.splat(0.0); VECTORS]; ROWS];
                for v in 0..VECTORS {
                    let bias = s.load(bias.add(panel * width + v * S::LANES));
                    for row in 0..ROWS {
                        acc[row][v] = bias;
                    }
                }
                let mut column = [s.splat(0.0); VECTORS];
                for segment in 0..segments {
                    let mut a = start.add(segment * segment_pitch);
                    for _ in 0..segment_len {
                        prefetch_far(later);
                        later = later.wrapping_add(ahead.step);
                        for v in 0..VECTORS {
                            column[v] = s.load(b.add(v * S::LANES));
                            if v * S::LANES % LINE == 0 {
                                prefetch(b.wrapping_add(prefetch_distance(ROWS) + v * S::LANES));
                            }
                        }
                        for row in 0..ROWS {
                            let x = s.splat(*a.add(row * pitch));
                            for v in 0..VECTORS {
                                acc[row][v] = d.dot(x, column[v], acc[row][v]);
                            }
                        }
                        a = a.add(1);
                        b = b.add(VECTORS * S::LANES);
                    }
                }
                if let Some((low, high)) = clamp {
                    let (low, high) = (s.splat(low), s.splat(high));
                    for row in 0..ROWS {
                        for v in 0..VECTORS {
                            acc[row][v] = s.min(high, s.max(low, acc[row][v]));
                        }
                    }
                }
                let last = (VECTORS - 1) * S::LANES;
                let first = first + panel * width;
                let tail = (columns - panel * width - last).min(S::LANES);
                if tail == S::LANES {
                    if let Some(residual) = residual {
                        for row in 0..ROWS {
                            let from = residual.get_unchecked(row).add(first);
                            for v in 0..VECTORS {
                                acc[row][v] = s.add(acc[row][v], s.load(from.add(v * S::LANES)));
                            }
                        }
                    }
                    for row in 0..ROWS {
                        let to = rows.get_unchecked(row).add(first);
                        for v in 0..VECTORS {
                            s.store(to.add(v * S::LANES), acc[row][v]);
                        }
                    }
                    continue;
                }
                for row in 0..ROWS {
                    let to = rows.get_unchecked(row).add(first);
                    let from = residual.map(|residual| residual.get_unchecked(row).add(first));
                    for v in 0..VECTORS - 1 {
                        let mut x = acc[row][v];
                        if let Some(from) = from {
                            x = s.add(x, s.load(from.add(v * S::LANES)));
                        }
                        s.store(to.add(v * S::LANES), x);
                    }
                    let mut x = acc[row][VECTORS - 1];
                    if let Some(from) = from {
                        x = s.add(x, s.load_first(from.add(last), tail));
                    }
                    s.store_first(to.add(last), tail, x);
                }
            }
        }
    }
}

impl<const ROWS: usize, const VECTORS: usize> DotKernel for TileKernel<'_, ROWS, VECTORS> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, d: D) {
        self.compute(d.simd(), d);
    }
}

type TileFn<D> = fn(D, Tile<'_>);

fn enter<D: Dot, const ROWS: usize, const VECTORS: usize>(d: D, tile: Tile<'_>) {
    d.enter(TileKernel::<ROWS, VECTORS>(tile));
}

/// The tiles of one width, for every number of rows.
macro_rules! tiles {
    ($vectors:literal: $($rows:literal)*) => { [$(enter::<D, $rows, $vectors>),*] };
}

struct Table<D>(std::marker::PhantomData<D>);

impl<D: Dot> Table<D> {
    const ONE: [TileFn<D>; 14] = tiles!(1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    const TWO: [TileFn<D>; 14] = tiles!(2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    const THREE: [TileFn<D>; 9] = tiles!(3: 1 2 3 4 5 6 7 8 9);
    const FOUR: [TileFn<D>; 6] = tiles!(4: 1 2 3 4 5 6);
}

/// Computes `tile.rows.len()` rows of panels `vectors` wide.
///
/// # Safety
/// `a` must be readable for that many rows of `operand`; `b` for as many rows of every panel as a row of A
/// has values; `bias` for the panels' widths; every pointer of `rows` writable (and of `residual`, of which
/// there are as many, readable) for `columns` values from `first` on; and `columns` must reach into the
/// last panel's last vector without passing it.
pub(crate) unsafe fn run_tile<D: Dot>(d: D, vectors: usize, tile: Tile<'_>) {
    let table: &[TileFn<D>] = match vectors {
        1 => &Table::<D>::ONE,
        2 => &Table::<D>::TWO,
        3 => &Table::<D>::THREE,
        _ => &Table::<D>::FOUR,
    };
    table[tile.rows.len() - 1](d, tile);
}
