//! Anchors: the boxes that a detector's outputs are relative to.

/// A box by its corners, in pixels of the network's input: rows (y) before columns (x), as EfficientDet
/// orders the four values of a box everywhere. Corners may lie outside the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnchorBox {
    /// Top edge.
    pub y1: f32,
    /// Left edge.
    pub x1: f32,
    /// Bottom edge.
    pub y2: f32,
    /// Right edge.
    pub x2: f32,
}

/// An anchor's shape: factors on the sides of a square.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AspectRatio {
    /// Factor on the width.
    pub width: f64,
    /// Factor on the height.
    pub height: f64,
}

/// Which anchors stand on every cell of every level, apart from their position.
#[derive(Clone, Debug, PartialEq)]
pub struct Anchors {
    /// Side of the smallest square anchor, in strides of its level.
    pub base: f64,
    /// Factors on the base: the outer loop over a cell's anchors.
    pub scales: Vec<f64>,
    /// Shapes: the inner loop.
    pub ratios: Vec<AspectRatio>,
}

impl AspectRatio {
    /// 1, 2 and ½ (width to height), each of the square's area: width √r, height 1/√r.
    pub const EXACT: [Self; 3] = {
        use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};
        [Self::new(1.0, 1.0), Self::new(SQRT_2, FRAC_1_SQRT_2), Self::new(FRAC_1_SQRT_2, SQRT_2)]
    };
    /// The same shapes rounded to one decimal, 2 % smaller in area.
    pub const ROUNDED: [Self; 3] = [Self::new(1.0, 1.0), Self::new(1.4, 0.7), Self::new(0.7, 1.4)];

    /// Factors on width and height.
    #[must_use]
    pub const fn new(width: f64, height: f64) -> Self {
        Self { width, height }
    }

    /// The shape of a square's area whose width is `ratio` times its height: (√ratio, 1/√ratio).
    #[must_use]
    pub fn of(ratio: f64) -> Self {
        Self::new(ratio.sqrt(), 1.0 / ratio.sqrt())
    }
}

impl Anchors {
    /// EfficientDet's: three scales, a third of an octave apart.
    #[must_use]
    pub fn octave(base: f64, ratios: &[AspectRatio]) -> Self {
        let scales = (0..3).map(|third| 2_f64.powf(f64::from(third) / 3.0)).collect();
        Self { base, scales, ratios: ratios.to_vec() }
    }

    /// Anchors on every cell.
    #[must_use]
    pub fn per_cell(&self) -> usize {
        self.scales.len() * self.ratios.len()
    }

    /// Cells along an axis of `pixels` on a level: every level halves the one before, rounding up.
    #[must_use]
    pub fn cells(pixels: usize, level: usize) -> usize {
        pixels.div_ceil(1 << level)
    }

    /// Anchors of an input of `height` × `width` pixels on `levels`.
    #[must_use]
    pub fn count(&self, levels: impl IntoIterator<Item = usize>, height: usize, width: usize) -> usize {
        let cells = |level| Self::cells(height, level) * Self::cells(width, level);
        self.per_cell() * levels.into_iter().map(cells).sum::<usize>()
    }

    /// The anchors of an input of `height` × `width` pixels, ordered by level, row, column, scale and
    /// ratio: the order of the values in a detector's outputs.
    ///
    /// A level's stride is the input's side over the map's, not rounded, so that an odd side spreads its
    /// cells evenly: google/automl `efficientdet/keras/anchors.py`. Computed in `f64`.
    #[must_use]
    pub fn boxes(
        &self,
        levels: impl IntoIterator<Item = usize> + Clone,
        height: usize,
        width: usize,
    ) -> Vec<AnchorBox> {
        let mut boxes = Vec::with_capacity(self.count(levels.clone(), height, width));
        for level in levels {
            let (rows, columns) = (Self::cells(height, level), Self::cells(width, level));
            let (stride_y, stride_x) = (height as f64 / rows as f64, width as f64 / columns as f64);
            let halves = self.halves(stride_y, stride_x);
            for row in 0..rows {
                let y = stride_y / 2.0 + row as f64 * stride_y;
                for column in 0..columns {
                    let x = stride_x / 2.0 + column as f64 * stride_x;
                    boxes.extend(halves.iter().map(|&(half_height, half_width)| AnchorBox {
                        y1: (y - half_height) as f32,
                        x1: (x - half_width) as f32,
                        y2: (y + half_height) as f32,
                        x2: (x + half_width) as f32,
                    }));
                }
            }
        }
        boxes
    }

    /// Half the height and half the width of a cell's anchors, in their order.
    fn halves(&self, stride_y: f64, stride_x: f64) -> Vec<(f64, f64)> {
        let half = |stride: f64, scale: f64, factor: f64| self.base * stride * scale * factor / 2.0;
        let shapes = self.scales.iter().flat_map(|&scale| {
            self.ratios
                .iter()
                .map(move |ratio| (half(stride_y, scale, ratio.height), half(stride_x, scale, ratio.width)))
        });
        shapes.collect()
    }
}
