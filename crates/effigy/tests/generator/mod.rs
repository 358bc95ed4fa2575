//! Weights and pictures made from a seed, as `scripts/parity/generator.py` makes them, and what is left of
//! a tensor in a golden.

// Every test takes what it needs.
#![allow(dead_code)]

use effigy_arch::{Graph, ParamRole};
use effigy_tensor::Tensor;
use serde::Deserialize;

/// The largest difference allowed, as a share of the tensor's range (maximum − minimum).
pub(crate) const TOLERANCE: f64 = 1e-4;
/// The generator's stream of sampled positions.
const SAMPLES: u64 = 1 << 32;

/// A tensor in a golden.
#[derive(Deserialize)]
pub(crate) struct Fingerprint {
    /// A node or an endpoint: `blocks.3` (the block's output), `head.pool`, `logits`, `class.p3`.
    pub(crate) name: String,
    min: f64,
    max: f64,
    values: Vec<f64>,
}

/// Mean and deviation of what a BatchNorm reads.
pub(crate) type Statistics = (f64, f64);

fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(crate) fn bits(stream: u64, i: usize) -> u64 {
    mix(mix(stream).wrapping_add(i as u64))
}

/// Where sample `j` of `len` things is taken.
pub(crate) fn sampled(j: usize, len: usize) -> usize {
    (bits(SAMPLES, j) % len as u64) as usize
}

pub(crate) fn uniform(stream: u64, shape: &[usize], low: f32, high: f32) -> Tensor {
    let unit = |i| (bits(stream, i) >> 40) as f32 / 16_777_216.0;
    let values = (0..shape.iter().product()).map(|i| low + (high - low) * unit(i)).collect();
    Tensor::new(shape, values).expect("one value per element")
}

/// The generator's parameter of a role; `statistics` are those of the BatchNorm that it belongs to.
pub(crate) fn parameter(
    stream: u64,
    role: ParamRole,
    shape: &[usize],
    statistics: Option<Statistics>,
) -> Tensor {
    let (mean, deviation) = statistics.unwrap_or((0.0, 1.0));
    let (mean, deviation) = (mean as f32, deviation as f32);
    let variance = deviation * deviation;
    let fan_in: usize = shape[1..].iter().product();
    let bound = (6.0 / fan_in as f64).sqrt() as f32;
    let (low, high) = match role {
        ParamRole::Weight if statistics.is_some() => (0.5, 1.5),
        ParamRole::Weight if shape.len() == 1 => (-0.25, 1.75),
        ParamRole::Weight => (-bound, bound),
        ParamRole::Bias => (-0.5, 0.5),
        ParamRole::RunningMean => (mean - 0.5 * deviation, mean + 0.5 * deviation),
        ParamRole::RunningVar => (0.5 * variance, 1.5 * variance),
    };
    uniform(stream, shape, low, high)
}

/// The largest difference at the sampled positions and at both ends, as a share of the range.
pub(crate) fn difference(expected: &Fingerprint, actual: &Tensor) -> f64 {
    let data = actual.data();
    let at = |j| f64::from(data[sampled(j, data.len())]);
    let samples = expected.values.iter().enumerate().map(|(j, value)| (value - at(j)).abs());
    let (min, max) = data.iter().fold((f32::MAX, f32::MIN), |(min, max), &v| (min.min(v), max.max(v)));
    let ends = [(expected.min - f64::from(min)).abs(), (expected.max - f64::from(max)).abs()];
    // A NaN must not be lost in a maximum.
    let worst = samples.chain(ends).fold(0.0, |worst, d| if d > worst || d.is_nan() { d } else { worst });
    worst / (expected.max - expected.min)
}

/// The node that a golden's name means: the endpoint or node of that name, or the last node of that block.
pub(crate) fn watched<'g>(graph: &'g Graph, name: &'g str) -> &'g str {
    if graph.find(name).is_some() {
        return name;
    }
    let of_block = format!("{name}.");
    let last = graph.nodes.iter().rfind(|node| node.name.starts_with(&of_block));
    &last.unwrap_or_else(|| panic!("no node for {name}")).name
}
