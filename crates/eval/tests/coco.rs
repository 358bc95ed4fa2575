//! COCO's figures against those of pycocotools.

use std::path::Path;
use std::{env, fs};

use effigy_eval::{CocoAp, CocoFigures, ScoredBox, TrueBox};
use effigy_vision::CocoBox;
use serde_json::Value;

/// How far a figure, 0 to 1, may be from pycocotools's.
const TOLERANCE: f64 = 1e-6;

#[test]
fn equals_pycocotools_on_made_up_pictures() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/coco");
    compare(&golden);
}

#[test]
fn equals_pycocotools_on_real_pictures() {
    let Some(folders) = env::var_os("EFFIGY_COCO_GOLDEN") else {
        println!("skipped: EFFIGY_COCO_GOLDEN names no folders that tests/golden/make_coco.py has written");
        return;
    };
    env::split_paths(&folders).for_each(|folder| compare(&folder));
}

/// Judges the detections of a folder that `make_coco.py` has written, in its order of pictures and backwards.
fn compare(folder: &Path) {
    let [instances, detections, expected] =
        ["instances.json", "detections.json", "expected.json"].map(|name| json(&folder.join(name)));
    let mut categories: Vec<u64> = list(&instances["categories"]).iter().map(|c| number(&c["id"])).collect();
    categories.sort_unstable();
    let class = |item: &Value| categories.binary_search(&number(&item["category_id"])).unwrap();

    let add = |metric: &mut CocoAp, image: &Value| {
        let id = number(&image["id"]);
        let of_image = |item: &&Value| number(&item["image_id"]) == id;
        let truth = |item: &Value| TrueBox {
            bounds: bounds(item),
            class_index: class(item),
            area: item["area"].as_f64().unwrap(),
            crowd: item["iscrowd"] == 1,
        };
        let found = |item: &Value| ScoredBox {
            bounds: bounds(item),
            class_index: class(item),
            score: item["score"].as_f64().unwrap(),
        };
        let truths: Vec<_> = list(&instances["annotations"]).iter().filter(of_image).map(truth).collect();
        let found: Vec<_> = list(&detections).iter().filter(of_image).map(found).collect();
        metric.add(id, &truths, &found);
    };
    let images = list(&instances["images"]);
    let mut metric = CocoAp::new(categories.len());
    images.iter().for_each(|image| add(&mut metric, image));
    let mut backwards = CocoAp::new(categories.len());
    images.iter().rev().for_each(|image| add(&mut backwards, image));

    let report = metric.report();
    assert_eq!(report, backwards.report());
    let mut largest = difference("overall", &report.overall, &expected["overall"]);
    assert_eq!(report.classes.len(), list(&expected["classes"]).len());
    for ((figures, expected), category) in
        report.classes.iter().zip(list(&expected["classes"])).zip(&categories)
    {
        largest = largest.max(difference(&format!("category {category}"), figures, expected));
    }
    println!("{}: largest difference {largest:e}, overall {:?}", folder.display(), report.overall);
}

/// The largest difference of the figures, asserted to be within the tolerance.
fn difference(what: &str, figures: &CocoFigures, expected: &Value) -> f64 {
    let mut largest: f64 = 0.0;
    for ((name, value), expected) in CocoFigures::NAMES.iter().zip(figures.values()).zip(list(expected)) {
        let expected = expected.as_f64();
        assert_eq!(value.is_some(), expected.is_some(), "{what}: {name} is {value:?}, not {expected:?}");
        let apart = value.zip(expected).map_or(0.0, |(value, expected)| (value - expected).abs());
        assert!(apart <= TOLERANCE, "{what}: {name} is {value:?}, not {expected:?}");
        largest = largest.max(apart);
    }
    largest
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn bounds(item: &Value) -> CocoBox {
    let numbers: Vec<f64> = list(&item["bbox"]).iter().map(|number| number.as_f64().unwrap()).collect();
    CocoBox::from_xywh(numbers.try_into().unwrap())
}
