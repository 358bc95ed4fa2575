//! Detectors against effdet's and zylo117's own code on whole tensors, through a real .pth file.
//!
//! `scripts/parity/run.py` makes the files and calls this test once per detector. `EFFIGY_PARITY_DETECTOR`
//! is the detector's name, `EFFIGY_PARITY` a folder with `weights.pth` and `expected.safetensors`. That holds
//! `0.input` (and 1, 2), `0.anchors`, the outputs as `0.class.p3`, and `inner.NAME` for the inner maps of the
//! first input; `photo.detections` (`PixelBox`'s fields, score, class slot) of the photo beside the goldens,
//! `photo.size` (height and width of the network's input) and `photo.options` (score and IoU).

mod generator;
mod whole;

use std::env;
use std::path::Path;

use effigy::{Detection, Loader, PostProcessing};
use effigy_arch::{AnchorBox, Network};
use effigy_engine::{Model, Options};
use effigy_vision::Suppression;
use effigy_weights::{LoadOptions, StateDict, StoredTensor};
use generator::watched;
use whole::{TOLERANCE, difference, tensor};

/// How far a box's edge may be from the reference's, in pixels of the photo.
const PIXELS: f32 = 0.01;

#[test]
fn a_checkpoint_detects_what_its_own_code_detects() {
    let (Ok(folder), Ok(name)) = (env::var("EFFIGY_PARITY"), env::var("EFFIGY_PARITY_DETECTOR")) else {
        println!("skipped: scripts/parity/run.py sets EFFIGY_PARITY and EFFIGY_PARITY_DETECTOR");
        return;
    };
    let folder = Path::new(&folder);
    let weights = folder.join("weights.pth");
    let expected = effigy_weights::read(&folder.join("expected.safetensors")).expect("reads");
    compare_maps(&weights, &name, &expected);
    compare_photo(&weights, &name, &expected);
}

fn compare_maps(weights: &Path, name: &str, expected: &StateDict) {
    let options = LoadOptions { model: Some(name.to_owned()), ..LoadOptions::default() };
    let loaded = effigy_weights::load(weights, &options).expect("loads");
    let Network::EfficientDet(detector) = &loaded.network else { panic!("{name} is a detector") };
    let (graph, weights) = (detector.graph(), loaded.weights.to_tensors());
    let mut failures = Vec::new();
    let mut compare = |what: &str, share: f32| {
        if share.is_nan() || share > TOLERANCE {
            failures.push(format!("{what}: {share:.1e}"));
        }
        share
    };

    let model = Model::new(&graph, &weights, &Options::default()).expect("compiles");
    let mut outputs = 0.0_f32;
    for case in (0..3).filter(|case| expected.get(&format!("{case}.input")).is_some()) {
        let input = tensor(expected, &format!("{case}.input"));
        let heads =
            detector.levels().flat_map(|level| ["class", "box"].map(|head| format!("{head}.p{level}")));
        for (head, actual) in heads.zip(model.run(&input).expect("runs")) {
            let name = format!("{case}.{head}");
            outputs = outputs.max(compare(&name, difference(&tensor(expected, &name), &actual)));
        }
        let anchors = detector.anchor_boxes(input.shape()[1], input.shape()[2]);
        let corners = anchors.iter().flat_map(|&AnchorBox { y1, x1, y2, x2 }| [y1, x1, y2, x2]);
        assert_eq!(tensor(expected, &format!("{case}.anchors")).data(), corners.collect::<Vec<f32>>());
    }

    let names = expected.tensors().iter().map(StoredTensor::name);
    let names: Vec<&str> = names.filter_map(|name| name.strip_prefix("inner.")).collect();
    let taps = names.iter().map(|name| watched(&graph, name).to_owned()).collect();
    let model = Model::new(&graph, &weights, &Options { taps, ..Options::default() }).expect("compiles");
    let results = model.run(&tensor(expected, "0.input")).expect("runs");
    let mut inner = 0.0_f32;
    for (name, actual) in names.iter().zip(&results[graph.outputs.len()..]) {
        inner = inner.max(compare(name, difference(&tensor(expected, &format!("inner.{name}")), actual)));
    }
    let count = names.len();
    println!("outputs {outputs:.1e}, {count} inner maps {inner:.1e} of the range at most; anchors equal");
    assert!(failures.is_empty(), "differ by more than {TOLERANCE:e}:\n{}", failures.join("\n"));
}

fn compare_photo(weights: &Path, name: &str, expected: &StateDict) {
    let [size, options, expected] =
        ["size", "options", "detections"].map(|part| tensor(expected, &format!("photo.{part}")));
    let (&[height, width], &[score, iou]) = (size.data(), options.data()) else { panic!("two numbers each") };
    let preset = match name.starts_with("zylo117/") {
        true => PostProcessing::ZYLO117,
        false => PostProcessing::EFFDET,
    };
    let post_processing = PostProcessing { score, suppression: Suppression::Hard { iou }, ..preset };
    let loader = Loader::file(weights).model(name).size(height as usize, width as usize);
    let detector = loader.post_processing(post_processing).detector().expect("loads");
    let photo = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/detectors/chelsea.png");
    let found = detector.detect_file(photo).expect("detects");

    let (expected, _) = expected.data().as_chunks::<6>();
    assert_eq!(found.len(), expected.len());
    let mut moved = 0.0_f32;
    for (found, [x1, y1, x2, y2, score, class]) in found.iter().zip(expected) {
        let Detection { bounds, class_index, score: actual, .. } = found;
        assert_eq!(*class_index as f32, *class, "{found:?}");
        assert!((actual - score).abs() <= TOLERANCE, "{found:?}, not {score}");
        for (edge, expected) in [bounds.x1, bounds.y1, bounds.x2, bounds.y2].iter().zip([x1, y1, x2, y2]) {
            assert!((edge - expected).abs() <= PIXELS, "{found:?}, not {expected}");
            moved = moved.max((edge - expected).abs());
        }
    }
    println!("{} boxes on the photo, edges within {moved:.1e} pixels", found.len());
}
