//! `effigy doctor` and `effigy anchors`, as people and programs call them.

mod common;

use std::fs;

use common::{code, json, photo, run, stderr, stdout};
use tempfile::TempDir;

/// A Pascal VOC folder of two copies of the photo, in two splits, with these objects.
fn voc(objects: &[[u32; 4]]) -> TempDir {
    let root = TempDir::new().unwrap();
    for folder in ["Annotations", "JPEGImages", "ImageSets/Main"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    let objects: String = objects
        .iter()
        .map(|[left, top, right, bottom]| {
            format!(
                "<object><name>cat</name><bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax>\
                 <ymax>{bottom}</ymax></bndbox></object>\n"
            )
        })
        .collect();
    let size = "<size><width>451</width><height>300</height></size>";
    for (name, split) in [("a", "train"), ("b", "val")] {
        let bytes = fs::read(photo()).unwrap();
        // Not the same bytes: a JPEG may have anything behind its end.
        let bytes = [bytes, name.as_bytes().to_vec()].concat();
        fs::write(root.path().join(format!("JPEGImages/{name}.jpg")), bytes).unwrap();
        let xml = format!("<annotation>\n{size}\n{objects}</annotation>");
        fs::write(root.path().join(format!("Annotations/{name}.xml")), xml).unwrap();
        fs::write(root.path().join(format!("ImageSets/Main/{split}.txt")), name).unwrap();
    }
    root
}

#[test]
fn a_sound_data_set() {
    let root = voc(&[[50, 60, 200, 210], [210, 20, 330, 150]]);
    let output = run(root.path(), &["doctor", "."]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    let text = stdout(&output);
    assert!(text.ends_with("nothing is wrong\n"), "{text}");
    assert!(text.contains("anchors of efficientdet-lite0 at 320×320"), "{text}");
    assert_eq!(stderr(&output), "");
}

#[test]
fn an_ill_data_set_is_told_by_file_and_line() {
    let root = voc(&[[50, 60, 200, 210], [10, 20, 10, 50]]);
    let output = run(root.path(), &["doctor", "."]);
    assert_eq!(code(&output), 1);
    let text = stdout(&output);
    assert!(text.contains("error: 2 boxes without area in their picture\n"), "{text}");
    assert!(text.contains("  [train] ./Annotations/a.xml: line 4: the box has no area"), "{text}");
    assert!(text.contains("  → draw them again"), "{text}");
    assert!(stderr(&output).contains(".: 2 errors"), "{}", stderr(&output));

    let output = run(root.path(), &["doctor", ".", "--json", "--quiet", "--model", "efficientdet-d0"]);
    assert_eq!(code(&output), 1);
    let [value] = &json(&output)[..] else { panic!("one object: {}", stdout(&output)) };
    let problem = &value["problems"][0];
    assert_eq!(
        (problem["check"].as_str(), problem["severity"].as_str()),
        (Some("degenerate-box"), Some("error"))
    );
    assert_eq!(problem["place"], "line 4");
    assert_eq!(value["splits"][0]["pictures"], 1);
    assert_eq!(value["anchors"][0]["input"], serde_json::json!([512, 512]));
    assert_eq!(value["anchors"][0]["boxes"], 1);
}

#[test]
fn class_folders_are_examined() {
    let root = TempDir::new().unwrap();
    for class in ["cat", "dog"] {
        fs::create_dir(root.path().join(class)).unwrap();
    }
    fs::copy(photo(), root.path().join("cat/a.jpg")).unwrap();
    fs::copy(photo(), root.path().join("dog/b.jpg")).unwrap();
    let output = run(root.path(), &["doctor", "."]);
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).contains("class dog, but the same bytes are class cat"), "{}", stdout(&output));
}

#[test]
fn wrong_usage() {
    let root = voc(&[]);
    for arguments in [
        &["doctor"][..],
        &["doctor", ".", "--model", "efficientdet-x"],
        &["doctor", "i.json"],
        &["anchors", "JPEGImages"],
    ] {
        fs::write(root.path().join("i.json"), "{}").unwrap();
        let output = run(root.path(), arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
    }
    let output = run(root.path(), &["doctor", "gone"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("gone: cannot be read"), "{}", stderr(&output));
}

#[test]
fn anchors_are_fitted() {
    let root = voc(&[[50, 60, 65, 260], [210, 20, 226, 250], [300, 30, 318, 240]]);
    let output = run(root.path(), &["anchors", ".", "--tries", "300", "--picture", "p.svg"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("\nanchor_base = "), "{}", stdout(&output));
    assert!(fs::read_to_string(root.path().join("p.svg")).unwrap().ends_with("</svg>\n"));

    let output = run(root.path(), &["anchors", ".", "--tries", "300", "--json"]);
    let [value] = &json(&output)[..] else { panic!("one object: {}", stdout(&output)) };
    let train = &value["splits"][0];
    assert_eq!((train["split"].as_str(), train["boxes"].as_u64()), (Some("train"), Some(3)));
    assert_eq!(train["before"]["matched"], 0);
    assert_eq!(train["after"]["matched"], 3);
    assert!(value["anchors"]["scales"].as_array().unwrap().len() == 3);
}
