//! The families' stages as rows, and the rules by which width and depth scale them.

use crate::Activation;

/// One family of networks: everything that width, depth and resolution leave unchanged.
#[derive(Debug, PartialEq)]
pub(crate) struct Blueprint {
    /// The rows, from the stem to the head.
    pub(crate) rows: &'static [Row],
    /// Filters of the stem's convolution at width 1.
    pub(crate) stem: usize,
    /// Filters of the head's convolution at width 1.
    pub(crate) head: usize,
    pub(crate) activation: Activation,
    /// PyTorch's momentum of the moving statistics: 1 − TensorFlow's.
    pub(crate) bn_momentum: f32,
    pub(crate) rounding: Rounding,
    /// Whether width leaves stem and head, and depth the first and last stage, as they are.
    pub(crate) fixed_ends: bool,
}

/// How scaled filters become whole.
#[derive(Debug, PartialEq)]
pub(crate) enum Rounding {
    /// To the nearest multiple of 8, but never below 90 % of the exact figure.
    NearestGuarded,
    /// To the nearest multiple of 8.
    Nearest,
}

/// A stage at width 1 and depth 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) fused: bool,
    pub(crate) repeats: usize,
    pub(crate) kernel: usize,
    /// Of the first block; the others have 1.
    pub(crate) stride: usize,
    pub(crate) expand: usize,
    /// Filters that the first block's expansion multiplies: those of the row before, but for EdgeTPU.
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Squeeze-and-excitation width as a share of the block's input filters; 0 for none.
    pub(crate) squeeze: f64,
    /// Whether blocks that keep their shape add their input to their output.
    pub(crate) residual: bool,
}

impl Blueprint {
    /// `filters` times `width`, rounded to a multiple of 8 (at least 8): automl's `round_filters`.
    pub(crate) fn filters(&self, filters: usize, width: f64) -> usize {
        let exact = filters as f64 * width;
        let nearest = (((exact + 4.0) / 8.0).floor() as usize * 8).max(8);
        let too_small = self.rounding == Rounding::NearestGuarded && (nearest as f64) < 0.9 * exact;
        if too_small { nearest + 8 } else { nearest }
    }

    /// `⌈depth · repeats⌉` of row `index`: automl's `round_repeats`.
    pub(crate) fn repeats(&self, index: usize, depth: f64) -> usize {
        let repeats = self.rows[index].repeats;
        let is_end = index == 0 || index + 1 == self.rows.len();
        if self.fixed_ends && is_end { repeats } else { (depth * repeats as f64).ceil() as usize }
    }

    /// The width that applies to the stem and the head.
    pub(crate) fn end_width(&self, width: f64) -> f64 {
        if self.fixed_ends { 1.0 } else { width }
    }
}

const fn mb(
    repeats: usize,
    kernel: usize,
    stride: usize,
    expand: usize,
    inputs: usize,
    outputs: usize,
) -> Row {
    Row { fused: false, repeats, kernel, stride, expand, inputs, outputs, squeeze: 0.0, residual: true }
}

const fn fused(repeats: usize, stride: usize, expand: usize, inputs: usize, outputs: usize) -> Row {
    Row { fused: true, ..mb(repeats, 3, stride, expand, inputs, outputs) }
}

/// A block with squeeze and excitation at a quarter of its input's filters.
const fn se(row: Row) -> Row {
    Row { squeeze: 0.25, ..row }
}

const fn no_residual(row: Row) -> Row {
    Row { residual: false, ..row }
}

/// EfficientNet: Tan and Le 2019 (arXiv 1905.11946), table 1; tensorflow/tpu `efficientnet_builder.py`.
pub(crate) static V1: Blueprint = Blueprint {
    rows: &[
        se(mb(1, 3, 1, 1, 32, 16)),
        se(mb(2, 3, 2, 6, 16, 24)),
        se(mb(2, 5, 2, 6, 24, 40)),
        se(mb(3, 3, 2, 6, 40, 80)),
        se(mb(3, 5, 1, 6, 80, 112)),
        se(mb(4, 5, 2, 6, 112, 192)),
        se(mb(1, 3, 1, 6, 192, 320)),
    ],
    stem: 32,
    head: 1280,
    activation: Activation::Swish,
    bn_momentum: 0.01,
    rounding: Rounding::NearestGuarded,
    fixed_ends: false,
};

/// EfficientNet-Lite: tensorflow/tpu `lite/efficientnet_lite_builder.py`.
pub(crate) static LITE: Blueprint = Blueprint {
    rows: &[
        mb(1, 3, 1, 1, 32, 16),
        mb(2, 3, 2, 6, 16, 24),
        mb(2, 5, 2, 6, 24, 40),
        mb(3, 3, 2, 6, 40, 80),
        mb(3, 5, 1, 6, 80, 112),
        mb(4, 5, 2, 6, 112, 192),
        mb(1, 3, 1, 6, 192, 320),
    ],
    stem: 32,
    head: 1280,
    activation: Activation::Relu6,
    bn_momentum: 0.01,
    rounding: Rounding::NearestGuarded,
    fixed_ends: true,
};

/// EfficientNet-EdgeTPU: tensorflow/tpu `edgetpu/efficientnet_edgetpu_builder.py`. Its first row
/// names 24 input filters where the stem gives 32; only the expansion follows the row.
pub(crate) static EDGE_TPU: Blueprint = Blueprint {
    rows: &[
        no_residual(fused(1, 1, 4, 24, 24)),
        fused(2, 2, 8, 24, 32),
        fused(4, 2, 8, 32, 48),
        mb(5, 5, 2, 8, 48, 96),
        mb(4, 5, 1, 8, 96, 144),
        mb(2, 5, 2, 8, 144, 192),
    ],
    stem: 32,
    head: 1280,
    activation: Activation::Relu,
    bn_momentum: 0.01,
    rounding: Rounding::NearestGuarded,
    fixed_ends: false,
};

const fn v2(stem: usize, rows: &'static [Row]) -> Blueprint {
    Blueprint {
        rows,
        stem,
        head: 1280,
        activation: Activation::Swish,
        bn_momentum: 0.1,
        rounding: Rounding::Nearest,
        fixed_ends: false,
    }
}

// EfficientNetV2: Tan and Le 2021 (arXiv 2104.00298), table 4; google/automl
// `efficientnetv2/effnetv2_configs.py`.

/// V2-B0 … B3 are this one, scaled.
pub(crate) static V2_BASE: Blueprint = v2(
    32,
    &[
        fused(1, 1, 1, 32, 16),
        fused(2, 2, 4, 16, 32),
        fused(2, 2, 4, 32, 48),
        se(mb(3, 3, 2, 4, 48, 96)),
        se(mb(5, 3, 1, 6, 96, 112)),
        se(mb(8, 3, 2, 6, 112, 192)),
    ],
);

pub(crate) static V2_S: Blueprint = v2(
    24,
    &[
        fused(2, 1, 1, 24, 24),
        fused(4, 2, 4, 24, 48),
        fused(4, 2, 4, 48, 64),
        se(mb(6, 3, 2, 4, 64, 128)),
        se(mb(9, 3, 1, 6, 128, 160)),
        se(mb(15, 3, 2, 6, 160, 256)),
    ],
);

pub(crate) static V2_M: Blueprint = v2(
    24,
    &[
        fused(3, 1, 1, 24, 24),
        fused(5, 2, 4, 24, 48),
        fused(5, 2, 4, 48, 80),
        se(mb(7, 3, 2, 4, 80, 160)),
        se(mb(14, 3, 1, 6, 160, 176)),
        se(mb(18, 3, 2, 6, 176, 304)),
        se(mb(5, 3, 1, 6, 304, 512)),
    ],
);

pub(crate) static V2_L: Blueprint = v2(
    32,
    &[
        fused(4, 1, 1, 32, 32),
        fused(7, 2, 4, 32, 64),
        fused(7, 2, 4, 64, 96),
        se(mb(10, 3, 2, 4, 96, 192)),
        se(mb(19, 3, 1, 6, 192, 224)),
        se(mb(25, 3, 2, 6, 224, 384)),
        se(mb(7, 3, 1, 6, 384, 640)),
    ],
);

pub(crate) static V2_XL: Blueprint = v2(
    32,
    &[
        fused(4, 1, 1, 32, 32),
        fused(8, 2, 4, 32, 64),
        fused(8, 2, 4, 64, 96),
        se(mb(16, 3, 2, 4, 96, 192)),
        se(mb(24, 3, 1, 6, 192, 256)),
        se(mb(32, 3, 2, 6, 256, 512)),
        se(mb(8, 3, 1, 6, 512, 640)),
    ],
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_round_to_eight_and_never_lose_a_tenth() {
        assert_eq!(V1.filters(32, 1.0), 32);
        assert_eq!(V1.filters(32, 1.1), 32); // 35.2
        assert_eq!(V1.filters(24, 1.2), 32); // 28.8 is nearer to 32
        assert_eq!(V1.filters(16, 1.15), 24); // 18.4 → 16 would lose 13 %
        assert_eq!(V2_BASE.filters(16, 1.15), 16); // V2 knows no such guard
        assert_eq!(V1.filters(16, 0.1), 8); // never below 8
        assert_eq!(V1.filters(320, 2.0), 640);
        assert_eq!(V1.filters(1280, 1.4), 1792);
    }

    #[test]
    fn repeats_round_up_and_lite_keeps_its_ends() {
        assert_eq!(V1.repeats(0, 1.1), 2);
        assert_eq!(V1.repeats(5, 3.1), 13); // 12.4
        assert_eq!(LITE.repeats(0, 1.8), 1);
        assert_eq!(LITE.repeats(6, 1.8), 1);
        assert_eq!(LITE.repeats(5, 1.8), 8); // 7.2
        assert_eq!(LITE.end_width(1.4), 1.0);
    }

    #[test]
    fn every_row_continues_the_one_before() {
        for blueprint in [&V1, &LITE, &EDGE_TPU, &V2_BASE, &V2_S, &V2_M, &V2_L, &V2_XL] {
            for pair in blueprint.rows.windows(2) {
                assert_eq!(pair[0].outputs, pair[1].inputs);
            }
        }
    }
}
