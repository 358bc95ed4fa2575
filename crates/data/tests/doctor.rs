//! What the doctor finds in data sets made to be ill.

use std::fs;
use std::path::Path;

use effigy_arch::EfficientDet;
use effigy_data::doctor::{Check, Diagnosis, Examination, Severity, classification, detection};
use effigy_data::{Dataset, DetectionDataset, OnProblem, Split};
use effigy_vision::{Picture, PictureFormat, encode};
use tempfile::TempDir;

/// A PNG of a colour of its own.
fn png(width: usize, height: usize, colour: u8) -> Vec<u8> {
    let picture = Picture::new(width, height, vec![colour; width * height * 3]).unwrap();
    encode(&picture, PictureFormat::Png).unwrap()
}

fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    root
}

/// The findings of a check, each as `split|path: place: message`, with paths from `root`.
fn found(diagnosis: &Diagnosis, check: Check, root: &Path) -> Vec<String> {
    let own = diagnosis.findings.iter().filter(|finding| finding.check == check);
    let line = |finding: &effigy_data::doctor::Finding| {
        let path = finding.path.display().to_string();
        let text = format!("{}|{path}: {}: {}", finding.split, finding.place, finding.message);
        text.replace(&format!("{}/", root.display()), "")
    };
    own.map(line).collect()
}

/// Asserts that a check found as many things, that begin so.
fn assert_found(diagnosis: &Diagnosis, check: Check, root: &Path, expected: &[&str]) {
    let found = found(diagnosis, check, root);
    assert_eq!(found.len(), expected.len(), "{check:?}: {found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{check:?}: {found}");
    }
}

fn examine_boxes(splits: &[Split<DetectionDataset>], root: &Path) -> Diagnosis {
    let detector = EfficientDet::from_name("efficientdet-lite0").unwrap();
    let examination = Examination { detector: Some(detector), threads: 2 };
    let mut seen = 0;
    let diagnosis = detection(splits, &[root.join("pictures")], &examination, || seen += 1).unwrap();
    assert_eq!(seen, splits.iter().map(|split| split.data.pictures.len()).sum::<usize>());
    diagnosis
}

fn coco(root: &Path, name: &str) -> Split<DetectionDataset> {
    let json = root.join(format!("{name}.json"));
    let data = DetectionDataset::from_coco(json, root.join("pictures"), OnProblem::Skip).unwrap();
    Split { name: name.into(), data }
}

fn instances(images: &[&str], annotations: &[&str], categories: &str) -> Vec<u8> {
    let (images, annotations) = (images.join(","), annotations.join(","));
    format!(r#"{{"images": [{images}], "annotations": [{annotations}], "categories": [{categories}]}}"#)
        .into_bytes()
}

fn image(id: u64, file: &str, width: usize, height: usize) -> String {
    format!(r#"{{"id": {id}, "file_name": "{file}", "width": {width}, "height": {height}}}"#)
}

fn annotation(id: u64, image: u64, category: u64, bbox: &str) -> String {
    format!(r#"{{"id": {id}, "image_id": {image}, "category_id": {category}, "bbox": {bbox}}}"#)
}

const CATEGORIES: &str = r#"{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 5, "name": "Cat "}"#;

#[test]
fn an_ill_coco_data_set() {
    let images = [
        image(1, "a.png", 320, 320),
        image(2, "b.png", 100, 80),
        image(3, "broken.png", 10, 10),
        image(4, "gone.png", 10, 10),
        image(5, "twin.png", 320, 320),
        image(6, "empty.png", 10, 10),
    ];
    let annotations = [
        annotation(10, 1, 1, "[100, 100, 24, 24]"),
        annotation(11, 1, 1, "[100, 100, 24, 24]"),
        annotation(12, 1, 2, "[300, 300, 30.5, 20]"),
        annotation(13, 1, 0, "[1, 2, 3, 4]"),
        annotation(14, 1, 2, "[5, 5, 0, 4]"),
        annotation(15, 5, 2, "[200, 50, 3, 60]"),
        annotation(16, 2, 1, "[10, 10, 40, 40]"),
        annotation(17, 3, 1, "[1, 1, 8, 8]"),
    ];
    let (images, annotations) = (images.each_ref(), annotations.each_ref());
    let train = instances(&images.map(String::as_str), &annotations.map(String::as_str), CATEGORIES);
    let val = instances(
        &[&image(1, "val.png", 320, 320), &image(2, "leak.png", 320, 320)],
        &[&annotation(1, 1, 1, "[10, 10, 100, 100]")],
        CATEGORIES,
    );
    let whole = png(320, 320, 1);
    let root = folder(&[
        ("train.json", train),
        ("val.json", val),
        ("pictures/a.png", whole.clone()),
        ("pictures/twin.png", whole.clone()),
        ("pictures/b.png", png(80, 100, 2)),
        ("pictures/broken.png", whole[..60].to_vec()),
        ("pictures/empty.png", Vec::new()),
        ("pictures/val.png", png(320, 320, 4)),
        ("pictures/leak.png", whole),
        ("pictures/extra.png", png(5, 5, 3)),
    ]);
    let diagnosis = examine_boxes(&[coco(root.path(), "train"), coco(root.path(), "val")], root.path());
    let check = |check, expected: &[&str]| assert_found(&diagnosis, check, root.path(), expected);
    check(
        Check::Unreadable,
        &[
            "train|pictures/broken.png: : damaged or truncated PNG",
            "train|pictures/empty.png: : the file is empty",
        ],
    );
    check(Check::Missing, &["train|train.json: image 4: the picture pictures/gone.png is not there"]);
    check(
        Check::OtherSize,
        &["train|pictures/b.png: : the picture has 80×100 pixels, but is annotated as 100×80"],
    );
    check(Check::UnknownCategory, &["train|train.json: annotation 13: category 0"]);
    check(Check::DegenerateBox, &["train|train.json: annotation 14: the box has no area"]);
    check(
        Check::ShiftedNumbers,
        &["train|: : there are objects of category 0, but the table is from 1 to 5"],
    );
    check(Check::SimilarNames, &["train|: : `cat` and `Cat `"]);
    check(Check::Gaps, &["train|: : 3 classes are numbered from 1 to 5"]);
    check(Check::EmptyClass, &["train|: : class Cat  has no objects"]);
    check(Check::Unmeasured, &["val|: : class dog is in train, but not in val"]);
    check(Check::Duplicate, &["train|pictures/twin.png: : the same bytes as pictures/a.png (in train)"]);
    check(Check::Leak, &["val|pictures/leak.png: : the same bytes as pictures/a.png (in train)"]);
    check(Check::DuplicateBox, &["train|train.json: annotation 11: the same box as annotation 10"]);
    check(Check::CutBox, &["train|train.json: annotation 12: the box reaches 10.5 pixels outside"]);
    check(Check::TinyBox, &["train|train.json: annotation 15: 3.0×60.0 pixels"]);
    check(Check::LostBox, &["train|train.json: annotation 11: best overlap"]);
    check(Check::ForcedBox, &["train|train.json: annotation 15: 3×60 pixels"]);
    check(Check::WithoutObjects, &["train|pictures/empty.png", "val|pictures/leak.png"]);
    check(Check::Unlisted, &["|pictures/extra.png"]);
    assert!(diagnosis.has_problems());
    assert!(diagnosis.findings.windows(2).all(|pair| pair[0].severity() >= pair[1].severity()));
    let anchors = &diagnosis.anchors[0];
    assert_eq!((anchors.boxes, anchors.matched, anchors.forced, anchors.lost), (6, 5, 1, 1));
    assert_eq!(anchors.by_anchors.iter().sum::<usize>(), 6);
    let splits: Vec<_> = diagnosis.splits.iter().map(|s| (s.pictures, s.objects, &s.per_class[..])).collect();
    assert_eq!(splits, [(5, 6, &[4, 2, 0][..]), (2, 1, &[1, 0, 0])]);
}

#[test]
fn another_table_of_classes() {
    let one = |categories| {
        instances(&[&image(1, "a.png", 9, 9)], &[&annotation(1, 1, 1, "[1, 1, 8, 8]")], categories)
    };
    let root = folder(&[
        ("train.json", one(r#"{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}"#)),
        ("val.json", one(r#"{"id": 1, "name": "dog"}"#)),
        ("pictures/a.png", png(9, 9, 1)),
    ]);
    let diagnosis = examine_boxes(&[coco(root.path(), "train"), coco(root.path(), "val")], root.path());
    assert_found(&diagnosis, Check::OtherClasses, root.path(), &["val|: : 1 dog; not 1 cat, 2 dog"]);
    assert_found(
        &diagnosis,
        Check::Untrained,
        root.path(),
        &["val|: : class dog is in val, but not in train"],
    );
    assert_eq!(diagnosis.splits[1].per_class, [0, 1]);
}

#[test]
fn a_sound_data_set_has_nothing_but_notes() {
    let train = instances(
        &[&image(1, "a.png", 320, 320)],
        &[&annotation(1, 1, 1, "[8, 8, 80, 80]")],
        r#"{"id": 1, "name": "cat"}"#,
    );
    let root = folder(&[("train.json", train), ("pictures/a.png", png(320, 320, 1))]);
    let diagnosis = examine_boxes(&[coco(root.path(), "train")], root.path());
    assert_eq!(diagnosis.findings, []);
    assert!(!diagnosis.has_problems());
}

#[test]
fn an_ill_classification_data_set() {
    let picture = png(4, 4, 1);
    let turned = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../vision/tests/golden/pictures/exif6.jpg"));
    let mut files = vec![
        ("train/cat/a.png".to_owned(), picture.clone()),
        ("train/cat/again.png".to_owned(), picture.clone()),
        ("train/dog/b.png".to_owned(), picture.clone()),
        ("train/dog/turned.jpg".to_owned(), turned.unwrap()),
        ("train/emu/readme".to_owned(), Vec::new()),
        ("train/loose.png".to_owned(), png(3, 3, 9)),
        ("val/cat/leak.png".to_owned(), picture),
        ("val/dog/broken.jpg".to_owned(), b"no picture".to_vec()),
        ("val/fox/f.png".to_owned(), png(2, 2, 7)),
    ];
    files.extend((0..58).map(|i| (format!("train/cat/{i}.png"), png(2, 3, 100 + i))));
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let root = folder(&files);
    let splits = Dataset::open_splits(root.path(), OnProblem::Skip, None).unwrap();
    let mut seen = 0;
    let examination = Examination { detector: None, threads: 3 };
    let diagnosis = classification(&splits, &examination, || seen += 1).unwrap();
    assert_eq!(seen, 64);
    let check = |check, expected: &[&str]| assert_found(&diagnosis, check, root.path(), expected);
    check(Check::Unreadable, &["val|val/dog/broken.jpg: : no picture in a known format"]);
    check(Check::UnknownCategory, &["val|val/fox/f.png: : category fox"]);
    check(
        Check::Conflict,
        &["train|train/dog/b.png: : class dog, but the same bytes are class cat: train/cat/a.png"],
    );
    check(Check::Duplicate, &["train|train/cat/again.png: : the same bytes as train/cat/a.png (in train)"]);
    check(Check::Leak, &["val|val/cat/leak.png: : the same bytes as train/cat/a.png (in train)"]);
    check(Check::EmptyClass, &["train|: : class emu has no pictures"]);
    check(Check::Imbalance, &["train|: : pictures of class dog: 2, of class cat: 60, 30 times as many"]);
    check(Check::Turned, &["train|train/dog/turned.jpg: : stored as"]);
    check(Check::Unlisted, &["train|train/loose.png: : it is in no class", "val|val/fox/f.png"]);
    assert_eq!(
        diagnosis.findings.iter().map(effigy_data::doctor::Finding::severity).max(),
        Some(Severity::Error)
    );
}
