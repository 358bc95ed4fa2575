//! The published detectors, one row each.
//!
//! D0 … D7x: google/automl `efficientdet/hparams_config.py`. Its anchor scale is 4 but for D7's 5, and its
//! weights are plain sums from D6 on. Lite: the same file; 3x as effdet's `model_config.py` has it.
//! Parameters and operations: `efficientdet_arch_test.py` beside it. APs: its README.

use super::EfficientDet;
use crate::graph::Fusion;

/// A published detector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectorVariant {
    /// The canonical name.
    pub name: &'static str,
    /// The canonical name of its backbone.
    pub backbone: &'static str,
    /// Height and width of its input, in pixels.
    pub size: usize,
    /// Channels of the pyramid and the heads.
    pub channels: usize,
    /// BiFPN cells.
    pub cells: usize,
    /// Separable convolutions of each head, before the one that predicts.
    pub head_repeats: usize,
    /// Side of the smallest square anchor, in strides of its level.
    pub anchor_scale: f64,
    /// The last level of the pyramid; the first is 3.
    pub max_level: usize,
    /// How BiFPN weighs what it fuses.
    pub fusion: Fusion,
    /// What its authors report.
    pub published: DetectorPublished,
}

/// Figures as they are published, for COCO's 90 class slots and 9 anchors on every cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectorPublished {
    /// Trainable values.
    pub params: u64,
    /// Operations at the row's size, by google/automl's `num_params_flops`; it counts more than
    /// multiply-accumulates ([`Graph::macs`](crate::Graph::macs)). D7x's is printed only as `410B`.
    pub operations: Option<u64>,
    /// COCO test-dev2017 AP in percent; Lite has none.
    pub ap_test: Option<f32>,
    /// COCO val2017 AP in percent.
    pub ap_val: f32,
}

/// Every published detector, small to large, then Lite.
#[must_use]
pub fn detector_variants() -> &'static [DetectorVariant] {
    &VARIANTS
}

const fn published(
    params: u64,
    operations: Option<u64>,
    ap_test: Option<f32>,
    ap_val: f32,
) -> DetectorPublished {
    DetectorPublished { params, operations, ap_test, ap_val }
}

/// `shape` is channels, cells and head repeats; `pyramid` the anchor scale and the last level.
const fn row(
    name: &'static str,
    backbone: &'static str,
    size: usize,
    (channels, cells, head_repeats): (usize, usize, usize),
    (anchor_scale, max_level): (f64, usize),
    fusion: Fusion,
    published: DetectorPublished,
) -> DetectorVariant {
    DetectorVariant {
        name,
        backbone,
        size,
        channels,
        cells,
        head_repeats,
        anchor_scale,
        max_level,
        fusion,
        published,
    }
}

const ATTENTION: Fusion = EfficientDet::FAST_ATTENTION;
const SUM: Fusion = Fusion::Sum;

// One line a row, so that columns can be compared.
#[rustfmt::skip]
static VARIANTS: [DetectorVariant; 15] = [
    row("efficientdet-d0",     "efficientnet-b0",    512, (64, 3, 3),  (4.0, 7), ATTENTION, published(3_880_067, Some(2_550_618_821), Some(34.6), 34.3)),
    row("efficientdet-d1",     "efficientnet-b1",    640, (88, 4, 3),  (4.0, 7), ATTENTION, published(6_625_898, Some(6_133_752_112), Some(40.5), 40.2)),
    row("efficientdet-d2",     "efficientnet-b2",    768, (112, 5, 3), (4.0, 7), ATTENTION, published(8_097_039, Some(11_045_799_933), Some(43.9), 43.5)),
    row("efficientdet-d3",     "efficientnet-b3",    896, (160, 6, 4), (4.0, 7), ATTENTION, published(12_032_296, Some(24_982_737_931), Some(47.2), 46.8)),
    row("efficientdet-d4",     "efficientnet-b4",   1024, (224, 7, 4), (4.0, 7), ATTENTION, published(20_723_675, Some(55_346_593_717), Some(49.7), 49.3)),
    row("efficientdet-d5",     "efficientnet-b5",   1280, (288, 7, 4), (4.0, 7), ATTENTION, published(33_653_315, Some(135_729_505_573), Some(51.5), 51.3)),
    row("efficientdet-d6",     "efficientnet-b6",   1280, (384, 8, 5), (4.0, 7), SUM,       published(51_871_782, Some(226_033_623_795), Some(52.6), 52.2)),
    row("efficientdet-d7",     "efficientnet-b6",   1536, (384, 8, 5), (5.0, 7), SUM,       published(51_871_782, Some(325_473_789_367), Some(53.7), 53.4)),
    row("efficientdet-d7x",    "efficientnet-b7",   1536, (384, 8, 5), (4.0, 8), SUM,       published(77_147_166, None, Some(55.1), 54.4)),
    row("efficientdet-lite0",  "efficientnet-lite0", 320, (64, 3, 3),  (3.0, 7), SUM,       published(3_243_470, Some(977_617_221), None, 26.41)),
    row("efficientdet-lite1",  "efficientnet-lite1", 384, (88, 4, 3),  (3.0, 7), SUM,       published(4_248_318, Some(1_973_728_714), None, 31.50)),
    row("efficientdet-lite2",  "efficientnet-lite2", 448, (112, 5, 3), (3.0, 7), SUM,       published(5_252_334, Some(3_383_232_590), None, 35.06)),
    row("efficientdet-lite3",  "efficientnet-lite3", 512, (160, 6, 4), (4.0, 7), SUM,       published(8_350_862, Some(7_503_764_515), None, 38.77)),
    row("efficientdet-lite3x", "efficientnet-lite3", 640, (200, 6, 4), (3.0, 7), SUM,       published(9_280_862, Some(14_019_809_178), None, 42.64)),
    row("efficientdet-lite4",  "efficientnet-lite4", 640, (224, 7, 4), (4.0, 7), SUM,       published(15_130_894, Some(20_221_443_966), None, 43.18)),
];
