//! `effigy eval` of detectors.

mod common;

use std::fs;

use common::{code, json, photo, run, stderr, stdout, write_detector};
use serde_json::json as value;
use tempfile::TempDir;

/// COCO's JSON of two photos with three objects of two classes.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("images")).unwrap();
    for name in ["a.jpg", "b.jpg"] {
        fs::copy(photo(), folder.path().join("images").join(name)).unwrap();
    }
    let object = |id: u64, image: u64, category: u64, bbox: [f64; 4]| value!({"id": id, "image_id": image, "category_id": category, "bbox": bbox, "area": bbox[2] * bbox[3]});
    let data = value!({
        "images": [{"id": 7, "file_name": "a.jpg", "width": 451, "height": 300},
                   {"id": 9, "file_name": "b.jpg", "width": 451, "height": 300}],
        "annotations": [object(1, 7, 4, [10.0, 10.0, 200.0, 150.0]), object(2, 7, 5, [250.0, 50.0, 40.0, 40.0]),
                        object(3, 9, 4, [100.0, 60.0, 120.0, 90.0])],
        "categories": [{"id": 4, "name": "c"}, {"id": 5, "name": "a"}],
    });
    fs::write(folder.path().join("data.json"), data.to_string()).unwrap();
    folder
}

#[test]
fn results_of_a_file_are_judged_without_a_network() {
    let folder = folder();
    let found = value!([
        {"image_id": 7, "category_id": 4, "bbox": [10.0, 10.0, 200.0, 150.0], "score": 0.9},
        {"image_id": 9, "category_id": 4, "bbox": [100.0, 60.0, 120.0, 90.0], "score": 0.8},
    ]);
    fs::write(folder.path().join("found.json"), found.to_string()).unwrap();
    let arguments = ["eval", "data.json", "--images", "images", "--detections", "found.json"];
    let output = run(folder.path(), &[&arguments[..], &["--json"]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let figures = &json(&output)[0];
    // One class is found whole, the other not at all.
    assert_eq!((figures["ap"].as_f64(), figures["ap50"].as_f64()), (Some(0.5), Some(0.5)));
    assert_eq!((&figures["images"], figures["ap_small"].as_f64()), (&2.into(), None));
    assert_eq!(
        (&figures["per_class"][0]["name"], &figures["per_class"][0]["ap"]),
        (&"c".into(), &1.0.into())
    );
    let text = stdout(&run(folder.path(), &[&arguments[..], &["--per-class"]].concat()));
    assert!(text.contains(" 50.0 %  AP    IoU 0.50:0.95") && text.contains("100.0"), "{text}");
}

#[test]
fn what_a_network_finds_is_judged_and_written() {
    let folder = folder();
    write_detector(&folder.path().join("d.safetensors"), 0.0);
    let arguments = ["eval", "data.json", "--images", "images", "--json"];
    let output = run(
        folder.path(),
        &[&arguments[..], &["--weights", "d.safetensors", "--results", "found.json"]].concat(),
    );
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("matched by name"), "{}", stderr(&output));
    let found: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("found.json")).unwrap()).unwrap();
    let found = found.as_array().unwrap();
    assert!(!found.is_empty());
    assert!(found.iter().all(|found| [4, 5].contains(&found["category_id"].as_u64().unwrap())));
    let again = run(folder.path(), &[&arguments[..], &["--detections", "found.json"]].concat());
    assert_eq!(stdout(&again), stdout(&output));
}

#[test]
fn classes_that_do_not_fit_and_missing_pictures_are_told() {
    let folder = folder();
    write_detector(&folder.path().join("d.safetensors"), 0.0);
    let eval = |more: &[&str]| {
        let arguments = ["eval", "data.json", "--weights", "d.safetensors", "--json"];
        run(folder.path(), &[&arguments[..], more].concat())
    };
    assert_eq!(code(&eval(&[])), 2, "no --images");
    fs::write(folder.path().join("other.txt"), "x\ny\nz\n").unwrap();
    let output = eval(&["--images", "images", "--labels", "other.txt"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("c, a") && stderr(&output).contains("x, y, z"), "{}", stderr(&output));
    fs::remove_file(folder.path().join("images/b.jpg")).unwrap();
    let output = eval(&["--images", "images"]);
    assert_eq!((code(&output), &json(&output)[0]["images"]), (1, &1.into()));
    assert!(stderr(&output).contains("b.jpg"), "{}", stderr(&output));
}
