//! Activations over results that have just been written: what takes more than a tile's registers.

use crate::epilogue::{Activation, Map, WithMap};
use crate::isa::Simd;

/// `row = activation(row) + residual` for `columns` values of every row, from `first` on.
///
/// # Safety
/// Every pointer of `rows` must be valid for reading and writing these values, and every one of `residual`,
/// of which there are as many, for reading them.
#[inline(always)]
pub(crate) unsafe fn finish_rows<S: Simd>(
    s: S,
    activation: Activation,
    rows: &[*mut f32],
    first: usize,
    columns: usize,
    residual: Option<&[*const f32]>,
) {
    activation.select(FinishRows { s, rows, first, columns, residual });
}

struct FinishRows<'a, S> {
    s: S,
    rows: &'a [*mut f32],
    first: usize,
    columns: usize,
    residual: Option<&'a [*const f32]>,
}

impl<S: Simd> WithMap for FinishRows<'_, S> {
    type Output = ();

    #[inline(always)]
    fn with<M: Map>(self) {
        let Self { s, rows, first, columns, residual } = self;
        let mut row = 0;
        while row < rows.len() {
            let mut next = row + 1;
            // SAFETY: `finish_rows`' contract.
            unsafe {
                let to = rows[row].add(first);
                if let Some(residual) = residual {
                    finish_row::<S, M>(s, to, Some(residual[row].add(first)), columns);
                } else {
                    // Rows without a gap between them are one long row.
                    while next < rows.len() && rows[next].add(first) == to.add((next - row) * columns) {
                        next += 1;
                    }
                    finish_row::<S, M>(s, to, None, (next - row) * columns);
                }
            }
            row = next;
        }
    }
}

/// `row = M(row) + residual`.
///
/// # Safety
/// `row` must be valid for reading and writing `len` values, and `residual` for reading as many.
#[inline(always)]
unsafe fn finish_row<S: Simd, M: Map>(s: S, row: *mut f32, residual: Option<*const f32>, len: usize) {
    let whole = len - len % S::LANES;
    // By two, so that one vector's function need not wait for the other's; not where a residual is read as well.
    let pairs = if residual.is_none() { whole - whole % (2 * S::LANES) } else { 0 };
    // SAFETY: every index stays below `len`.
    unsafe {
        for n in (0..pairs).step_by(2 * S::LANES) {
            let (first, second) = (row.add(n), row.add(n + S::LANES));
            let (x, y) = (s.load(first), s.load(second));
            let (x, y) = (M::map(s, x), M::map(s, y));
            s.store(first, x);
            s.store(second, y);
        }
        for n in (pairs..whole).step_by(S::LANES) {
            let mut x = M::map(s, s.load(row.add(n)));
            if let Some(residual) = residual {
                x = s.add(x, s.load(residual.add(n)));
            }
            s.store(row.add(n), x);
        }
        if whole < len {
            let rest = len - whole;
            let mut x = M::map(s, s.load_first(row.add(whole), rest));
            if let Some(residual) = residual {
                x = s.add(x, s.load_first(residual.add(whole), rest));
            }
            s.store_first(row.add(whole), rest, x);
        }
    }
}
