//! The published variants, one row each.
//!
//! Widths, depths, resolutions and dropouts: tensorflow/tpu `efficientnet_builder.py`,
//! `lite/efficientnet_lite_builder.py` and `edgetpu/efficientnet_edgetpu_builder.py`; google/automl
//! `efficientnetv2/effnetv2_configs.py`. Crops and filters: timm's `default_cfgs` of its `tf_` models;
//! only Lite's crop is .875 at every size, with which `scripts/eval_reference.py` measures its weights.

use crate::Family::{self, EdgeTpu, Lite, V1, V2Base, V2L, V2M, V2S, V2Xl};
use crate::{Interpolation, Preprocessing};

/// A published network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variant {
    /// The canonical name.
    pub name: &'static str,
    /// The rows it scales.
    pub family: Family,
    /// Factor on the filters.
    pub width: f64,
    /// Factor on the repeats.
    pub depth: f64,
    /// Height and width of the pictures it is evaluated on, in pixels.
    pub resolution: usize,
    /// Share of the resized picture's side that the centre crop keeps, 0..=1.
    pub crop_pct: f32,
    /// The resize filter of its evaluation.
    pub interpolation: Interpolation,
    /// Share of the pooled features that training drops, 0..1.
    pub dropout: f32,
    /// What its authors report.
    pub published: Published,
}

/// Figures as they are published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// Trainable values with 1000 classes.
    pub params: u64,
    /// Multiply-accumulates at the variant's resolution, as printed: `0.39B`, `407M`.
    pub macs: Option<&'static str>,
    /// ImageNet top-1 in percent.
    pub top1: f32,
    /// ImageNet top-5 in percent.
    pub top5: Option<f32>,
    /// Whose scores these are, and of which checkpoint.
    pub source: &'static str,
}

/// Every published network, family by family, small to large.
#[must_use]
pub fn variants() -> &'static [Variant] {
    &VARIANTS
}

impl Variant {
    /// How its pictures are prepared.
    #[must_use]
    pub fn preprocessing(&self) -> Preprocessing {
        Preprocessing {
            crop_pct: self.crop_pct,
            interpolation: self.interpolation,
            ..Preprocessing::for_family(self.family, self.resolution)
        }
    }
}

const PAPER: &str = "arXiv 1905.11946v5, table 2";
const ADVPROP: &str = "AdvProp checkpoint, arXiv 1911.09665";
const NOISY_STUDENT: &str = "Noisy Student checkpoint, arXiv 1911.04252";
const LITE_README: &str = "tensorflow/tpu efficientnet/lite README, FP32";
const EDGE_README: &str = "tensorflow/tpu efficientnet/edgetpu README, FP32";
const V2_README: &str = "google/automl efficientnetv2 README, ImageNet-1k";
const V2_21K: &str = "google/automl efficientnetv2 README, ImageNet-21k and fine-tuned";

const fn bilinear(variant: Variant) -> Variant {
    Variant { interpolation: Interpolation::Bilinear, ..variant }
}

/// `scale` is width and depth, `view` resolution and crop.
const fn row(
    name: &'static str,
    family: Family,
    (width, depth): (f64, f64),
    (resolution, crop_pct): (usize, f32),
    dropout: f32,
    published: Published,
) -> Variant {
    let interpolation = Interpolation::Bicubic;
    Variant { name, family, width, depth, resolution, crop_pct, interpolation, dropout, published }
}

const fn published(
    params: u64,
    macs: Option<&'static str>,
    top1: f32,
    top5: Option<f32>,
    source: &'static str,
) -> Published {
    Published { params, macs, top1, top5, source }
}

// One line a row, so that columns can be compared.
#[rustfmt::skip]
static VARIANTS: [Variant; 26] = [
    row("efficientnet-b0",        V1,      (1.0, 1.0), (224, 0.875),   0.2, published(5_288_548, Some("0.39B"), 77.1, Some(93.3), PAPER)),
    row("efficientnet-b1",        V1,      (1.0, 1.1), (240, 0.882),   0.2, published(7_794_184, Some("0.70B"), 79.1, Some(94.4), PAPER)),
    row("efficientnet-b2",        V1,      (1.1, 1.2), (260, 0.89),    0.3, published(9_109_994, Some("1.0B"), 80.1, Some(94.9), PAPER)),
    row("efficientnet-b3",        V1,      (1.2, 1.4), (300, 0.904),   0.3, published(12_233_232, Some("1.8B"), 81.6, Some(95.7), PAPER)),
    row("efficientnet-b4",        V1,      (1.4, 1.8), (380, 0.922),   0.4, published(19_341_616, Some("4.2B"), 82.9, Some(96.4), PAPER)),
    row("efficientnet-b5",        V1,      (1.6, 2.2), (456, 0.934),   0.4, published(30_389_784, Some("9.9B"), 83.6, Some(96.7), PAPER)),
    row("efficientnet-b6",        V1,      (1.8, 2.6), (528, 0.942),   0.5, published(43_040_704, Some("19B"), 84.0, Some(96.8), PAPER)),
    row("efficientnet-b7",        V1,      (2.0, 3.1), (600, 0.949),   0.5, published(66_347_960, Some("37B"), 84.3, Some(97.0), PAPER)),
    row("efficientnet-b8",        V1,      (2.2, 3.6), (672, 0.954),   0.5, published(87_413_142, None, 85.5, None, ADVPROP)),
    row("efficientnet-l2",        V1,      (4.3, 5.3), (800, 0.96),    0.5, published(480_309_308, None, 88.4, None, NOISY_STUDENT)),
    row("efficientnet-lite0",     Lite,    (1.0, 1.0), (224, 0.875),   0.2, published(4_652_008, Some("407M"), 75.1, None, LITE_README)),
    row("efficientnet-lite1",     Lite,    (1.0, 1.1), (240, 0.875),   0.2, published(5_416_680, Some("631M"), 76.7, None, LITE_README)),
    row("efficientnet-lite2",     Lite,    (1.1, 1.2), (260, 0.875),   0.3, published(6_092_072, Some("899M"), 77.6, None, LITE_README)),
    bilinear(row("efficientnet-lite3",     Lite,    (1.2, 1.4), (280, 0.875),   0.3, published(8_197_096, Some("1.44B"), 79.8, None, LITE_README))),
    bilinear(row("efficientnet-lite4",     Lite,    (1.4, 1.8), (300, 0.875),   0.3, published(13_006_568, Some("2.64B"), 81.5, None, LITE_README))),
    row("efficientnet-edgetpu-s", EdgeTpu, (1.0, 1.0), (224, 0.875),   0.2, published(5_438_392, None, 77.23, None, EDGE_README)),
    row("efficientnet-edgetpu-m", EdgeTpu, (1.0, 1.1), (240, 0.882),   0.2, published(6_899_496, None, 78.69, None, EDGE_README)),
    row("efficientnet-edgetpu-l", EdgeTpu, (1.2, 1.4), (300, 0.904),   0.3, published(10_589_712, None, 80.62, None, EDGE_README)),
    row("efficientnetv2-b0",      V2Base,  (1.0, 1.0), (224, 0.875),   0.2, published(7_139_704, None, 78.7, None, V2_README)),
    row("efficientnetv2-b1",      V2Base,  (1.0, 1.1), (240, 0.882),   0.2, published(8_141_052, None, 79.8, None, V2_README)),
    row("efficientnetv2-b2",      V2Base,  (1.1, 1.2), (260, 0.89),    0.3, published(10_096_086, None, 80.5, None, V2_README)),
    row("efficientnetv2-b3",      V2Base,  (1.2, 1.4), (300, 0.904),   0.3, published(14_358_406, None, 82.1, None, V2_README)),
    row("efficientnetv2-s",       V2S,     (1.0, 1.0), (384, 1.0),     0.2, published(21_458_488, None, 83.9, None, V2_README)),
    row("efficientnetv2-m",       V2M,     (1.0, 1.0), (480, 1.0),     0.3, published(54_139_356, None, 85.2, None, V2_README)),
    row("efficientnetv2-l",       V2L,     (1.0, 1.0), (480, 1.0),     0.4, published(118_515_272, None, 85.7, None, V2_README)),
    row("efficientnetv2-xl",      V2Xl,    (1.0, 1.0), (512, 1.0),     0.4, published(208_119_808, None, 87.2, None, V2_21K)),
];
