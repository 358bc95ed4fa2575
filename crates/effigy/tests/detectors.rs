//! Detectors against effdet's and zylo117's own code: the goldens of `scripts/parity/make_detector_goldens.py`.
//!
//! Weights and pictures are made from a seed, here as in `scripts/parity/generator.py`, which says how. The
//! first picture of every golden is also run with inner maps tapped, so that a failure tells where it starts;
//! untapped runs are fused as in real use.

mod generator;

use std::collections::HashMap;
use std::path::Path;

use effigy_arch::{AnchorBox, EfficientDet, Graph};
use effigy_engine::{Model, Options};
use effigy_tensor::Tensor;
use generator::{Fingerprint, Statistics, TOLERANCE, difference, parameter, sampled, uniform};
use serde::Deserialize;

/// One detector's golden.
#[derive(Deserialize)]
struct Golden {
    model: String,
    classes: usize,
    /// Mean and deviation of every BatchNorm, by its name.
    statistics: HashMap<String, Statistics>,
    cases: Vec<Case>,
}

/// What the reference computed for one input.
#[derive(Deserialize)]
struct Case {
    batch: usize,
    height: usize,
    width: usize,
    /// Inner maps, where there are any, in the order of execution; then the graph's outputs.
    tensors: Vec<Fingerprint>,
    anchors: SomeAnchors,
}

#[derive(Deserialize)]
struct SomeAnchors {
    count: usize,
    /// y1, x1, y2, x2 of the sampled ones.
    boxes: Vec<[f32; 4]>,
}

/// 64 bits of a text (Fowler, Noll, Vo).
fn fnv1a(text: &str) -> u64 {
    let step = |value: u64, byte: u8| (value ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The generator's parameters for `graph`; of the heads' last convolutions a quarter.
fn weights(graph: &Graph, statistics: &HashMap<String, Statistics>) -> HashMap<String, Tensor> {
    let parameters = graph.param_specs().into_iter().map(|spec| {
        let owner = spec.name.rsplit_once('.').expect("a parameter belongs to a node").0;
        let of_norm = statistics.get(owner).copied();
        let mut values = parameter(fnv1a(&spec.name), spec.role, &spec.shape, of_norm);
        if spec.name.ends_with(".predict.pointwise.weight") {
            values.data_mut().iter_mut().for_each(|value| *value *= 0.25);
        }
        (spec.name, values)
    });
    parameters.collect()
}

/// The node or endpoint that a golden's name means: of a block, its last node.
fn watched(graph: &Graph, name: &str) -> String {
    if graph.find(name).is_some() {
        return name.to_owned();
    }
    let of_block = format!("{name}.");
    let last = graph.nodes.iter().rfind(|node| node.name.starts_with(&of_block));
    last.unwrap_or_else(|| panic!("no node for {name}")).name.clone()
}

/// Compares one golden; gives the outputs' largest difference, and notes everything that is too large.
fn compare(golden: &Golden, log: &mut Vec<String>) -> f64 {
    let detector = EfficientDet::from_name(&golden.model).expect("a golden's model is known");
    let detector = detector.with_classes(golden.classes);
    let graph = detector.graph();
    let weights = weights(&graph, &golden.statistics);
    let fused = Model::new(&graph, &weights, &Options::default()).expect("compiles");

    let mut worst = 0.0_f64;
    for case in &golden.cases {
        let Case { batch, height, width, tensors, anchors } = case;
        let mut judge = |expected: &Fingerprint, actual: &Tensor| {
            let share = difference(expected, actual);
            if share.is_nan() || share > TOLERANCE {
                let name = &expected.name;
                log.push(format!("{} {batch}×{height}×{width} {name}: {share:.1e}", golden.model));
            }
            share
        };
        let picture = uniform(0, &[*batch, *height, *width, 3], -2.0, 2.0);
        let (inner, outputs) = tensors.split_at(tensors.len() - graph.outputs.len());
        if !inner.is_empty() {
            let taps: Vec<String> = inner.iter().map(|tensor| watched(&graph, &tensor.name)).collect();
            let tapped =
                Model::new(&graph, &weights, &Options { taps, ..Options::default() }).expect("compiles");
            let results = tapped.run(&picture).expect("runs");
            for (expected, actual) in inner.iter().zip(&results[graph.outputs.len()..]) {
                judge(expected, actual);
            }
        }
        for (expected, actual) in outputs.iter().zip(&fused.run(&picture).expect("runs")) {
            worst = worst.max(judge(expected, actual));
        }
        compare_anchors(anchors, &detector.anchor_boxes(*height, *width));
    }
    worst
}

fn compare_anchors(expected: &SomeAnchors, actual: &[AnchorBox]) {
    assert_eq!(expected.count, actual.len());
    for (j, expected) in expected.boxes.iter().enumerate() {
        let AnchorBox { y1, x1, y2, x2 } = actual[sampled(j, actual.len())];
        assert_eq!(*expected, [y1, x1, y2, x2], "anchor {}", sampled(j, actual.len()));
    }
}

fn compare_all(names: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/detectors");
    let mut log = Vec::new();
    for name in names {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).expect("readable");
        let golden = serde_json::from_str(&text).expect("a golden");
        println!("{name}: {:.1e} of the range at most", compare(&golden, &mut log));
    }
    assert!(log.is_empty(), "differ by more than {TOLERANCE:e} of the range:\n{}", log.join("\n"));
}

#[test]
fn ported_detectors_equal_effdet() {
    compare_all(&["tf_efficientdet_d0", "tf_efficientdet_d1", "tf_efficientdet_lite0"]);
}

#[test]
fn six_levels_equal_effdet() {
    compare_all(&["tf_efficientdet_d7x"]);
}

#[test]
fn native_detectors_equal_effdet() {
    compare_all(&["efficientdet_d0"]);
}

#[test]
fn detectors_equal_zylo117() {
    compare_all(&["zylo117_efficientdet-d0", "zylo117_efficientdet-d3", "zylo117_efficientdet-d7"]);
}
