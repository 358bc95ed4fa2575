//! What can go wrong between a graph and its results.

use crate::precision::Precision;

/// Why a model could not be built or run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EngineError {
    /// A parameter that the graph needs was not given.
    #[error("node {node}: parameter {name} is missing")]
    MissingParameter {
        /// The node that needs it.
        node: String,
        /// The parameter.
        name: String,
    },
    /// A parameter has another number of values than its shape says.
    #[error("node {node}: parameter {name} has {actual} values, but shape {shape:?} needs {expected}")]
    ParameterLength {
        /// The node that needs it.
        node: String,
        /// The parameter.
        name: String,
        /// The shape that the graph gives it.
        shape: Vec<usize>,
        /// The product of `shape`.
        expected: usize,
        /// How many values there are.
        actual: usize,
    },
    /// A convolution in groups that is not depthwise.
    #[error("node {node}: convolutions in {groups} groups are not supported (1, or one per channel, are)")]
    Groups {
        /// The convolution.
        node: String,
        /// Its groups.
        groups: usize,
    },
    /// A tap names no node and no endpoint.
    #[error("no node or endpoint is called {0:?}; `effigy summary` lists them")]
    UnknownTap(String),
    /// The network cannot be run in this precision here.
    #[error("{precision} is not to be had: {reason}")]
    Precision {
        /// What was asked for.
        precision: Precision,
        /// What is missing, and what to do.
        reason: &'static str,
    },
    /// The range of a value is not known, or is none.
    #[error("node {node}: no range of its values is known; `effigy quantize` measures them")]
    Range {
        /// The node.
        node: String,
    },
    /// The input is not a batch of pictures with the right number of channels.
    #[error("the input has shape {actual:?}, but the network reads [N, H, W, {channels}], all at least 1")]
    InputShape {
        /// The shape given.
        actual: Vec<usize>,
        /// The channels that the network reads.
        channels: usize,
    },
    /// There are not as many 8-bit samples as the shape says, or they are normalised for other channels.
    #[error("pixels of shape {shape:?} are {} samples, not {samples}, and are normalised by channel, not {channels}", shape.iter().product::<usize>())]
    Pixels {
        /// N, H, W and C.
        shape: [usize; 4],
        /// How many samples there are.
        samples: usize,
        /// The channels of the normalisation.
        channels: usize,
    },
}
