//! How a picture becomes a network's input.

use crate::Family;

/// How pixels between pixels are computed. Pixels have their centres at halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Triangle filter, support 1; antialiased when shrinking, as Pillow's is.
    Bilinear,
    /// Keys' cubic with a = −0.5, support 2; antialiased when shrinking, as Pillow's is.
    Bicubic,
    /// Between the four nearest pixels, shrinking or not: TensorFlow's `tf.image.resize` and OpenCV's
    /// `INTER_LINEAR`.
    PlainBilinear,
}

/// How a picture becomes a network's input: resize so that the centre crop covers `crop_pct` of
/// the shorter side, crop, scale to 0..1, then `(x − mean) / std` per channel (R, G, B).
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocessing {
    /// Height and width of the network's input, in pixels.
    pub size: [usize; 2],
    /// Share of the resized picture's side that the centre crop keeps, 0..=1.
    pub crop_pct: f32,
    /// The resize filter.
    pub interpolation: Interpolation,
    /// Mean of each channel, on values in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, on values in 0..1.
    pub std: [f32; 3],
}

/// Mean and standard deviation of each channel (R, G, B), on values in 0..1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    /// Subtracted.
    pub mean: [f32; 3],
    /// What the difference is divided by.
    pub std: [f32; 3],
}

impl Normalisation {
    /// ImageNet's statistics.
    pub const IMAGENET: Self = Self { mean: Preprocessing::IMAGENET_MEAN, std: Preprocessing::IMAGENET_STD };
    /// `2x − 1`: AdvProp, Inception, timm's Lite, EdgeTPU and V2.
    pub const HALF: Self = Self { mean: [0.5; 3], std: [0.5; 3] };
    /// `(byte − 127) / 128`: TensorFlow's Lite and EdgeTPU.
    pub const MINUS_127: Self = Self { mean: [127.0 / 255.0; 3], std: [128.0 / 255.0; 3] };
    /// `(byte − 128) / 128`: TensorFlow's V2-S … XL.
    pub const MINUS_128: Self = Self { mean: [128.0 / 255.0; 3], std: [128.0 / 255.0; 3] };
}

impl Preprocessing {
    /// ImageNet's mean, R G B, on values in 0..1.
    pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
    /// ImageNet's standard deviation, R G B, on values in 0..1.
    pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

    /// How TensorFlow's code evaluates a family at `resolution` pixels: bicubic, and a crop with a
    /// margin of 16 pixels on every side (V2 from 320 pixels on: no margin).
    #[must_use]
    pub fn for_family(family: Family, resolution: usize) -> Self {
        let normalisation = match family {
            Family::V1 | Family::V2Base => Normalisation::IMAGENET,
            Family::Lite | Family::EdgeTpu => Normalisation::MINUS_127,
            Family::V2S | Family::V2M | Family::V2L | Family::V2Xl => Normalisation::MINUS_128,
        };
        let is_v2 = !matches!(family, Family::V1 | Family::Lite | Family::EdgeTpu);
        let margin = if is_v2 && resolution >= 320 { 0 } else { 32 };
        Self {
            size: [resolution, resolution],
            crop_pct: resolution as f32 / (resolution + margin) as f32,
            interpolation: Interpolation::Bicubic,
            mean: normalisation.mean,
            std: normalisation.std,
        }
    }

    /// The same with other statistics.
    #[must_use]
    pub fn with_normalisation(self, Normalisation { mean, std }: Normalisation) -> Self {
        Self { mean, std, ..self }
    }

    /// The same for another square size, with another crop.
    #[must_use]
    pub fn with_view(self, size: usize, crop_pct: f32) -> Self {
        Self { size: [size, size], crop_pct, ..self }
    }
}

/// How a picture becomes a detector's input: resized to the largest size of its own proportions that fits,
/// put at the top left, scaled to 0..1, then `(x − mean) / std` per channel (R, G, B).
#[derive(Clone, Debug, PartialEq)]
pub struct Letterbox {
    /// Height and width of the network's input, in pixels.
    pub size: [usize; 2],
    /// The resize filter. Pillow's resize bytes to bytes; the plain one resizes to floats, without rounding.
    pub interpolation: Interpolation,
    /// How the resized picture gets whole sides.
    pub fit: Fit,
    /// Statistics of the channels.
    pub normalisation: Normalisation,
    /// What the rest of the input holds.
    pub fill: Fill,
}

/// How a picture that is resized to fit gets whole sides, and by which scale its boxes are mapped back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Both sides times one scale, cut to whole pixels, in f64; boxes go back by that scale: effdet.
    OneScale,
    /// The same, and the places of the samples, in f32: google/automl.
    OneScaleF32,
    /// One side fills the input, the other is cut to whole pixels, in f64; boxes go back by the ratio of each
    /// side: zylo117.
    ScalePerSide,
}

/// What a letterbox holds beside the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Zeros after normalisation: the mean.
    Mean,
    /// Pixels of the mean rounded to whole bytes (halves to even), normalised as the picture is.
    MeanByte,
    /// Black pixels, normalised as the picture is.
    Black,
}

impl Letterbox {
    /// google/automl's (`efficientdet/dataloader.py`) into a square of `size` pixels: plain bilinear, the
    /// rest zeros.
    #[must_use]
    pub fn square(size: usize, normalisation: Normalisation) -> Self {
        Self {
            size: [size, size],
            interpolation: Interpolation::PlainBilinear,
            fit: Fit::OneScaleF32,
            normalisation,
            fill: Fill::Mean,
        }
    }

    /// The same as effdet prepares pictures (`effdet/data/transforms.py`): Pillow's bilinear, the rest pixels
    /// of the mean colour.
    #[must_use]
    pub fn as_effdet(self) -> Self {
        Self { interpolation: Interpolation::Bilinear, fit: Fit::OneScale, fill: Fill::MeanByte, ..self }
    }

    /// The same as zylo117 prepares pictures (`utils/utils.py`): plain bilinear, the rest zeros.
    #[must_use]
    pub fn as_zylo117(self) -> Self {
        Self { interpolation: Interpolation::PlainBilinear, fit: Fit::ScalePerSide, fill: Fill::Mean, ..self }
    }

    /// The same with other statistics.
    #[must_use]
    pub fn with_normalisation(self, normalisation: Normalisation) -> Self {
        Self { normalisation, ..self }
    }
}
