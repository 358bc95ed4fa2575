//! The register tile: a few rows of A against one panel of B, accumulated in registers.

use crate::epilogue::{Activation, Map, WithMap};
use crate::isa::{Kernel, Simd};

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

/// One tile's operands.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a> {
    /// First row of A.
    pub(crate) a: *const f32,
    pub(crate) operand: Operand,
    /// The panel of B.
    pub(crate) b: *const f32,
    /// The panel's biases, padded to whole vectors.
    pub(crate) bias: *const f32,
    /// Where each row of C goes.
    pub(crate) rows: &'a [*mut f32],
    /// Columns that exist in C, within the panel's last vector.
    pub(crate) columns: usize,
}

/// How many values ahead B is fetched: the weights of late layers come from beyond the second-level cache.
const PREFETCH: usize = 512;

struct TileKernel<'a, const ROWS: usize, const VECTORS: usize>(Tile<'a>);

impl<const ROWS: usize, const VECTORS: usize> Kernel for TileKernel<'_, ROWS, VECTORS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Tile { a, operand, b, bias, rows, columns } = self.0;
        let Operand { pitch, segments, segment_pitch, segment_len } = operand;
        let mut b = b;
        // SAFETY: `run_tile`'s contract gives every operand its extent.
        unsafe {
            let bias: [S::V; VECTORS] = std::array::from_fn(|v| s.load(bias.add(v * S::LANES)));
            let mut acc = [bias; ROWS];
            for segment in 0..segments {
                let mut a = a.add(segment * segment_pitch);
                for _ in 0..segment_len {
                    let column: [S::V; VECTORS] = std::array::from_fn(|v| s.load(b.add(v * S::LANES)));
                    for v in 0..VECTORS {
                        s.prefetch(b.wrapping_add(PREFETCH + v * S::LANES));
                    }
                    for (row, acc) in acc.iter_mut().enumerate() {
                        let x = s.splat(*a.add(row * pitch));
                        for v in 0..VECTORS {
                            acc[v] = s.fma(x, column[v], acc[v]);
                        }
                    }
                    a = a.add(1);
                    b = b.add(VECTORS * S::LANES);
                }
            }
            let tail = columns - (VECTORS - 1) * S::LANES;
            for (row, acc) in acc.iter().enumerate() {
                let c = *rows.get_unchecked(row);
                for (v, acc) in acc[..VECTORS - 1].iter().enumerate() {
                    s.store(c.add(v * S::LANES), *acc);
                }
                let c = c.add((VECTORS - 1) * S::LANES);
                if tail == S::LANES {
                    s.store(c, acc[VECTORS - 1]);
                } else {
                    s.store_first(c, tail, acc[VECTORS - 1]);
                }
            }
        }
    }
}

type TileFn<S> = fn(S, Tile<'_>);

fn enter<S: Simd, const ROWS: usize, const VECTORS: usize>(s: S, tile: Tile<'_>) {
    s.vectorize(TileKernel::<ROWS, VECTORS>(tile));
}

/// The tiles of one width, for every number of rows.
macro_rules! tiles {
    ($vectors:literal: $($rows:literal)*) => { [$(enter::<S, $rows, $vectors>),*] };
}

struct Table<S>(std::marker::PhantomData<S>);

impl<S: Simd> Table<S> {
    const ONE: [TileFn<S>; 14] = tiles!(1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    const TWO: [TileFn<S>; 14] = tiles!(2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    const THREE: [TileFn<S>; 9] = tiles!(3: 1 2 3 4 5 6 7 8 9);
    const FOUR: [TileFn<S>; 6] = tiles!(4: 1 2 3 4 5 6);
}

/// Computes one tile: `tile.rows.len()` rows of a panel `vectors` wide.
///
/// # Safety
/// `a` must be readable for that many rows of `operand`; `b` for as many panel rows as a row of A has
/// values; `bias` for the panel's width; every pointer of `rows` writable for `columns` values; and
/// `columns` must reach into the panel's last vector without passing it.
pub(crate) unsafe fn run_tile<S: Simd>(s: S, vectors: usize, tile: Tile<'_>) {
    let table: &[TileFn<S>] = match vectors {
        1 => &Table::<S>::ONE,
        2 => &Table::<S>::TWO,
        3 => &Table::<S>::THREE,
        _ => &Table::<S>::FOUR,
    };
    table[tile.rows.len() - 1](s, tile);
}

/// Where a tile waits for its epilogue: in the first-level cache, in whole vectors, since a masked store
/// cannot be forwarded to the load that follows it.
#[repr(align(64))]
pub(crate) struct Spill([f32; Self::WIDTH * super::MAX_ROWS]);

impl Spill {
    /// Four of the longest vectors.
    const WIDTH: usize = 64;

    pub(crate) fn new() -> Self {
        Self([0.0; Self::WIDTH * super::MAX_ROWS])
    }

    pub(crate) fn rows(&mut self) -> [*mut f32; super::MAX_ROWS] {
        let base = self.0.as_mut_ptr();
        std::array::from_fn(|row| base.wrapping_add(row * Self::WIDTH))
    }
}

/// Writes `activation(spilled) + residual` to the rows of C.
///
/// # Safety
/// As many rows of `spill` must have been written as there are in `rows`; every pointer of `rows` (and
/// of `residual`, where given as many) must be valid for `columns` values, at most a tile's width.
pub(crate) unsafe fn finish_rows<S: Simd>(
    s: S,
    spill: &Spill,
    rows: &[*mut f32],
    columns: usize,
    activation: Activation,
    residual: Option<&[*const f32]>,
) {
    s.vectorize(Finish { spill, rows, columns, activation, residual });
}

#[derive(Clone, Copy)]
struct Finish<'a> {
    spill: &'a Spill,
    rows: &'a [*mut f32],
    columns: usize,
    activation: Activation,
    residual: Option<&'a [*const f32]>,
}

impl Kernel for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.activation.select(FinishLoop { s, finish: self });
    }
}

struct FinishLoop<'a, S> {
    s: S,
    finish: Finish<'a>,
}

impl<S: Simd> WithMap for FinishLoop<'_, S> {
    type Output = ();

    #[inline(always)]
    fn with<M: Map>(self) {
        let Self { s, finish: Finish { spill, rows, columns, residual, .. } } = self;
        for (row, (&c, from)) in rows.iter().zip(spill.0.chunks_exact(Spill::WIDTH)).enumerate() {
            let add = residual.map(|residual| residual[row]);
            let whole = columns - columns % S::LANES;
            // SAFETY: `finish_rows`' contract; n stays below `columns`, which fits a row of the spill.
            unsafe {
                for n in (0..whole).step_by(S::LANES) {
                    let mut x = M::map(s, s.load(from.as_ptr().add(n)));
                    if let Some(add) = add {
                        x = s.add(x, s.load(add.add(n)));
                    }
                    s.store(c.add(n), x);
                }
                if whole < columns {
                    let rest = columns - whole;
                    let mut x = M::map(s, s.load(from.as_ptr().add(whole)));
                    if let Some(add) = add {
                        x = s.add(x, s.load_first(add.add(whole), rest));
                    }
                    s.store_first(c.add(whole), rest, x);
                }
            }
        }
    }
}
