//! The built command, as people and programs call it.

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use common::{code, effigy, json, photo, run, stderr, stdout};
use serde_json::Value;
use tempfile::TempDir;

const CATS: [&str; 3] = ["Egyptian cat", "tiger cat", "tabby"];

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// A folder with two photos, one in a folder below, and a file that only pretends to be a picture.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("below")).unwrap();
    fs::copy(photo(), folder.path().join("a.jpg")).unwrap();
    fs::copy(photo(), folder.path().join("below/c.jpg")).unwrap();
    fs::write(folder.path().join("b.jpg"), "not a picture").unwrap();
    folder
}

#[test]
fn classify_tells_a_cat() {
    let photo = photo();
    let output = run(Path::new("."), &["classify", photo.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    assert!(lines[1].contains(" %") && CATS.iter().any(|cat| lines[1].contains(cat)), "{text}");
    assert!(!text.contains('\x1b'), "no colours where there is no terminal");
    assert_eq!(stderr(&output), "");
}

#[test]
fn classify_json_has_the_fields_of_the_contract() {
    let photo = photo();
    let output = run(Path::new("."), &["classify", "--json", "--top-k", "3", photo.to_str().unwrap()]);
    let [line] = &json(&output)[..] else { panic!("one line expected: {}", stdout(&output)) };
    assert_eq!(keys(line), ["path", "predictions"]);
    assert_eq!(line["path"], photo.to_str().unwrap());
    let predictions = line["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), 3);
    for prediction in predictions {
        assert_eq!(keys(prediction), ["class_index", "label", "probability"]);
        assert!((0.0..=1.0).contains(&prediction["probability"].as_f64().unwrap()));
    }
    assert!(CATS.contains(&predictions[0]["label"].as_str().unwrap()));
}

#[test]
fn classify_reads_standard_input() {
    let mut child = effigy()
        .args(["classify", "--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(photo()).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(json(&output)[0]["path"], "-");
}

#[test]
fn a_bad_picture_is_named_and_the_rest_is_done() {
    let folder = folder();
    let output = run(folder.path(), &["classify", "--json", ".", "gone.png", "a.jpg"]);
    assert_eq!(code(&output), 1);
    let paths: Vec<Value> = json(&output).iter().map(|line| line["path"].clone()).collect();
    assert_eq!(paths, ["./a.jpg", "./below/c.jpg", "a.jpg"]);
    let errors = stderr(&output);
    assert!(errors.contains("./b.jpg") && errors.contains("gone.png"), "{errors}");
    assert_eq!(errors.lines().count(), 2, "{errors}");
}

#[test]
fn wrong_usage_ends_with_2() {
    let folder = folder();
    for arguments in [
        &["classify"][..],
        &["classify", "--top-k", "0", "a.jpg"],
        &["classify", "--size", "big", "a.jpg"],
        &["classify", "--model", "efficientnet-b99", "a.jpg"],
        &["classify", "--size", "0", "a.jpg"],
        &["classify", "-", "-"],
        &["classify", "--threads", "none", "a.jpg"],
        &["classify", "--isa", "mmx", "a.jpg"],
        &["summary", "resnet50"],
        &["features", "a.jpg"],
        &["features", "a.jpg", "--endpoints", "--out", "x.npy"],
        &["features", "a.jpg", "--layer", "blocks.99", "--out", "x.npy"],
        &["nonsense"],
    ] {
        let output = run(folder.path(), arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
    let output = run(folder.path(), &["classify", "--model", "efficientnet-lite9", "a.jpg"]);
    assert!(stderr(&output).contains("efficientnet-lite0"), "{}", stderr(&output));
}

#[test]
fn labels_must_fit_the_classes() {
    let folder = folder();
    fs::write(folder.path().join("two.txt"), "cat\ndog\n").unwrap();
    let output = run(folder.path(), &["classify", "--labels", "two.txt", "a.jpg"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("2 labels for 1000 classes"), "{}", stderr(&output));
    let names: String = (0..1000).map(|i| format!("thing {i}\n")).collect();
    fs::write(folder.path().join("names.txt"), names).unwrap();
    let output = run(folder.path(), &["classify", "--labels", "names.txt", "--json", "a.jpg"]);
    assert_eq!(json(&output)[0]["predictions"][0]["label"], "thing 285");
}

#[test]
fn a_folder_without_pictures_is_an_error() {
    let folder = TempDir::new().unwrap();
    let output = run(folder.path(), &["classify", "."]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("no pictures"), "{}", stderr(&output));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut child = effigy()
        .args(["models", "--checkpoints", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 0);
    assert_eq!(stderr(&output), "");
}

/// Shape and values of an `.npy` file.
fn npy(bytes: &[u8]) -> (Vec<usize>, Vec<f32>) {
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!(end % 64, 0);
    let header = std::str::from_utf8(&bytes[10..end]).unwrap();
    assert!(header.contains("'<f4'") && header.contains("'fortran_order': False") && header.ends_with('\n'));
    let shape = header.split_once('(').unwrap().1.split_once(')').unwrap().0;
    let shape = shape.split(',').filter_map(|axis| axis.trim().parse().ok()).collect();
    let values = bytes[end..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    (shape, values)
}

#[test]
fn features_are_arrays_with_a_row_a_picture() {
    let folder = folder();
    let output = run(folder.path(), &["features", ".", "--out", "f.npy"]);
    assert_eq!(code(&output), 1, "b.jpg is no picture");
    assert_eq!(stdout(&output), "0\t./a.jpg\n1\t./below/c.jpg\n");
    let (shape, values) = npy(&fs::read(folder.path().join("f.npy")).unwrap());
    assert_eq!(shape, [2, 1280]);
    assert_eq!(values.len(), 2 * 1280);
    assert!(values.iter().all(|v| v.is_finite()) && values.iter().any(|v| *v > 0.0));

    let arguments = ["features", "a.jpg", "--layer", "reduction_3", "--size", "96x160", "--out", "layer.npy"];
    let output = run(folder.path(), &arguments);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let (nchw, first) = npy(&fs::read(folder.path().join("layer.npy")).unwrap());
    assert_eq!(nchw, [1, 40, 12, 20]);
    assert_eq!(code(&run(folder.path(), &[&arguments[..], &["--layout", "nhwc"]].concat())), 0);
    let (nhwc, second) = npy(&fs::read(folder.path().join("layer.npy")).unwrap());
    assert_eq!(nhwc, [1, 12, 20, 40]);
    assert_eq!(first[12 * 20], second[1], "channel 1 of the first pixel");

    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 5, "no temporary files are left: {left:?}");
}

#[test]
fn endpoints_make_an_archive() {
    let folder = folder();
    let output = run(folder.path(), &["features", "a.jpg", "--endpoints", "--out", "f.npz"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let file = fs::File::open(folder.path().join("f.npz")).unwrap();
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let expected = [[16, 112, 112], [24, 56, 56], [40, 28, 28], [112, 14, 14], [320, 7, 7], [1280, 7, 7]];
    assert_eq!(archive.len(), expected.len());
    for (i, shape) in expected.iter().enumerate() {
        let mut bytes = Vec::new();
        let mut entry = archive.by_name(&format!("reduction_{}.npy", i + 1)).unwrap();
        std::io::copy(&mut entry, &mut bytes).unwrap();
        assert_eq!(npy(&bytes).0, [&[1][..], &shape[..]].concat());
    }
}

#[test]
fn convert_and_inspect_round_trip() {
    let folder = folder();
    let lite0 = Path::new(env!("CARGO_MANIFEST_DIR")).join("../effigy/assets/efficientnet-lite0.safetensors");
    let lite0 = lite0.to_str().unwrap();
    let output = run(folder.path(), &["convert", lite0, "-o", "copy.safetensors", "--dtype", "f32"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let described = |path: &str| {
        let output = run(folder.path(), &["inspect", "--json", path]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        json(&output).remove(0)
    };
    let (before, after) = (described(lite0), described("copy.safetensors"));
    assert_eq!(before["model"], "efficientnet-lite0");
    for key in ["model", "classes", "in_channels", "preprocessing", "params", "tensors"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    let answer = |more: &[&str]| {
        let output = run(folder.path(), &[&["classify", "--json", "a.jpg"], more].concat());
        json(&output)[0]["predictions"].clone()
    };
    assert_eq!(answer(&[]), answer(&["--weights", "copy.safetensors"]), "f16 to f32 loses nothing");
    let output = run(folder.path(), &["convert", "copy.safetensors", "-o", "copy.safetensors"]);
    assert_eq!(code(&output), 2, "a file is not written over itself");
    let output = run(folder.path(), &["inspect", "a.jpg"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("a.jpg"), "{}", stderr(&output));
}

#[test]
fn convert_changes_the_classifier_and_the_channels() {
    let folder = folder();
    let lite0 = Path::new(env!("CARGO_MANIFEST_DIR")).join("../effigy/assets/efficientnet-lite0.safetensors");
    let changed = |arguments: &[&str]| {
        let output = run(
            folder.path(),
            &[&["convert", lite0.to_str().unwrap(), "-o", "o.safetensors"], arguments].concat(),
        );
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        json(&run(folder.path(), &["inspect", "--json", "o.safetensors"])).remove(0)
    };
    assert_eq!(changed(&["--classes", "7"])["classes"], 7);
    assert_eq!(changed(&["--no-classifier"])["classes"], Value::Null);
    assert_eq!(changed(&["--in-channels", "1"])["in_channels"], 1);
}

#[test]
fn models_lists_every_variant() {
    let output = run(Path::new("."), &["models"]);
    let text = stdout(&output);
    for variant in effigy::arch::variants() {
        assert!(text.lines().any(|line| line.starts_with(&format!("{} ", variant.name))), "{}", variant.name);
    }
    let lines = json(&run(Path::new("."), &["models", "--json"]));
    let detectors = effigy::arch::detector_variants();
    assert_eq!(lines.len(), effigy::arch::variants().len() + detectors.len());
    for detector in detectors {
        let line = lines.iter().find(|line| line["model"] == detector.name).unwrap();
        assert_eq!(line["params"], detector.published.params, "{}", detector.name);
        assert!(line["ap"].as_f64().is_some() && line["top1"].is_null(), "{line}");
    }
    let lite0 = lines.iter().find(|line| line["model"] == "efficientnet-lite0").unwrap();
    assert_eq!((&lite0["params"], &lite0["weights"]), (&Value::from(4_652_008), &Value::from("embedded")));
}

#[test]
fn summary_counts() {
    let output = run(Path::new("."), &["summary", "efficientnet-b0", "--json"]);
    let summary = &json(&output)[0];
    assert_eq!(summary["model"], "efficientnet-b0");
    assert_eq!(summary["params"], 5_288_548);
    assert_eq!(summary["input"], serde_json::json!([224, 224]));
    let layers = summary["layers"].as_array().unwrap();
    let sum = |key: &str| layers.iter().map(|layer| layer[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("params"), 5_288_548);
    assert_eq!(Value::from(sum("macs")), summary["macs"]);
    let odd = &json(&run(Path::new("."), &["summary", "efficientnet-b0", "--json", "--size", "193x257"]))[0];
    assert_eq!(odd["input"], serde_json::json!([193, 257]));
}

#[test]
fn summary_and_bench_know_detectors() {
    let summary = &json(&run(Path::new("."), &["summary", "efficientdet-d0", "--json"]))[0];
    assert_eq!((&summary["params"], &summary["input"]), (&3_880_067.into(), &serde_json::json!([512, 512])));
    let text = stdout(&run(Path::new("."), &["summary", "efficientdet-d0", "--classes", "3"]));
    for part in ["blocks.15", "resample.p6", "bifpn.2", "class", "box"] {
        assert!(text.lines().any(|line| line.starts_with(&format!("{part} "))), "{part}: {text}");
    }
    let arguments = ["bench", "efficientdet-lite0", "--size", "64", "--runs", "2", "--json"];
    let output = run(Path::new("."), &arguments);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(json(&output)[0]["post_processing_ms"].as_f64().unwrap() > 0.0);
}

#[test]
fn eval_knows_class_folders_by_their_names() {
    let folder = TempDir::new().unwrap();
    for class in ["Egyptian cat", "toaster"] {
        fs::create_dir(folder.path().join(class)).unwrap();
        fs::copy(photo(), folder.path().join(class).join("x.jpg")).unwrap();
    }
    let output = run(folder.path(), &["eval", ".", "--json", "--predictions", "answers.tsv"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(json(&output)[0], serde_json::json!({"images": 2, "top1": 50.0, "top5": 50.0}));
    let answers = fs::read_to_string(folder.path().join("answers.tsv")).unwrap();
    let lines: Vec<&str> = answers.lines().collect();
    assert_eq!(lines[0], "file\tclass_index\tpredicted\ttop5");
    assert!(lines[1].starts_with("Egyptian cat/x.jpg\t285\t285\t285,"), "{answers}");
    assert!(lines[2].starts_with("toaster/x.jpg\t859\t285\t285,"), "{answers}");

    fs::create_dir(folder.path().join("no such class")).unwrap();
    fs::copy(photo(), folder.path().join("no such class/x.jpg")).unwrap();
    let output = run(folder.path(), &["eval", "."]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("3 class folders"), "{}", stderr(&output));
}

#[test]
fn eval_reads_labels() {
    let folder = folder();
    fs::write(
        folder.path().join("labels.tsv"),
        "file\tclass_index\na.jpg\t285\nbelow/c.jpg\t282\nb.jpg\t1\n",
    )
    .unwrap();
    let output = run(folder.path(), &["eval", ".", "--json"]);
    assert_eq!(code(&output), 1, "b.jpg is no picture");
    assert_eq!(json(&output)[0], serde_json::json!({"images": 2, "top1": 50.0, "top5": 100.0}));
}

#[test]
fn bench_has_the_fields_of_the_contract() {
    let arguments =
        ["bench", "efficientnet-lite0", "--size", "64", "--batch", "2", "--runs", "3", "--json", "-v"];
    let output = run(Path::new("."), &arguments);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let figures = &json(&output)[0];
    let expected = "batch gmacs height images_per_s median_ms min_ms model p90_ms peak_rss_mb precision runs \
                    share_of_limit threads width";
    assert_eq!(keys(figures), expected.split_whitespace().collect::<Vec<_>>());
    assert_eq!((&figures["height"], &figures["batch"], &figures["runs"]), (&64.into(), &2.into(), &3.into()));
    assert!(figures["min_ms"].as_f64() <= figures["median_ms"].as_f64());
    let share = figures["share_of_limit"].as_f64().unwrap();
    assert!(share > 0.0 && share < 1.0, "{share}");
    let steps = stderr(&output);
    for part in ["blocks.0", "f32 gemm ", "GFLOP/s", "bandwidth"] {
        assert!(steps.contains(part), "-v lists the steps: {part} in {steps}");
    }

    let output = run(Path::new("."), &[&arguments[..], &["--pixels"]].concat());
    assert_eq!(keys(&json(&output)[0]), keys(figures), "{}", stderr(&output));
}

#[test]
fn bench_draws_where_the_time_goes_and_tells_how_long_the_start_took() {
    let folder = TempDir::new().unwrap();
    let weights =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../effigy/assets/efficientnet-lite0.safetensors");
    let arguments = ["bench", "--size", "64", "--runs", "2", "--picture", "where.svg", "--json", "--weights"];
    let arguments = [&arguments[..], &[weights.to_str().unwrap()]].concat();
    let output = run(folder.path(), &arguments);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(json(&output)[0]["start_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(stderr(&output), "", "the steps are for -v");
    let svg = fs::read_to_string(folder.path().join("where.svg")).unwrap();
    assert!(
        svg.starts_with("<svg ") && svg.contains("efficientnet-lite0") && svg.contains(">blocks.3<"),
        "{svg}"
    );

    let output = run(
        folder.path(),
        &["bench", "efficientnet-lite0", "--size", "32", "--runs", "1", "--picture", "no/x.svg"],
    );
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("no/x.svg"), "{}", stderr(&output));
}

#[test]
fn nothing_is_downloaded_offline() {
    let folder = folder();
    let output = effigy()
        .env("EFFIGY_CACHE", folder.path())
        .args(["classify", "--model", "efficientnet-b0"])
        .arg(photo())
        .output()
        .unwrap();
    assert_eq!(code(&output), 1);
    let message = stderr(&output);
    assert!(message.contains("EFFIGY_OFFLINE") && message.contains("https://"), "{message}");
}

#[test]
fn unknown_precisions_are_wrong_usage() {
    let output = run(Path::new("."), &["bench", "efficientnet-lite0", "--precision", "fp64"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("use fp32, bf16 or int8"), "{}", stderr(&output));
}
