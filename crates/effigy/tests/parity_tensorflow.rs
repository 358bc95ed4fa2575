//! effigy against TensorFlow's own code, through the checkpoints that it saved.
//!
//! `EFFIGY_TENSORFLOW` is a folder that `scripts/parity/make_tensorflow.py` made: in each of its folders
//! are a checkpoint and `expected.safetensors` with what TensorFlow computed, from averaged and from raw
//! weights.

use std::env;
use std::path::Path;

use effigy_engine::{Model, Options};
use effigy_tensor::Tensor;
use effigy_weights::{Family, LoadOptions, StateDict};

/// The largest difference allowed, as a share of the largest value.
const TOLERANCE: f32 = 1e-4;

#[test]
fn checkpoints_compute_what_tensorflow_computes() {
    let Ok(folder) = env::var("EFFIGY_TENSORFLOW") else {
        println!("skipped: set EFFIGY_TENSORFLOW to a folder that scripts/parity/make_tensorflow.py made");
        return;
    };
    let entries =
        std::fs::read_dir(folder).expect("is a folder").map(|entry| entry.expect("is readable").path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    let worst: Vec<f32> =
        folders.iter().flat_map(|folder| [false, true].map(|raw| compare(folder, raw))).collect();
    assert!(!worst.is_empty(), "no checkpoints");
    assert!(worst.iter().all(|&worst| worst <= TOLERANCE), "differ by more than {TOLERANCE:e}");
}

/// The largest difference of any output; NaN where anything is NaN.
fn compare(folder: &Path, raw: bool) -> f32 {
    let name = folder.file_name().expect("has a name").to_string_lossy();
    let options = LoadOptions { raw, ..LoadOptions::default() };
    let loaded = effigy_weights::load(folder, &options).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.family, Family::TensorFlow);
    assert_eq!(loaded.network.name(), name.to_lowercase());
    let expected = effigy_weights::read(&folder.join("expected.safetensors")).expect("reads");
    let (graph, weights) = (loaded.network.graph(), loaded.weights.to_tensors());
    let model = Model::new(&graph, &weights, &Options::default()).expect("compiles");
    let results = model.run(&tensor(&expected, "input")).expect("runs");
    let kind = if raw { "raw" } else { "averaged" };
    let mut worst = 0.0_f32;
    for (k, result) in results.iter().enumerate() {
        let share = difference(&tensor(&expected, &format!("{kind}.{k}")), result);
        worst = if share > worst || share.is_nan() { share } else { worst };
    }
    println!("{name} {kind}: {} outputs differ by {worst:.1e} of their largest value at most", results.len());
    worst
}

fn tensor(file: &StateDict, name: &str) -> Tensor {
    let entry = file.get(name).unwrap_or_else(|| panic!("no {name}"));
    Tensor::new(entry.tensor().shape(), entry.values().into_owned()).expect("one value per element")
}

fn difference(expected: &Tensor, actual: &Tensor) -> f32 {
    assert_eq!(expected.data().len(), actual.data().len(), "{:?}", expected.shape());
    let largest = expected.data().iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
    let differences = expected.data().iter().zip(actual.data()).map(|(e, a)| (e - a).abs());
    differences.fold(0.0_f32, |worst, d| if d > worst || d.is_nan() { d } else { worst }) / largest
}
