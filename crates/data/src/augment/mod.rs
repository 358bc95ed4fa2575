//! How pictures are varied for training.
//!
//! A recipe says what is drawn from which range; drawing takes a [`Random`](crate::Random) stream, so that a
//! picture of an epoch is varied in the same way whenever it is made.

mod classification;
mod crop;
mod detection;

pub use classification::ClassificationRecipe;
pub use crop::Region;
pub use detection::{DetectionRecipe, Part};
