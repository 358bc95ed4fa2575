//! What the networks are: variant tables, compound scaling and the graph builder.
//!
//! A network is data: [`Graph`] is the one description that the engine compiles, the trainer
//! differentiates, the loader checks a checkpoint against and the summary prints.

mod builder;
mod efficientnet;
mod graph;
mod names;
mod preprocessing;
mod stages;
mod table;

pub use efficientnet::{Block, BlockKind, Convention, EfficientNet, Family, Top};
pub use graph::{Activation, Conv, Extent, Graph, Node, NodeId, Op, Padding, ParamRole, ParamSpec};
pub use names::UnknownModel;
pub use preprocessing::{Interpolation, Normalisation, Preprocessing};
pub use table::{Published, Variant, variants};
