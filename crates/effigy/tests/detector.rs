//! A detector as the library's users see it, with made-up weights.

use std::fs;
use std::path::{Path, PathBuf};

use effigy::arch::ParamRole;
use effigy::{Detection, Detector, EfficientDet, Error, Labels, Limits, Loader, Picture, decode_file};
use serde_json::json;

const CLASSES: usize = 3;

/// Numbers from −1 to 1.
fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let step = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(step).take(len).collect()
}

/// EfficientDet-D0 of three classes, its values from a seed; `damage` may change those of a name.
fn write_weights(path: &Path, damage: impl Fn(&str, &mut [f32])) {
    let graph = EfficientDet::from_name("efficientdet-d0").unwrap().with_classes(CLASSES).graph();
    let (mut header, mut bytes) = (serde_json::Map::new(), Vec::<u8>::new());
    for (seed, spec) in (0..).zip(graph.param_specs()) {
        let fan_in: usize = spec.shape[1..].iter().product();
        let mut values = noise(spec.shape.iter().product(), seed);
        values.iter_mut().for_each(|value| match spec.role {
            ParamRole::Weight if spec.shape.len() > 1 => *value *= (2.0 / fan_in as f32).sqrt(),
            ParamRole::Weight | ParamRole::RunningVar => *value = 1.0 + 0.5 * *value,
            ParamRole::Bias | ParamRole::RunningMean => *value *= 0.3,
        });
        damage(&spec.name, &mut values);
        let start = bytes.len();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let entry = json!({"dtype": "F32", "shape": spec.shape, "data_offsets": [start, bytes.len()]});
        header.insert(spec.name, entry);
    }
    let header = serde_json::to_string(&header).unwrap();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.into_bytes());
    file.extend(bytes);
    fs::write(path, file).unwrap();
}

fn photo_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("assets/chelsea.jpg")
}

fn photo() -> Picture {
    decode_file(photo_path(), &Limits::default()).unwrap()
}

/// A detector of a small input, and the folder that holds its weights.
fn detector(change: impl Fn(Loader) -> Loader) -> Result<Detector, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made-up.safetensors");
    write_weights(&path, |_, _| ());
    change(Loader::file(path).size(128, 192)).detector()
}

#[test]
fn objects_lie_in_the_picture_and_are_named() {
    let labels: Labels = ["red", "white", "platelet"].map(str::to_owned).into_iter().collect();
    let detector = detector(|loader| loader.labels(labels.clone())).unwrap();
    assert_eq!(detector.network().classes, CLASSES);
    assert_eq!(detector.network().letterbox.size, [128, 192]);
    let objects = detector.detect_file(photo_path()).unwrap();
    assert!(!objects.is_empty());
    let photo = photo();
    for Detection { bounds, class_index, label, score } in &objects {
        assert_eq!(*label, labels.get(*class_index));
        assert!((Detector::POST_PROCESSING.score..=1.0).contains(score), "{score}");
        let inside = bounds.clip(photo.width() + 1, photo.height() + 1);
        assert!(!bounds.is_degenerate() && inside == *bounds, "{bounds:?}");
    }
    assert!(objects.windows(2).all(|pair| pair[0].score >= pair[1].score));
}

#[test]
fn a_batch_gives_what_single_pictures_give() {
    let detector = detector(|loader| loader).unwrap();
    let thin = Picture::new(2000, 3, vec![99; 18_000]).unwrap();
    let dot = Picture::new(1, 1, vec![7; 3]).unwrap();
    let pictures = [photo(), thin, dot];
    let batch = detector.detect_batch(&pictures).unwrap();
    for (picture, objects) in pictures.iter().zip(&batch) {
        assert_eq!(*objects, detector.detect(picture).unwrap());
    }
    assert!(detector.detect_batch(&[]).unwrap().is_empty());
    assert!(detector.labels().as_slice().is_empty());
    assert_eq!(batch[0][0].label, format!("class {}", batch[0][0].class_index));
}

#[test]
fn what_is_found_can_be_restricted() {
    let all = detector(|loader| loader).unwrap().detect(&photo()).unwrap();
    let restricted = detector(|loader| {
        let post_processing =
            effigy::PostProcessing { max_detections: 4, classes: Some(vec![1]), ..Detector::POST_PROCESSING };
        loader.post_processing(post_processing)
    });
    let some = restricted.unwrap().detect(&photo()).unwrap();
    assert_eq!(some.len(), 4);
    let expected: Vec<_> = all.into_iter().filter(|object| object.class_index == 1).take(4).collect();
    assert_eq!(some, expected);
}

#[test]
fn what_cannot_be_used_is_refused() {
    fn assert_shared<T: Send + Sync>() {}
    assert_shared::<Detector>();

    let error = detector(|loader| loader.labels(Labels::coco())).unwrap_err();
    assert!(matches!(error, Error::LabelCount { labels: 90, classes: CLASSES }), "{error}");
    let error = Loader::pretrained("efficientnet-lite0").detector().unwrap_err();
    assert!(matches!(error, Error::NotADetector { .. }), "{error}");
    let error = detector(|loader| loader.size(0, 128)).unwrap_err();
    assert!(matches!(error, Error::Size { height: 0, .. }), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.safetensors");
    write_weights(&path, |name, values| {
        if name == "box.1.pointwise.weight" {
            values[7] = f32::NAN;
        }
    });
    let error = Detector::from_file(&path).unwrap_err().to_string();
    assert!(error.contains("box.1.pointwise.weight") && error.contains("damaged.safetensors"), "{error}");
    // Each weight is finite, what they make of a picture is not.
    write_weights(&path, |name, values| {
        if name.ends_with("pointwise.weight") {
            values.iter_mut().for_each(|value| *value *= 1e20);
        }
    });
    let error = Loader::file(&path).size(64, 64).detector().unwrap().detect(&photo()).unwrap_err();
    assert!(matches!(error, Error::NotFiniteOutput(_)), "{error}");
}
