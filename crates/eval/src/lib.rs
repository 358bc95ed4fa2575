//! Metrics: how good a network's answers are.
//!
//! ```text
//! Accuracy     top-1 and top-5 of a classifier
//! CocoAp       COCO's twelve figures of a detector, overall and per class
//! ```

mod accuracy;
mod coco;
mod curve;
mod matching;
mod ranking;

pub use accuracy::Accuracy;
pub use coco::{CocoAp, CocoFigures, CocoReport};
pub use matching::{ScoredBox, TrueBox};
pub use ranking::{softmax, top_k};
