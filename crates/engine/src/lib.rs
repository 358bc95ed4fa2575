//! Inference: a graph and its parameters become a fast model.
//!
//! 1. [`program`] lowers the graph to units, one per node.
//! 2. [`passes`] fuse units; one fusion per file.
//! 3. [`model`] packs the weights for the processor, once.
//! 4. [`plan`] lays out the memory for one input shape, once per shape.
//! 5. [`run`] executes the plan.

mod calibration;
mod error;
mod input;
mod model;
mod pack;
mod passes;
mod plan;
mod precision;
mod program;
mod quantised;
mod run;
mod separable;

pub use calibration::Calibration;
pub use effigy_kernels::Isa;
pub use error::EngineError;
pub use input::{Input, PixelNormalisation};
pub use model::{Model, NodeTime, Options, Parameters};
pub use precision::{Precision, UnknownPrecision};
pub use run::Value;
