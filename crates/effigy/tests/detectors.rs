//! Detectors against effdet's and zylo117's own code: the goldens of `scripts/parity/make_detector_goldens.py`.
//!
//! Weights and pictures are made from a seed, here as in `scripts/parity/generator.py`, which says how. The
//! first picture of every golden is also run with inner maps tapped, so that a failure tells where it starts;
//! untapped runs are fused as in real use.

mod generator;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use effigy_arch::{AnchorBox, EfficientDet, Graph};
use effigy_engine::{Model, Options};
use effigy_tensor::Tensor;
use effigy_vision::{
    Level, Limits, PostProcessing, ScoredBox, Suppression, decode_file, detections, letterbox,
};
use generator::{Fingerprint, Statistics, TOLERANCE, difference, parameter, sampled, uniform, watched};
use serde::Deserialize;

/// How far a box's edge may be from the reference's, in pixels of the photo.
const PIXELS: f64 = 0.01;
/// How far a score may be.
const SCORE: f64 = 1e-4;

/// One detector's golden.
#[derive(Deserialize)]
struct Golden {
    model: String,
    classes: usize,
    /// Mean and deviation of every BatchNorm, by its name.
    statistics: HashMap<String, Statistics>,
    cases: Vec<Case>,
    photo: Photo,
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
    /// Of the sampled ones, in the order of [`AnchorBox`]'s fields.
    boxes: Vec<[f32; 4]>,
}

/// What the reference found on `chelsea.png` with its own preparation and post-processing.
#[derive(Deserialize)]
struct Photo {
    /// Of the network's input.
    height: usize,
    width: usize,
    score: f32,
    iou: f32,
    /// Corners in the order of [`PixelBox`]'s fields, score, class slot; the best first.
    detections: Vec<[f64; 6]>,
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

/// A golden's detector with its parameters.
fn build(golden: &Golden) -> (EfficientDet, Graph, HashMap<String, Tensor>) {
    let detector = EfficientDet::from_name(&golden.model).expect("a golden's model is known");
    let detector = detector.with_classes(golden.classes);
    let graph = detector.graph();
    let weights = weights(&graph, &golden.statistics);
    (detector, graph, weights)
}

/// Compares every case; gives the outputs' largest difference, and notes everything that is too large.
fn compare(golden: &Golden, log: &mut Vec<String>) -> f64 {
    let (detector, graph, weights) = build(golden);
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
            let taps: Vec<String> =
                inner.iter().map(|tensor| watched(&graph, &tensor.name).to_owned()).collect();
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

/// What our own preparation, network and post-processing find on the photo, and what the reference found.
fn compare_photo(golden: &Golden) {
    let (detector, graph, weights) = build(golden);
    let Photo { height, width, score, iou, .. } = golden.photo;
    let detector = detector.with_size(height, width);
    let photo = decode_file(folder().join("chelsea.png"), &Limits::default())
        .expect("the photo is in the repository");
    let (input, placement) = letterbox(&photo, &detector.letterbox);
    let input = Tensor::new(&[1, height, width, 3], input).expect("a letterboxed picture");
    let model = Model::new(&graph, &weights, &Options::default()).expect("compiles");
    let outputs = model.run(&input).expect("runs");
    let (pairs, _) = outputs.as_chunks::<2>();
    let levels: Vec<Level<'_>> = pairs
        .iter()
        .map(|[class, offsets]| Level { class_logits: class.data(), box_offsets: offsets.data() })
        .collect();
    let preset = match golden.model.starts_with("zylo117/") {
        true => PostProcessing::ZYLO117,
        false => PostProcessing::EFFDET,
    };
    let options = PostProcessing { score, suppression: Suppression::Hard { iou }, ..preset };
    let anchors = detector.anchor_boxes(height, width);
    let found = detections(&levels, &anchors, detector.classes, &placement, &options).expect("finite");

    assert_eq!(found.len(), golden.photo.detections.len(), "{}", golden.model);
    let (mut moved, mut changed) = (0.0_f64, 0.0_f64);
    for (place, (found, expected)) in found.iter().zip(&golden.photo.detections).enumerate() {
        let ScoredBox { bounds, class_index, score } = *found;
        let [x1, y1, x2, y2, expected_score, class] = *expected;
        let edges = [bounds.x1, bounds.y1, bounds.x2, bounds.y2].map(f64::from);
        let moves = edges.iter().zip([x1, y1, x2, y2]).map(|(edge, expected)| (edge - expected).abs());
        let change = (f64::from(score) - expected_score).abs();
        let worst = moves.fold(0.0, f64::max);
        let same = class_index as f64 == class && worst <= PIXELS && change <= SCORE;
        assert!(same, "{}, detection {place}: {found:?}, not {expected:?}", golden.model);
        (moved, changed) = (moved.max(worst), changed.max(change));
    }
    let count = found.len();
    println!("{}: {count} on the photo, edges within {moved:.1e} pixels, scores {changed:.1e}", golden.model);
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/detectors")
}

fn read(name: &str) -> Golden {
    let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).expect("readable");
    serde_json::from_str(&text).expect("a golden")
}

fn compare_all(names: &[&str]) {
    let mut log = Vec::new();
    for name in names {
        println!("{name}: {:.1e} of the range at most", compare(&read(name), &mut log));
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

#[test]
fn effdet_finds_the_same_on_a_photo() {
    let names = ["tf_efficientdet_d0", "tf_efficientdet_d1", "tf_efficientdet_d7x"];
    for name in names.into_iter().chain(["tf_efficientdet_lite0", "efficientdet_d0"]) {
        compare_photo(&read(name));
    }
}

#[test]
fn zylo117_finds_the_same_on_a_photo() {
    for name in ["zylo117_efficientdet-d0", "zylo117_efficientdet-d3", "zylo117_efficientdet-d7"] {
        compare_photo(&read(name));
    }
}
