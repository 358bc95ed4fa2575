//! The right-hand matrix, cut into panels.

use effigy_tensor::AlignedBuf;

use crate::isa::Isa;

/// Up to four vectors of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panel {
    /// Width in vectors, 1..=4.
    pub(crate) vectors: usize,
    /// First column.
    pub(crate) column: usize,
    /// Columns that exist; the others are zero.
    pub(crate) columns: usize,
}

/// A K×N matrix and a bias in panels: panel p holds rows 0..K of `vectors·lanes` values each.
#[derive(Debug)]
pub(crate) struct PackedMatrix {
    pub(crate) rows: usize,
    pub(crate) panels: Vec<Panel>,
    pub(crate) values: AlignedBuf,
    pub(crate) bias: AlignedBuf,
    lanes: usize,
}

impl PackedMatrix {
    /// Packs the matrix whose element (row k, column n) is `element(k, n)`.
    pub(crate) fn new(
        lanes: usize,
        rows: usize,
        bias: &[f32],
        element: impl Fn(usize, usize) -> f32,
    ) -> Self {
        Self::filled(lanes, rows, bias.len(), bias, |panel, width, to| {
            for (k, row) in to.chunks_exact_mut(width).enumerate() {
                for (n, value) in row[..panel.columns].iter_mut().enumerate() {
                    *value = element(k, panel.column + n);
                }
            }
        })
    }

    /// Packs the transpose of `matrix: [N, K]`, column n multiplied by `scale[n]` and [`flushed`], as
    /// [`new`](Self::new) would, but several times faster: much of a network's start is this.
    pub(crate) fn transposed(
        lanes: usize,
        rows: usize,
        bias: &[f32],
        matrix: &[f32],
        scale: Option<&[f32]>,
    ) -> Self {
        Self::filled(lanes, rows, bias.len(), bias, |panel, width, to| {
            let from = &matrix[panel.column * rows..][..panel.columns * rows];
            let scale = scale.map(|scale| &scale[panel.column..][..panel.columns]);
            transpose(from, rows, scale, to, width);
        })
    }

    /// Packs `matrix: [K, N]`, which has no bias.
    pub(crate) fn plain(lanes: usize, rows: usize, columns: usize, matrix: &[f32]) -> Self {
        Self::filled(lanes, rows, columns, &[], |panel, width, to| {
            for (to, from) in to.chunks_exact_mut(width).zip(matrix.chunks_exact(columns)) {
                to[..panel.columns].copy_from_slice(&from[panel.column..][..panel.columns]);
            }
        })
    }

    /// Has `fill` fill every panel, of which it is given the width in columns and the values, all zero.
    fn filled(
        lanes: usize,
        rows: usize,
        columns: usize,
        bias: &[f32],
        fill: impl Fn(&Panel, usize, &mut [f32]),
    ) -> Self {
        let panels = cut(columns, lanes);
        let padded = columns.div_ceil(lanes) * lanes;
        let mut values = AlignedBuf::zeroed(rows * padded);
        for panel in &panels {
            let width = panel.vectors * lanes;
            fill(panel, width, &mut values[rows * panel.column..][..rows * width]);
        }
        Self { rows, panels, values, bias: padded_bias(bias, padded), lanes }
    }

    /// Rows and columns of the tile that most of the product is made of.
    pub(crate) fn tile(&self, isa: Isa) -> (usize, usize) {
        let vectors = self.panels.iter().map(|panel| panel.vectors).max().unwrap_or(1);
        (isa.tile_rows()[vectors - 1], vectors * self.lanes)
    }

    /// Where a panel's values start. Panels follow each other, so all columns before it come first.
    pub(crate) fn offset(&self, panel: &Panel) -> usize {
        self.rows * panel.column
    }

    /// Values in a row of a panel.
    pub(crate) fn width(&self, panel: &Panel) -> usize {
        panel.vectors * self.lanes
    }
}

/// The bias of all columns, zeros behind the last.
fn padded_bias(bias: &[f32], padded: usize) -> AlignedBuf {
    let mut values = AlignedBuf::zeroed(padded);
    values[..bias.len()].copy_from_slice(bias);
    values
}

/// Zero in the place of a denormal number: channels that training has shut have such weights, gates that are all but
/// shut make such products, and Intel's processors multiply by them at a tenth of their speed.
#[inline(always)]
pub(crate) fn flushed(value: f32) -> f32 {
    if value.abs() < f32::MIN_POSITIVE { 0.0 } else { value }
}

/// Values that are moved at once from a row to a column: a cache line.
const BLOCK: usize = 16;

/// Writes the rows of `from`, each of `len` values and multiplied by its `scale`, as the first columns of `to`,
/// whose rows are `width` wide.
fn transpose(from: &[f32], len: usize, scale: Option<&[f32]>, to: &mut [f32], width: usize) {
    if len == 0 {
        return;
    }
    // A block of every row before the next block of any: what is written stays in the first-level cache.
    for (i, to) in to.chunks_mut(BLOCK * width).enumerate() {
        for (column, row) in from.chunks_exact(len).enumerate() {
            let row = &row[i * BLOCK..];
            let factor = scale.map_or(1.0, |scale| scale[column]);
            for (to, value) in to.chunks_exact_mut(width).zip(row) {
                to[column] = flushed(value * factor);
            }
        }
    }
}

/// Panels two vectors wide, the last one or three: tall tiles of two vectors reuse a column longest,
/// and a panel of three beats one of two and one of one.
fn cut(columns: usize, lanes: usize) -> Vec<Panel> {
    let vectors = columns.div_ceil(lanes);
    let mut panels = Vec::new();
    let mut start = 0;
    while start < vectors {
        let width = match vectors - start {
            1 => 1,
            3 => 3,
            _ => 2,
        };
        let column = start * lanes;
        panels.push(Panel { vectors: width, column, columns: (width * lanes).min(columns - column) });
        start += width;
    }
    panels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_cover_every_column_once() {
        for lanes in [4, 8, 16] {
            for columns in 1..200 {
                let mut next = 0;
                for panel in cut(columns, lanes) {
                    assert_eq!(panel.column, next);
                    assert!((1..=4).contains(&panel.vectors) && panel.columns <= panel.vectors * lanes);
                    next += panel.columns;
                }
                assert_eq!(next, columns);
            }
        }
    }

    #[test]
    fn transposed_is_the_same_as_element_by_element() {
        for lanes in [4, 8, 16] {
            for rows in [1, 2, 15, 16, 17, 40] {
                for columns in [1, 7, 16, 24, 33, 100] {
                    let matrix: Vec<f32> = (1..=rows * columns).map(|i| i as f32).collect();
                    let bias = vec![0.5; columns];
                    let scale: Vec<f32> = (0..columns).map(|i| i as f32 - 2.5).collect();
                    for scale in [None, Some(&scale[..])] {
                        let fast = PackedMatrix::transposed(lanes, rows, &bias, &matrix, scale);
                        let plain = PackedMatrix::new(lanes, rows, &bias, |k, n| {
                            matrix[n * rows + k] * scale.map_or(1.0, |scale| scale[n])
                        });
                        assert_eq!(fast.values[..], plain.values[..], "{rows}×{columns}, {lanes} lanes");
                        assert_eq!((fast.panels, &fast.bias[..]), (plain.panels, &plain.bias[..]));
                    }
                }
            }
        }
    }

    #[test]
    fn plain_is_the_same_as_element_by_element() {
        for (rows, columns) in [(1, 1), (3, 8), (5, 17), (16, 24), (7, 100)] {
            let matrix: Vec<f32> = (1..=rows * columns).map(|i| i as f32).collect();
            for lanes in [4, 8, 16] {
                let fast = PackedMatrix::plain(lanes, rows, columns, &matrix);
                let plain =
                    PackedMatrix::new(lanes, rows, &vec![0.0; columns], |k, n| matrix[k * columns + n]);
                assert_eq!(fast.values[..], plain.values[..], "{rows}×{columns}, {lanes} lanes");
                assert_eq!((fast.panels, &fast.bias[..]), (plain.panels, &plain.bias[..]));
            }
        }
    }

    #[test]
    fn denormal_weights_become_zero() {
        let packed = PackedMatrix::transposed(4, 2, &[0.0], &[1e-30, 3.0], Some(&[1e-10]));
        assert_eq!((packed.values[0], packed.values[4]), (0.0, 3e-10));
        assert!(flushed(f32::NAN).is_nan());
    }

    #[test]
    fn packs_panel_after_panel() {
        let packed = PackedMatrix::new(4, 2, &[0.5; 9], |k, n| (k * 100 + n) as f32);
        assert_eq!(packed.panels.len(), 1);
        assert_eq!(packed.values[..9], [0., 1., 2., 3., 4., 5., 6., 7., 8.]);
        assert_eq!(packed.values[9..12], [0.; 3]);
        assert_eq!(packed.values[12..21], [100., 101., 102., 103., 104., 105., 106., 107., 108.]);
        assert_eq!(packed.bias[..10], [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.0]);
    }
}
