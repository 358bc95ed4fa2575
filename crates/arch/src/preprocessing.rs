//! How a picture becomes a network's input.

/// How pixels between pixels are computed; both filters are antialiased when shrinking, as Pillow's are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Triangle filter, support 1.
    Bilinear,
    /// Keys' cubic with a = −0.5, support 2.
    Bicubic,
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

impl Preprocessing {
    /// ImageNet's mean, R G B, on values in 0..1.
    pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
    /// ImageNet's standard deviation, R G B, on values in 0..1.
    pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];
}
