//! `effigy train`, and its checkpoints in the other commands.

mod common;

use std::fs;
use std::path::Path;

use common::{code, json, run, stderr, stdout};
use effigy::vision::{Picture, PictureFormat, encode};
use tempfile::TempDir;

/// Pictures of two classes: bright and dark ones.
fn pictures(folder: &Path) {
    for (class, base) in [("bright", 170), ("dark", 30)] {
        let folder = folder.join(class);
        fs::create_dir_all(&folder).unwrap();
        for i in 0..8 {
            let pixels = (0..32 * 32 * 3).map(|p| (base + (p * 31 + i * 17) % 50) as u8).collect();
            let picture = Picture::new(32, 32, pixels).unwrap();
            fs::write(folder.join(format!("{i}.png")), encode(&picture, PictureFormat::Png).unwrap())
                .unwrap();
        }
    }
}

#[test]
fn a_folder_becomes_a_classifier() {
    let folder = TempDir::new().unwrap();
    pictures(&folder.path().join("data"));
    let file = "size = 32\nbatch = 4\nepochs = 2\nval_share = 0.25\nlearning_rate = 0.02\nema_decay = 0.5\n";
    fs::write(folder.path().join("run.toml"), file).unwrap();
    let arguments = ["train", "run.toml", "--data", "data", "--out", "out", "--learning-rate", "0.05"];
    let output = run(folder.path(), &arguments);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("best.safetensors  top1"), "{}", stdout(&output));
    assert!(
        stderr(&output).contains("12 pictures to learn from at 32×32, 4 to judge by"),
        "{}",
        stderr(&output)
    );

    let classify =
        run(folder.path(), &["classify", "--json", "--weights", "out/best.safetensors", "data/dark/0.png"]);
    assert_eq!(code(&classify), 0, "{}", stderr(&classify));
    let answer = &json(&classify)[0]["predictions"];
    assert!(["bright", "dark"].contains(&answer[0]["label"].as_str().unwrap()), "{answer}");
    let eval = run(folder.path(), &["eval", "--json", "--weights", "out/best.safetensors", "data"]);
    assert_eq!((code(&eval), &json(&eval)[0]["images"]), (0, &serde_json::json!(16)), "{}", stderr(&eval));

    // A run is there.
    let again = run(folder.path(), &arguments);
    assert_eq!(code(&again), 2);
    assert!(stderr(&again).contains("a run is there already"), "{}", stderr(&again));
    let resumed = run(folder.path(), &[&arguments[..], &["--resume"]].concat());
    assert_eq!(code(&resumed), 0, "{}", stderr(&resumed));
    let changed = run(folder.path(), &[&arguments[..], &["--resume", "--epochs", "3"]].concat());
    assert!(stderr(&changed).contains("epochs: 2, now 3"), "{}", stderr(&changed));
}

#[test]
fn wrong_options_are_named() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("run.toml"), "\nbatches = 4\n").unwrap();
    let output = run(folder.path(), &["train", "run.toml"]);
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("run.toml:2: there is no option `batches`; is `batch` meant?"),
        "{}",
        stderr(&output)
    );
    let output = run(folder.path(), &["train"]);
    assert!(stderr(&output).contains("no data is given"), "{}", stderr(&output));
    let help = run(folder.path(), &["train", "--help"]);
    for flag in ["--learning-rate", "--augment-mirror", "--anchor-scales", "--resume", "--dry-run"] {
        assert!(stdout(&help).contains(flag), "{flag}");
    }
}

#[test]
fn a_dry_run_tells_the_memory_and_writes_nothing() {
    let folder = TempDir::new().unwrap();
    pictures(&folder.path().join("data"));
    let output =
        run(folder.path(), &["train", "--data", "data", "--out", "out", "--size", "64", "--dry-run"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("GB"), "{}", stderr(&output));
    assert!(!folder.path().join("out").exists());
}
