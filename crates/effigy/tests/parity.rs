//! effigy against PyTorch: the goldens that `scripts/parity/make_goldens.py` writes.
//!
//! Weights and pictures are made from a seed, here as in `scripts/parity/generator.py`, which says how.
//! Block outputs are tapped in a run of their own, so that the untapped one is fused as in real use.

mod generator;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use effigy_arch::{EfficientNet, Graph, Op, ParamSpec};
use effigy_engine::{Model, Options};
use effigy_tensor::Tensor;
use generator::{Fingerprint, Statistics, TOLERANCE, bits, difference, parameter, uniform, watched};
use serde::Deserialize;

/// One network's golden.
#[derive(Deserialize)]
struct Golden {
    model: String,
    classes: usize,
    in_channels: usize,
    /// Mean and deviation of every BatchNorm, in the graph's order.
    statistics: Vec<Statistics>,
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

/// The generator's parameters for `graph`.
fn weights(graph: &Graph, statistics: &[Statistics]) -> HashMap<String, Tensor> {
    let mut statistics = statistics.iter();
    let mut weights = HashMap::new();
    let mut stream = 0;
    for node in &graph.nodes {
        let normalises = matches!(node.op, Op::BatchNorm { .. });
        let of_node = normalises.then(|| *statistics.next().expect("statistics of every BatchNorm"));
        for ParamSpec { name, role, shape } in node.param_specs() {
            stream += 1;
            weights.insert(name, parameter(stream, role, &shape, of_node));
        }
    }
    assert!(statistics.next().is_none(), "more statistics than BatchNorms");
    weights
}

fn compare(golden: &Golden, log: &mut Vec<String>) -> f64 {
    let network = EfficientNet::from_name(&golden.model).expect("a golden's model is known");
    let graph = network.with_classes(golden.classes).with_in_channels(golden.in_channels).graph();
    let weights = weights(&graph, &golden.statistics);
    let names = golden.cases[0].tensors.iter().map(|t| t.name.as_str()).filter(|&name| name != "logits");
    let taps = names.map(|name| watched(&graph, name).to_owned()).collect();
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
    paths.retain(|path| path.is_file() && choose(&path.file_stem().expect("a name").to_string_lossy()));
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
