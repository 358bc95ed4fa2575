//! What is measured about a network's values before it computes with 8-bit integers.

use std::collections::{BTreeMap, BTreeSet};

/// Between which bounds the values of each node lie, and which nodes stay in floats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quantisation {
    /// Lowest and highest value of a node's output, by its name. Values beyond are cut off.
    pub ranges: BTreeMap<String, [f32; 2]>,
    /// Convolutions that are left in 32-bit floats, by the name of the value that they compute together with
    /// what is fused into them.
    pub floats: BTreeSet<String>,
}
