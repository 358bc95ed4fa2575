//! What the networks are: variant tables, compound scaling and the graph builder.
//!
//! A network is data: [`Graph`] is the one description that the engine compiles, the trainer
//! differentiates, the loader checks a checkpoint against and the summary prints.

mod graph;
mod preprocessing;

pub use graph::{Activation, Conv, Extent, Graph, Node, NodeId, Op, Padding, ParamRole, ParamSpec};
pub use preprocessing::{Interpolation, Preprocessing};
