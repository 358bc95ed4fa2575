//! Whole runs on tiny data.

mod common;

use std::fs;
use std::path::Path;

use common::{boxes, classifier, pictures, train};
use effigy_data::Problem;
use effigy_train::{Config, Observer, Size, TrainError};
use effigy_weights::{LoadOptions, load};

/// Counts what a run says.
#[derive(Default)]
struct Told {
    steps: u64,
    epochs: usize,
    judged: usize,
    problems: Vec<String>,
}

impl Observer for Told {
    fn step(&mut self, progress: &effigy_train::Progress) {
        self.steps = progress.step;
    }

    fn judged(&mut self, done: usize, total: usize) {
        assert!(done <= total);
        self.judged = done;
    }

    fn epoch(&mut self, record: &effigy_train::EpochRecord) {
        self.epochs = record.epoch;
    }

    fn problem(&mut self, problem: &Problem) {
        self.problems.push(problem.to_string());
    }
}

#[test]
fn a_classifier_learns_and_its_files_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    pictures(&data, 20);
    fs::write(data.join("dark/broken.png"), "no picture").unwrap();
    let mut told = Told::default();
    // At 32 pixels the last maps are one pixel, whose statistics over four pictures make learning a matter of luck;
    // and they have no more than 140 steps to settle.
    let config = Config {
        epochs: 20,
        accumulate: 1,
        learning_rate: 0.02,
        ema_decay: None,
        size: Some(Size([64, 64])),
        batch_norm_momentum: Some(0.1),
        ..classifier(&data, &out)
    };
    let summary = train(config, false, &mut told).unwrap();

    // 31 pictures to learn from, 10 to judge by, one of the 41 broken.
    assert_eq!((told.steps, told.epochs), (20 * 7, 20));
    assert_eq!(told.problems.len(), 1, "{:?}", told.problems);
    assert!(told.problems[0].contains("broken.png"), "{:?}", told.problems);
    let (first, last) = (&summary.history.epochs[0], &summary.history.epochs[19]);
    assert!(last.losses["loss"] < first.losses["loss"], "{first:?} {last:?}");
    // Bright and dark are easily told apart.
    assert!(summary.history.best.as_ref().unwrap().score >= 90.0, "{:?}", summary.history);

    let loaded = load(&summary.best.unwrap(), &LoadOptions::default()).unwrap();
    assert_eq!(loaded.labels.unwrap(), ["bright", "dark"]);
    assert_eq!((loaded.network.classes(), loaded.network.size()), (2, [64, 64]));
    let csv = fs::read_to_string(out.join("metrics.csv")).unwrap();
    assert_eq!(csv.lines().count(), 21, "{csv}");
    let page = fs::read_to_string(&summary.report).unwrap();
    for part in ["<polyline", "data:image/jpeg;base64,", "best top1", "learning_rate"] {
        assert!(page.contains(part), "{part}");
    }
    let mut read = Config::default();
    let text = fs::read_to_string(out.join("config.toml")).unwrap();
    read.apply(Path::new("config.toml"), &text).unwrap();
    assert_eq!(read.batch, 4);
}

#[test]
fn a_classifier_is_judged_and_saved_by_a_size_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    pictures(&data, 8);
    let run = |out: &str, eval_size: Option<Size>| {
        let config = Config { epochs: 1, eval_size, ..classifier(&data, &folder.path().join(out)) };
        train(config, false, &mut ()).unwrap()
    };
    let (same, larger) = (run("same", None), run("larger", Some(Size([64, 48]))));
    let [same_epoch, larger_epoch] = [&same, &larger].map(|run| &run.history.epochs[0]);
    assert_eq!(same_epoch.losses, larger_epoch.losses);
    assert_ne!(same_epoch.scores["val_loss"], larger_epoch.scores["val_loss"]);

    let page = fs::read_to_string(&larger.report).unwrap();
    assert!(
        page.contains("to learn from, of 32×32 pixels; ") && page.contains("to judge by, of 64×48 pixels")
    );
    let loaded = load(&larger.best.unwrap(), &LoadOptions::default()).unwrap();
    assert_eq!(loaded.network.size(), [64, 48]);
}

#[test]
fn a_detector_is_trained_and_what_is_frozen_stays() {
    let folder = tempfile::tempdir().unwrap();
    boxes(folder.path(), 12);
    let config = Config {
        model: "efficientdet-lite0".to_owned(),
        data: folder.path().join("instances.json"),
        images: Some(folder.path().to_owned()),
        size: Some(effigy_train::Size([64, 64])),
        batch: 3,
        accumulate: 1,
        epochs: 2,
        learning_rate: 0.01,
        freeze: effigy_train::Freeze::Backbone,
        ..classifier(folder.path(), &folder.path().join("out"))
    };
    let mut told = Told::default();
    let summary = train(config.clone(), false, &mut told).unwrap();
    assert_eq!((told.judged, told.epochs), (3, 2));
    let last = &summary.history.epochs[1];
    assert!(last.losses["class_loss"].is_finite() && last.losses["box_loss"] > 0.0);
    for score in ["ap", "ap50", "val_loss"] {
        assert!(last.scores.contains_key(score), "{last:?}");
    }

    let loaded = load(&folder.path().join("out/last.safetensors"), &LoadOptions::default()).unwrap();
    assert_eq!(loaded.labels.unwrap(), ["square"]);
    let begun = effigy_train::initial(&loaded.network, config.seed);
    let same = |name: &str| loaded.weights.get(name).unwrap().values[..] == *begun.get(name).unwrap();
    assert!(same("stem.conv.weight") && same("blocks.3.expand.bn.running_mean"));
    assert!(!same("box.0.pointwise.weight") && !same("bifpn.0.0.bn.running_mean"));
}

#[test]
fn a_blowup_names_the_step_and_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    pictures(&data, 8);
    let config = Config {
        learning_rate: 1e30,
        warm_up_epochs: 0.0,
        clip_norm: None,
        ..classifier(&data, &folder.path().join("out"))
    };
    let Err(TrainError::NotFinite(blowup)) = train(config, false, &mut ()) else { panic!("it must blow up") };
    assert!(blowup.node.is_some() && blowup.step > 1, "{blowup}");
    assert!(!blowup.files.is_empty() && blowup.files.iter().all(|file| file.is_file()), "{blowup}");
    assert!(blowup.to_string().contains(".png"), "{blowup}");
}

#[test]
fn broken_data_is_refused_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    pictures(&data, 8);
    fs::write(data.join("dark/broken.png"), "no picture").unwrap();
    let config = Config {
        on_problem: effigy_data::OnProblem::Refuse,
        ..classifier(&data, &folder.path().join("out"))
    };
    let error = train(config, false, &mut ()).unwrap_err().to_string();
    assert!(error.contains("broken.png"), "{error}");
}

#[test]
fn a_step_of_more_batches_than_an_epoch_has_is_timed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    pictures(&data, 8);
    let config = Config { accumulate: 100, epochs: 2, ..classifier(&data, &folder.path().join("out")) };
    let mut told = Told::default();
    let summary = train(config, false, &mut told).unwrap();
    assert_eq!(told.steps, 2);
    assert!(summary.history.epochs.iter().all(|epoch| epoch.compute_seconds > 0.0), "{:?}", summary.history);
}

#[test]
fn somebody_has_to_judge() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // Of a single picture nothing is kept.
    pictures(&data, 1);
    let config = classifier(&data, &folder.path().join("out"));
    let error = train(config, false, &mut ()).unwrap_err().to_string();
    assert!(error.contains("judge") && error.contains("val_data"), "{error}");
}

#[test]
fn shipped_files_are_options() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 5);
    for file in files {
        let config = Config::read(&file).unwrap();
        assert!(effigy_arch::Network::from_name(&config.model).is_ok(), "{}", file.display());
    }
}
