//! `effigy quantize`, and what it writes in use.

mod common;

use std::path::Path;

use common::{code, json, photo, run, stderr, stdout};
use tempfile::TempDir;

#[test]
fn a_quantised_file_classifies() {
    let folder = TempDir::new().unwrap();
    let photo = photo();
    let photo = photo.to_str().unwrap();
    let arguments = ["quantize", "--images", photo, "--out", "int8.safetensors", "--json"];
    // A small input, so that the test is quick.
    let output = run(folder.path(), &[&arguments[..], &["--size", "64"]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report = &json(&output)[0];
    assert_eq!(report["pictures"], 1);
    assert_eq!(report["nodes"].as_array().unwrap().len(), 50);
    assert!(report["error"].as_f64().unwrap() < 0.5, "{report}");

    let classify = ["classify", "--json", "--weights", "int8.safetensors", "--precision", "int8", photo];
    let output = run(folder.path(), &classify);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(json(&output)[0]["predictions"].as_array().unwrap().len(), 5);
    let bench = ["bench", "--weights", "int8.safetensors", "--precision", "int8", "--runs", "1", "--json"];
    assert_eq!(json(&run(folder.path(), &bench))[0]["precision"], "int8");
}

#[test]
fn ranges_and_pictures_are_needed() {
    let here = Path::new(".");
    let photo = photo();
    let output = run(here, &["classify", "--precision", "int8", photo.to_str().unwrap()]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("effigy quantize"), "{}", stderr(&output));
    assert!(stdout(&output).is_empty());
    let folder = TempDir::new().unwrap();
    let empty = folder.path().to_str().unwrap();
    let output = run(folder.path(), &["quantize", "--images", empty, "--out", "x.safetensors"]);
    assert_eq!(code(&output), 2);
    assert!(!folder.path().join("x.safetensors").exists());
}
