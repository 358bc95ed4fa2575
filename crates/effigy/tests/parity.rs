//! effigy against PyTorch: the goldens that `scripts/parity/make_goldens.py` writes.
//!
//! Weights and pictures are made from a seed, here as in `scripts/parity/generator.py`, which says how.
//! Block outputs are tapped in a run of their own, so that the untapped one is fused as in real use.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use effigy_arch::{EfficientNet, Graph, Node, Op, ParamRole, ParamSpec};
use effigy_engine::{Model, Options};
use effigy_tensor::Tensor;
use serde::Deserialize;

/// The largest difference allowed, as a share of the tensor's range (maximum − minimum).
const TOLERANCE: f64 = 1e-4;
/// The generator's stream of sampled positions.
const SAMPLES: u64 = 1 << 32;

/// One network's golden.
#[derive(Deserialize)]
struct Golden {
    model: String,
    classes: usize,
    in_channels: usize,
    /// Mean and deviation of every BatchNorm, in the graph's order.
    statistics: Vec<(f64, f64)>,
    cases: Vec<Case>,
}

/// What PyTorch computed for one input.
#[derive(Deserialize)]
struct Case {
    batch: usize,
    height: usize,
    width: usize,
    tensors: Vec<Fingerprint>,
}

#[derive(Deserialize)]
struct Fingerprint {
    /// `blocks.3`: the block's output; `head.pool`; `logits`.
    name: String,
    min: f64,
    max: f64,
    values: Vec<f64>,
}

fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn bits(stream: u64, i: usize) -> u64 {
    mix(mix(stream).wrapping_add(i as u64))
}

fn uniform(stream: u64, shape: &[usize], low: f32, high: f32) -> Tensor {
    let unit = |i| (bits(stream, i) >> 40) as f32 / 16_777_216.0;
    let values = (0..shape.iter().product()).map(|i| low + (high - low) * unit(i)).collect();
    Tensor::new(shape, values).expect("one value per element")
}

/// The generator's parameters for `graph`.
fn weights(graph: &Graph, statistics: &[(f64, f64)]) -> HashMap<String, Tensor> {
    let mut statistics = statistics.iter();
    let mut weights = HashMap::new();
    let mut stream = 0;
    for node in &graph.nodes {
        let normalises = matches!(node.op, Op::BatchNorm { .. });
        let (mean, deviation) = match normalises {
            true => *statistics.next().expect("statistics of every BatchNorm"),
            false => (0.0, 1.0),
        };
        let (mean, deviation) = (mean as f32, deviation as f32);
        let variance = deviation * deviation;
        for ParamSpec { name, role, shape } in node.param_specs() {
            stream += 1;
            let fan_in: usize = shape[1..].iter().product();
            let bound = (6.0 / fan_in as f64).sqrt() as f32;
            let (low, high) = match role {
                ParamRole::Weight if normalises => (0.5, 1.5),
                ParamRole::Weight => (-bound, bound),
                ParamRole::Bias => (-0.5, 0.5),
                ParamRole::RunningMean => (mean - 0.5 * deviation, mean + 0.5 * deviation),
                ParamRole::RunningVar => (0.5 * variance, 1.5 * variance),
            };
            weights.insert(name, uniform(stream, &shape, low, high));
        }
    }
    assert!(statistics.next().is_none(), "more statistics than BatchNorms");
    weights
}

/// The node that a golden's name means.
fn watched<'g>(graph: &'g Graph, name: &str) -> &'g Node {
    let of_block = format!("{name}.");
    let found = graph.nodes.iter().rfind(|node| node.name == name || node.name.starts_with(&of_block));
    found.unwrap_or_else(|| panic!("no node for {name}"))
}

/// The largest difference at the sampled positions and at both ends, as a share of the range.
fn difference(expected: &Fingerprint, actual: &Tensor) -> f64 {
    let data = actual.data();
    let at = |j| f64::from(data[(bits(SAMPLES, j) % data.len() as u64) as usize]);
    let sampled = expected.values.iter().enumerate().map(|(j, value)| (value - at(j)).abs());
    let (min, max) = data.iter().fold((f32::MAX, f32::MIN), |(min, max), &v| (min.min(v), max.max(v)));
    let ends = [(expected.min - f64::from(min)).abs(), (expected.max - f64::from(max)).abs()];
    // A NaN must not be lost in a maximum.
    let worst = sampled.chain(ends).fold(0.0, |worst, d| if d > worst || d.is_nan() { d } else { worst });
    worst / (expected.max - expected.min)
}

fn compare(golden: &Golden, log: &mut Vec<String>) -> f64 {
    let network = EfficientNet::from_name(&golden.model).expect("a golden's model is known");
    let graph = network.with_classes(golden.classes).with_in_channels(golden.in_channels).graph();
    let weights = weights(&graph, &golden.statistics);
    let names = golden.cases[0].tensors.iter().map(|t| t.name.as_str()).filter(|&name| name != "logits");
    let taps = names.map(|name| watched(&graph, name).name.clone()).collect();
    let tapped = Model::new(&graph, &weights, &Options { taps, ..Options::default() }).expect("compiles");
    let fused = Model::new(&graph, &weights, &Options::default()).expect("compiles");

    let mut worst = 0.0_f64;
    for case in &golden.cases {
        let Case { batch, height, width, tensors } = case;
        let picture = uniform(0, &[*batch, *height, *width, golden.in_channels], -2.0, 2.0);
        let (logits, blocks) = tensors.split_last().expect("a golden ends with its logits");
        let results = tapped.run(&picture).expect("runs");
        let untapped = fused.run(&picture).expect("runs");
        assert_eq!(results.len(), tensors.len());
        let pairs = blocks.iter().zip(&results[1..]);
        let pairs = pairs.chain([(logits, &results[0]), (logits, &untapped[0])]);
        for (expected, actual) in pairs {
            let share = difference(expected, actual);
            worst = worst.max(share);
            if share.is_nan() || share > TOLERANCE {
                let name = &expected.name;
                log.push(format!("{} {batch}×{height}×{width} {name}: {share:.1e}", golden.model));
            }
        }
    }
    worst
}

fn read(path: &Path) -> Golden {
    let text = std::fs::read_to_string(path).expect("readable");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares the goldens whose file names `choose` takes.
fn compare_all(choose: impl Fn(&str) -> bool, count: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let files = std::fs::read_dir(&folder).expect("the goldens are in the repository");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("readable").path()).collect();
    paths.retain(|path| choose(&path.file_stem().expect("a name").to_string_lossy()));
    paths.sort();
    assert_eq!(paths.len(), count, "goldens in {}", folder.display());
    let mut log = Vec::new();
    for path in &paths {
        let worst = compare(&read(path), &mut log);
        println!("{}: {worst:.1e} of the range at most", path.file_stem().expect("a name").display());
    }
    assert!(log.is_empty(), "differ by more than {TOLERANCE:e} of the range:\n{}", log.join("\n"));
}

fn is_large(name: &str) -> bool {
    matches!(name, "efficientnet-b4" | "efficientnet-b5" | "efficientnet-b6" | "efficientnet-b7")
}

#[test]
fn small_networks_equal_pytorch() {
    compare_all(|name| !is_large(name), 14);
}

#[test]
fn large_networks_equal_pytorch() {
    compare_all(is_large, 4);
}

#[test]
fn the_generator_is_pythons() {
    // python -c "import generator; print(generator.bits(7, 2), generator.uniform(1, (2,), -0.5, 0.5))"
    assert_eq!([bits(7, 0), bits(7, 1)], [13_309_476_754_707_697_221, 2_875_738_036_014_693_257]);
    assert_eq!(uniform(1, &[2], -0.5, 0.5).data(), [-0.131_810_49, 0.026_717_96]);
}
