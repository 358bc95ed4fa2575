//! Metrics: how good a network's answers are.

mod accuracy;
mod ranking;

pub use accuracy::Accuracy;
pub use ranking::{softmax, top_k};
