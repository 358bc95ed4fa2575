//! How pictures are varied for training.
//!
//! A recipe says what is drawn from which range; drawing takes a [`Random`](crate::Random) stream, so that a
//! picture of an epoch is varied in the same way whenever it is made. Every change is a function of its own.

mod bounds;
mod classification;
pub mod colour;
mod crop;
mod detection;
pub mod geometry;
mod jitter;
mod mix;
mod policy;

pub use bounds::{Recipe, RecipeError};
pub use classification::ClassificationRecipe;
pub use crop::Region;
pub use detection::{DetectionRecipe, Part};
pub use jitter::Jitter;
pub use mix::{cutmix, mixup};
pub use policy::{Operation, Policy};
