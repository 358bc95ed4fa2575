//! Made-up parameters, for measuring speed: values of the size that trained ones have, so that nothing
//! overflows or becomes denormal.

use std::borrow::Cow;
use std::collections::HashMap;

use effigy::arch::{Graph, ParamRole, ParamSpec};
use effigy::engine::Parameters;

/// Parameters for every node of a graph, the same in every run.
pub(crate) struct Untrained(HashMap<String, ParamSpec>);

impl Untrained {
    pub(crate) fn new(graph: &Graph) -> Self {
        Self(graph.param_specs().into_iter().map(|spec| (spec.name.clone(), spec)).collect())
    }
}

impl Parameters for Untrained {
    fn parameter(&self, name: &str) -> Option<Cow<'_, [f32]>> {
        let ParamSpec { role, shape, .. } = self.0.get(name)?;
        let count = shape.iter().product();
        let values = match (role, &shape[..]) {
            // He's initialisation keeps the variance from layer to layer (arXiv 1502.01852).
            (ParamRole::Weight, [_, rest @ ..]) if !rest.is_empty() => {
                let fan_in: usize = rest.iter().product();
                let bound = (6.0 / fan_in as f32).sqrt();
                (0..count).map(|i| bound * noise(i)).collect()
            }
            (ParamRole::Weight | ParamRole::RunningVar, _) => vec![1.0; count],
            (ParamRole::Bias | ParamRole::RunningMean, _) => vec![0.0; count],
        };
        Some(Cow::Owned(values))
    }
}

/// The i-th value of a sequence that looks random, in −1..1.
fn noise(i: usize) -> f32 {
    let mixed = (i as u32 ^ 0x9e37_79b9).wrapping_mul(2_654_435_761);
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(2_246_822_519);
    (mixed >> 8) as f32 / (1 << 23) as f32 - 1.0
}
