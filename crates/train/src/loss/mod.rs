//! Losses: how far a network's outputs are from what they should be, and the gradient.

mod cross_entropy;
mod detection;
mod focal;
mod huber;
mod matching;

pub use cross_entropy::CrossEntropy;
pub use detection::{DetectionLoss, DetectionLossValue, LossRecipe, Normaliser};
pub use huber::{BoxLoss, huber, smooth_l1};
pub use matching::{Assignment, Match, Matcher, Matching, TargetBox};
