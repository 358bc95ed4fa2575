//! BatchNorm and the activation behind it: two passes over memory each way.

mod backward;
mod forward;
mod statistics;

pub use backward::{Factors, GradientSums, Incoming};
pub use forward::{Normalised, batch_norm};
pub use statistics::{Statistics, batch_statistics};

/// What a batch is normalised by, per channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Mean.
    pub mean: Vec<f32>,
    /// Variance, divided by the number of pixels.
    pub variance: Vec<f32>,
    /// `weight / √(variance + epsilon)`.
    pub scale: Vec<f32>,
    /// `bias − mean · scale`.
    pub shift: Vec<f32>,
    /// `1 / √(variance + epsilon)`.
    pub inverse: Vec<f32>,
}

impl Batch {
    /// What normalises by these statistics.
    ///
    /// # Panics
    /// When lengths differ.
    #[must_use]
    pub fn new(mean: &[f32], variance: &[f32], epsilon: f32, weight: &[f32], bias: &[f32]) -> Self {
        let channels = mean.len();
        assert!([variance, weight, bias].iter().all(|v| v.len() == channels), "one value per channel");
        let inverse: Vec<f32> =
            variance.iter().map(|v| (1.0 / (f64::from(*v) + f64::from(epsilon)).sqrt()) as f32).collect();
        let scale: Vec<f32> = weight.iter().zip(&inverse).map(|(weight, inverse)| weight * inverse).collect();
        let shift =
            bias.iter().zip(mean).zip(&scale).map(|((bias, mean), scale)| bias - mean * scale).collect();
        Self { mean: mean.to_vec(), variance: variance.to_vec(), scale, shift, inverse }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
