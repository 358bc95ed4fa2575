//! Detectors' checkpoints: zylo117's and effdet's names, what tensors do not tell, effigy's own card.

mod common;

use std::path::Path;

use common::{Checkpoint, TINY};
use effigy_arch::{
    Anchors, AspectRatio, DetectorConvention, EfficientDet, EfficientNet, Fill, Letterbox, Network,
    Normalisation, bifpn_rows,
};
use effigy_weights::{
    CannotAdapt, ClassifierPolicy, Family, LoadOptions, Loaded, NoModel, Precision, WeightsError, convert,
    load, load_bytes,
};

fn detector(name: &str) -> EfficientDet {
    EfficientDet::from_name(name).unwrap()
}

fn load_as(checkpoint: &Checkpoint, file: &str, options: &LoadOptions) -> Result<Loaded, WeightsError> {
    load_bytes(checkpoint.to_safetensors(), Path::new(file), options)
}

fn loaded(checkpoint: &Checkpoint, file: &str) -> Loaded {
    load_as(checkpoint, file, &LoadOptions::default()).unwrap_or_else(|e| panic!("{e}"))
}

/// What a project calls a parameter; written apart from the crate's own tables, so that each checks the
/// other.
type Rename = fn(&EfficientDet, &str) -> String;

/// `network` with values of which no two tensors have the same.
fn checkpoint(network: &EfficientDet, rename: Rename) -> Checkpoint {
    let mut checkpoint = Checkpoint::default();
    for (tensor, spec) in network.graph().param_specs().into_iter().enumerate() {
        let count: usize = spec.shape.iter().product();
        let values = (0..count).map(|i| 0.1 + tensor as f32 + (i % 1009) as f32 / 2048.0);
        checkpoint.push(&rename(network, &spec.name), &spec.shape, values.collect());
    }
    checkpoint
}

/// The weights are those that [`checkpoint`] made for each parameter.
fn check_values(loaded: &Loaded) {
    let specs = loaded.network.graph().param_specs();
    assert_eq!(loaded.weights.len(), specs.len());
    for (tensor, spec) in specs.iter().enumerate() {
        let param = loaded.weights.get(&spec.name).unwrap();
        assert_eq!(param.shape, spec.shape, "{}", spec.name);
        let expected = |i: usize| 0.1 + tensor as f32 + (i % 1009) as f32 / 2048.0;
        assert!(param.values.iter().enumerate().all(|(i, &v)| v == expected(i)), "{}", spec.name);
    }
}

/// `bifpn.C.R.…` with the row's level, counted from 3, and whether the row is on the way down.
fn row(network: &EfficientDet, row: &str) -> (usize, bool) {
    let (row, levels) = (row.parse::<usize>().unwrap(), network.levels().count());
    (bifpn_rows(levels)[row].level + 3, row < levels - 1)
}

fn zylo117(network: &EfficientDet, name: &str) -> String {
    let wrap = |name: String| name.replace(".weight", ".conv.weight").replace(".bias", ".conv.bias");
    let separable = |name: &str| {
        let name =
            name.replace("depthwise", "depthwise_conv.conv").replace("pointwise", "pointwise_conv.conv");
        name.replace("box.", "regressor.").replace("class.", "classifier.").replace("predict", "header")
    };
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        ["resample", level, part, role] => {
            let from = level[1..].parse::<usize>().unwrap() - 1;
            let end = if part == "conv" { format!("0.conv.{role}") } else { format!("1.{role}") };
            format!("bifpn.0.p{from}_to_{level}.{end}")
        }
        ["bifpn", cell, at, "resample", _, part, role] => {
            let (level, down) = row(network, at);
            let second = if down { "" } else { "_2" };
            let end = if part == "conv" { format!("0.conv.{role}") } else { format!("1.{role}") };
            format!("bifpn.{cell}.p{level}_down_channel{second}.{end}")
        }
        ["bifpn", cell, at, "combine", _] => {
            let (level, down) = row(network, at);
            format!("bifpn.{cell}.p{level}_{}", if down { "w1" } else { "w2" })
        }
        ["bifpn", cell, at, part, role] => {
            let (level, down) = row(network, at);
            // «up» is up the pyramid's picture, to the finer levels.
            separable(&format!("bifpn.{cell}.conv{level}_{}.{part}.{role}", if down { "up" } else { "down" }))
        }
        [head @ ("class" | "box"), repeat, level, "bn", role] => {
            let level = level[1..].parse::<usize>().unwrap() - 3;
            separable(&format!("{head}.bn_list.{level}.{repeat}.{role}"))
        }
        [_, "predict", ..] => separable(name),
        [head @ ("class" | "box"), repeat, part, role] => {
            separable(&format!("{head}.conv_list.{repeat}.{part}.{role}"))
        }
        _ => {
            let name = common::lukemelas(name);
            let name = if name.contains("_bn") { name } else { wrap(name) };
            format!("backbone_net.model.{name}")
        }
    }
}

fn effdet(network: &EfficientDet, name: &str) -> String {
    let separable = |name: &str| name.replace("depthwise", "conv_dw").replace("pointwise", "conv_pw");
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        ["resample", level, part, role] => {
            format!("fpn.resample.{}.conv.{part}.{role}", level[1..].parse::<usize>().unwrap() - 3)
        }
        ["bifpn", cell, at, "resample", input, part, role] => {
            let rows = bifpn_rows(network.levels().count());
            let offset = rows[at.parse::<usize>().unwrap()].inputs[input.parse::<usize>().unwrap()];
            format!("fpn.cell.{cell}.fnode.{at}.combine.resample.{offset}.conv.{part}.{role}")
        }
        ["bifpn", cell, at, "combine", _] => format!("fpn.cell.{cell}.fnode.{at}.combine.edge_weights"),
        ["bifpn", cell, at, part, role] => {
            separable(&format!("fpn.cell.{cell}.fnode.{at}.after_combine.conv.{part}.{role}"))
        }
        [head @ ("class" | "box"), repeat, level, "bn", role] => {
            let level = level[1..].parse::<usize>().unwrap() - 3;
            format!("{head}_net.bn_rep.{repeat}.{level}.bn.{role}")
        }
        [head @ ("class" | "box"), "predict", part, role] => {
            separable(&format!("{head}_net.predict.{part}.{role}"))
        }
        [head @ ("class" | "box"), repeat, part, role] => {
            separable(&format!("{head}_net.conv_rep.{repeat}.{part}.{role}"))
        }
        _ => timm(network, name),
    }
}

fn effdet_level_first(network: &EfficientDet, name: &str) -> String {
    let name = effdet(network, name);
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        [net, "bn_rep", repeat, level, "bn", role] => format!("{net}.bn_rep.{level}.{repeat}.{role}"),
        _ => name,
    }
}

/// The backbone of [`effdet`].
fn timm(network: &EfficientDet, name: &str) -> String {
    let name = name.replace("stem.conv", "conv_stem").replace("stem.bn", "bn1");
    let Some((index, part)) = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) else {
        return format!("backbone.{name}");
    };
    let block = &network.backbone.blocks()[index.parse::<usize>().unwrap()];
    let has_expansion = block.expanded != block.inputs;
    let pairs = match has_expansion {
        true => [("depthwise.bn", "bn2"), ("project.conv", "conv_pwl"), ("project.bn", "bn3")],
        false => [("depthwise.bn", "bn1"), ("project.conv", "conv_pw"), ("project.bn", "bn2")],
    };
    let common = [
        ("expand.conv", "conv_pw"),
        ("expand.bn", "bn1"),
        ("depthwise.conv", "conv_dw"),
        ("se.reduce", "se.conv_reduce"),
        ("se.expand", "se.conv_expand"),
    ];
    let (from, to) = pairs.iter().chain(&common).find(|(from, _)| part.starts_with(from)).unwrap();
    format!("backbone.blocks.{}.{}.{}", block.stage, block.position, part.replace(from, to))
}

#[test]
fn every_parameter_finds_its_tensor() {
    let cases: [(&str, Family, Rename); 5] = [
        ("zylo117/efficientdet-d0", Family::Zylo117, zylo117),
        ("tf_efficientdet_d0", Family::Effdet, effdet),
        ("efficientdet_d0", Family::Effdet, effdet),
        ("tf_efficientdet_lite0", Family::Effdet, effdet_level_first),
        ("efficientdet_lite0", Family::Effdet, effdet_level_first),
    ];
    for (name, family, rename) in cases {
        let network = detector(name).with_classes(7);
        // Names that tell nothing: the tensors do.
        let loaded = loaded(&checkpoint(&network, rename), "best.pth");
        assert_eq!((loaded.family, &loaded.network), (family, &network.into()), "{name}");
        check_values(&loaded);
        let text = loaded.assumptions.join("\n");
        assert!(text.contains("convention") && text.contains("anchors from"), "{text}");
    }
}

#[test]
fn prefixes_are_unwrapped_and_averages_preferred() {
    let network = detector("tf_efficientdet_d0").with_classes(3);
    let mut both = checkpoint(&network, effdet).prefixed("state_dict.model.");
    both.extend(checkpoint(&network, effdet).map_values(|v| v + 1.0).prefixed("state_dict_ema.module."));
    both.push("state_dict.anchors.boxes", &[1, 4], vec![0.0; 4]);
    let first = |raw| {
        let options = LoadOptions { raw, ..LoadOptions::default() };
        load_as(&both, "best.pth", &options).unwrap().weights.get("stem.conv.weight").unwrap().values[0]
    };
    assert_eq!(first(true) + 1.0, first(false));
}

#[test]
fn files_names_tell_what_tensors_do_not() {
    let d0 = checkpoint(&detector("tf_efficientdet_d0").with_classes(3), effdet);
    let adversarial = loaded(&d0, "tf_efficientdet_d0_ap-flowers.pth");
    assert_eq!(adversarial.network, detector("tf_efficientdet_d0_ap").with_classes(3).into());
    let contradicted = loaded(&d0, "tf_efficientdet_d1.pth");
    assert!(contradicted.assumptions.iter().any(|reason| reason.contains("contradict")));
    let options = LoadOptions { model: Some("efficientdet-d0".to_owned()), ..LoadOptions::default() };
    let asked = load_as(&d0, "best.pth", &options).unwrap();
    assert_eq!(asked.network, detector("tf_efficientdet_d0").with_classes(3).into());
}

/// D6 and D7 differ in no tensor. Bytes of zeros, since as floats they take 200 MB.
#[test]
fn d6_and_d7_are_told_by_name() {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    let network = detector("zylo117/efficientdet-d6");
    let mut tensors: Vec<(String, Vec<usize>)> =
        network.graph().param_specs().iter().map(|s| (zylo117(&network, &s.name), s.shape.clone())).collect();
    // What detectors that fuse by plain sums carry unused.
    tensors.extend([("bifpn.0.p6_w1".to_owned(), vec![2]), ("bifpn.7.p7_w2".to_owned(), vec![2])]);
    for (name, shape) in tensors {
        let start = end;
        end += shape.iter().product::<usize>();
        header.insert(name, serde_json::json!({"dtype": "U8", "shape": shape, "data_offsets": [start, end]}));
    }
    let header = serde_json::to_string(&header).unwrap();
    let mut file = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    file.resize(file.len() + end, 0);
    let file: std::sync::Arc<[u8]> = file.into();
    let load = |name: &str| {
        let bytes = effigy_weights::Bytes::Owned(file.clone());
        load_bytes(bytes, Path::new(name), &LoadOptions::default()).unwrap_or_else(|e| panic!("{e}"))
    };
    let unnamed = load("best.pth");
    assert_eq!(unnamed.network, detector("zylo117/efficientdet-d6").into());
    let said = unnamed.assumptions.join("\n");
    assert!(said.contains("efficientdet-d7 has the same tensors"), "{said}");
    let named = load("efficientdet-d7.pth");
    assert_eq!(named.network, detector("zylo117/efficientdet-d7").into());
}

#[test]
fn other_classes_anchors_and_sizes_load() {
    let anchors = Anchors { base: 3.0, scales: vec![1.0, 1.5], ratios: AspectRatio::EXACT.to_vec() };
    let network = detector("zylo117/efficientdet-d0").with_classes(2).with_anchors(anchors.clone());
    let file = checkpoint(&network, zylo117);
    let error = load_as(&file, "best.pth", &LoadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("every cell has 6 anchors, where efficientdet-d0 has 9"), "{error}");
    let with = |anchors: &Anchors| LoadOptions {
        anchors: Some(anchors.clone()),
        size: Some([384, 640]),
        ..LoadOptions::default()
    };
    let loaded = load_as(&file, "best.pth", &with(&anchors)).unwrap();
    assert_eq!(loaded.network, network.clone().with_size(384, 640).into());
    check_values(&loaded);
    let error = load_as(&file, "best.pth", &with(&Anchors::octave(4.0, &AspectRatio::EXACT))).unwrap_err();
    let WeightsError::NoModel { source, .. } = error else { panic!("{error}") };
    assert_eq!(*source, NoModel::AnchorCount { asked: 9, found: 6 });
}

#[test]
fn every_difference_is_listed_at_once() {
    let mut file = checkpoint(&detector("tf_efficientdet_d0").with_classes(2), effdet);
    file.remove("fpn.cell.1.fnode.2.combine.edge_weights");
    file.push("box_net.more", &[1], vec![0.0]);
    file.remove("class_net.predict.conv_pw.bias");
    file.push("class_net.predict.conv_pw.bias", &[5], vec![0.0; 5]);
    let options = LoadOptions { model: Some("tf_efficientdet_d0".to_owned()), ..LoadOptions::default() };
    let text = load_as(&file, "best.pth", &options).unwrap_err().to_string();
    for part in [
        "best.pth: 3 tensors",
        "effdet",
        "fpn.cell.1.fnode.2.combine.edge_weights",
        "box_net.more",
        "class_net.predict.conv_pw.bias: expected [18], found [5]",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let text = load_as(&file, "best.pth", &LoadOptions::default()).unwrap_err().to_string();
    assert!(text.contains("the nearest is efficientdet-d0") && text.contains("D0 to D7x"), "{text}");

    let mut file = checkpoint(&detector("tf_efficientdet_d0").with_classes(2), effdet);
    file.get_mut("fpn.cell.0.fnode.0.combine.edge_weights")[1] = f32::NAN;
    let WeightsError::Mismatch { differences, .. } =
        load_as(&file, "best.pth", &LoadOptions::default()).unwrap_err()
    else {
        panic!()
    };
    assert_eq!(differences.not_finite, ["fpn.cell.0.fnode.0.combine.edge_weights"]);
}

#[test]
fn what_only_classifiers_have_is_refused() {
    let file = checkpoint(&detector("zylo117/efficientdet-d0").with_classes(2), zylo117);
    let adapt = |options: LoadOptions| match load_as(&file, "best.pth", &options) {
        Err(WeightsError::Adapt { source, .. }) => source,
        other => panic!("{:?}", other.map(|loaded| loaded.network)),
    };
    let preprocessing = EfficientNet::from_name(TINY).unwrap().preprocessing;
    for options in [
        LoadOptions { preprocessing: Some(preprocessing), ..LoadOptions::default() },
        LoadOptions { classifier: ClassifierPolicy::Drop, ..LoadOptions::default() },
        LoadOptions { classifier: ClassifierPolicy::DropBackground, ..LoadOptions::default() },
    ] {
        assert!(matches!(adapt(options), CannotAdapt::Detector { .. }));
    }
    let zero = LoadOptions { size: Some([0, 512]), ..LoadOptions::default() };
    assert!(matches!(adapt(zero), CannotAdapt::Zero { .. }));
    let other = LoadOptions { model: Some("efficientnet-b0".to_owned()), ..LoadOptions::default() };
    assert!(matches!(load_as(&file, "best.pth", &other), Err(WeightsError::NoNames { .. })));

    let options = LoadOptions {
        classifier: ClassifierPolicy::Replace(4),
        in_channels: Some(1),
        ..LoadOptions::default()
    };
    let changed = load_as(&file, "best.pth", &options).unwrap();
    assert_eq!((changed.network.classes(), changed.network.in_channels()), (4, 1));
    assert_eq!(changed.weights.get("class.predict.pointwise.weight").unwrap().shape, [36, 64, 1, 1]);
    assert_eq!(changed.weights.get("stem.conv.weight").unwrap().shape, [32, 1, 3, 3]);
}

/// A detector that is like no published one.
fn tiny() -> EfficientDet {
    let network = EfficientDet {
        name: "efficientdet-mine".to_owned(),
        channels: 8,
        cells: 1,
        head_repeats: 1,
        ..detector("efficientdet_d0")
    };
    let backbone = EfficientNet::from_name(TINY).unwrap().with_convention(network.backbone.convention);
    let letterbox = Letterbox { size: [96, 160], fill: Fill::Black, ..network.letterbox.clone() };
    network
        .with_backbone(backbone)
        .with_convention(DetectorConvention::ZYLO117)
        .with_classes(3)
        .with_anchors(Anchors {
            base: 0.1 + 0.2,
            scales: vec![2_f64.powf(1.0 / 3.0)],
            ratios: vec![AspectRatio::of(3.0)],
        })
        .with_letterbox(letterbox.with_normalisation(Normalisation::MINUS_127))
}

#[test]
fn what_convert_writes_loads_identically() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("efficientdet-d7.safetensors");
    let labels = ["cat", "", "x\ny"].map(str::to_owned);
    for network in
        [tiny(), detector("zylo117/efficientdet-d0").with_classes(3), detector("tf_efficientdet_lite0")]
    {
        let source = checkpoint(&network, |_, name| name.to_owned());
        let weights = effigy_weights::Weights::from_tensors(source.tensors());
        let network = Network::from(network);
        convert(&path, &network, &weights, Some(&labels), Precision::F32).unwrap();
        let back = load(&path, &LoadOptions::default()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((&back.network, back.family), (&network, Family::Effigy));
        assert_eq!(back.labels.as_deref(), Some(&labels[..]));
        assert!(back.assumptions.iter().all(|reason| !reason.contains("assumed")), "{:?}", back.assumptions);
        check_values(&back);
    }
}

#[test]
fn cards_of_another_version_or_without_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let source = checkpoint(&tiny(), |_, name| name.to_owned());
    let weights = effigy_weights::Weights::from_tensors(source.tensors());
    convert(&path, &tiny().into(), &weights, None, Precision::F32).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(bytes[8..end].to_vec()).unwrap();
    for (from, to, message) in [
        (r#"\"version\":2"#, r#"\"version\":3"#, "reads up to 2"),
        (r#"\"cells\":1"#, r#"\"cells\":1000000"#, "cells \"1000000\""),
        (r#"\"fill\":\"black\""#, r#"\"fill\":\"white\""#, "fill \"white\""),
        (TINY, "efficientnet-b99", "backbone"),
    ] {
        assert!(header.contains(from), "{from} in {header}");
        let other = header.replace(from, to);
        let file = [&(other.len() as u64).to_le_bytes(), other.as_bytes(), &bytes[end..]].concat();
        let error = load_bytes(file, &path, &LoadOptions::default()).unwrap_err().to_string();
        assert!(error.contains(message), "{message} in {error}");
    }
}
