//! Detection data sets made in a temporary folder, and real ones where they are.

use std::path::Path;
use std::{env, fs};

use effigy_data::{DataError, DetectionDataset, DetectionResult, OnProblem, read_results, write_results};
use effigy_vision::{CocoBox, PixelBox};
use tempfile::TempDir;

/// A folder holding files of the given names and contents.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    root
}

/// The COCO data set of these lists, with pictures `a.jpg` and `in/b.png` in the folder.
fn coco(
    images: &str,
    annotations: &str,
    categories: &str,
    policy: OnProblem,
) -> Result<DetectionDataset, String> {
    let json = format!(
        "{{\"info\": {{}},\n\"images\": [{images}],\n\"annotations\": [{annotations}],\n\"categories\": [{categories}]}}"
    );
    let root = folder(&[("i.json", &json), ("a.jpg", ""), ("in/b.png", "")]);
    DetectionDataset::from_coco(root.path().join("i.json"), root.path(), policy)
        .map_err(|error| message(&error, root.path()))
}

/// What an error says, with paths from `root`.
fn message(error: &DataError, root: &Path) -> String {
    error.to_string().replace(&format!("{}/", root.display()), "")
}

const IMAGES: &str = r#"{"id": 9, "file_name": "in/b.png", "width": 640, "height": 480, "license": 1},
    {"id": 4, "file_name": "a.jpg", "width": 100, "height": 50}"#;
const CATEGORIES: &str =
    r#"{"id": 90, "name": "brush"}, {"id": 1, "name": "person"}, {"id": 13, "name": "sign"}"#;

fn annotation(id: u64, image: u64, category: u64, bbox: &str) -> String {
    format!(r#"{{"id": {id}, "image_id": {image}, "category_id": {category}, "bbox": {bbox}}}"#)
}

#[test]
fn coco_is_read_with_gaps_crowds_and_empty_pictures() {
    let annotations = r#"
        {"id": 7, "image_id": 9, "category_id": 90, "bbox": [10.25, 20, 30, 40.5], "area": 99.5, "iscrowd": 1,
         "segmentation": {"counts": [1, 2], "size": [480, 640]}},
        {"id": 3, "image_id": 9, "category_id": 13, "bbox": [0, 0, 640, 480]}"#;
    let dataset = coco(IMAGES, annotations, CATEGORIES, OnProblem::Refuse).unwrap();
    let categories: Vec<_> = dataset.categories.iter().map(|c| (c.id, c.name.as_str())).collect();
    assert_eq!(categories, [(1, "person"), (13, "sign"), (90, "brush")]);
    assert_eq!([1, 13, 90, 2].map(|id| dataset.class_of(id)), [Some(0), Some(1), Some(2), None]);

    let [b, a] = &dataset.pictures[..] else { panic!("{dataset:?}") };
    assert!(b.path.ends_with("in/b.png") && a.path.ends_with("a.jpg"));
    assert_eq!((b.id, b.width, b.height, a.id, a.width, a.height), (9, 640, 480, 4, 100, 50));
    assert_eq!(a.objects, []);
    let [crowd, sign] = b.objects[..] else { panic!("{b:?}") };
    assert_eq!((crowd.class_index, crowd.area, crowd.crowd, crowd.difficult), (2, 99.5, true, false));
    assert_eq!(crowd.bounds, CocoBox::from_xywh([10.25, 20.0, 30.0, 40.5]));
    assert_eq!(crowd.corners(), PixelBox { x1: 10.25, y1: 20.0, x2: 40.25, y2: 60.5 });
    // What is left out: the area is the box's, and it is no crowd.
    assert_eq!((sign.class_index, sign.area, sign.crowd), (1, 640.0 * 480.0, false));
}

#[test]
fn a_coco_problem_is_refused_or_skipped_by_its_number() {
    let bad = [
        (annotation(7, 9, 2, "[0, 0, 5, 5]"), "i.json: annotation 7: category 2 is not among the categories"),
        (annotation(7, 8, 1, "[0, 0, 5, 5]"), "i.json: annotation 7: image 8 is not among the images"),
        (
            annotation(7, 9, 1, "[1, 2, 0, 5]"),
            "i.json: annotation 7: the box has no area within the picture (left 1, top 2, width 0, height 5)",
        ),
        (
            annotation(7, 9, 1, "[1, 2, 3, -5]"),
            "i.json: annotation 7: the box has no area within the picture (left 1, top 2, width 3, height -5)",
        ),
        (
            annotation(7, 4, 1, "[100, 2, 3, 5]"),
            "i.json: annotation 7: the box has no area within the picture (left 100, top 2, width 3, height 5)",
        ),
    ];
    for (annotation_7, expected) in bad {
        let annotations = format!("{annotation_7}, {}", annotation(8, 9, 1, "[0, 0, 5, 5]"));
        let refused = coco(IMAGES, &annotations, CATEGORIES, OnProblem::Refuse).unwrap_err();
        assert_eq!(refused, format!("{expected}; mend it, or have such ones skipped"));
        let dataset = coco(IMAGES, &annotations, CATEGORIES, OnProblem::Skip).unwrap();
        assert_eq!(dataset.pictures.iter().map(|picture| picture.objects.len()).sum::<usize>(), 1);
        let [problem] = &dataset.problems[..] else { panic!("{dataset:?}") };
        assert!(problem.to_string().ends_with(expected), "{problem}");
    }
}

#[test]
fn a_coco_picture_that_is_not_there_takes_its_annotations_along() {
    let images = format!(r#"{IMAGES}, {{"id": 5, "file_name": "c.jpg", "width": 1, "height": 1}}"#);
    let annotations = annotation(7, 5, 1, "[0, 0, 5, 5]");
    let refused = coco(&images, &annotations, CATEGORIES, OnProblem::Refuse).unwrap_err();
    assert!(refused.starts_with("i.json: image 5: the picture c.jpg is not there"), "{refused}");
    let dataset = coco(&images, &annotations, CATEGORIES, OnProblem::Skip).unwrap();
    assert_eq!((dataset.pictures.len(), dataset.problems.len()), (2, 1));

    let twice = format!("{IMAGES}, {IMAGES}");
    let refused = coco(&twice, "", CATEGORIES, OnProblem::Refuse).unwrap_err();
    assert!(refused.starts_with("i.json: image 9: image 9 is there twice"), "{refused}");
    let empty = coco(&images.replace("640", "0"), "", CATEGORIES, OnProblem::Refuse).unwrap_err();
    assert!(empty.starts_with("i.json: image 9: the picture's size is 0×480"), "{empty}");
    let none = coco("", "", CATEGORIES, OnProblem::Skip).unwrap_err();
    assert!(none.starts_with("i.json: no annotated pictures"), "{none}");
}

#[test]
fn malformed_coco_is_refused_by_its_line() {
    let three = annotation(7, 9, 1, "[0, 0, 5]");
    let refused = coco(IMAGES, &three, CATEGORIES, OnProblem::Skip).unwrap_err();
    assert!(refused.starts_with("i.json:4: invalid length 3"), "{refused}");
    let refused = coco(IMAGES, "", r#"{"id": 1}"#, OnProblem::Skip).unwrap_err();
    assert!(refused.starts_with("i.json:5: missing field `name`"), "{refused}");
}

fn voc_object(name: &str, [xmin, ymin, xmax, ymax]: [&str; 4], difficult: u8) -> String {
    format!(
        "<object><name>{name}</name><difficult>{difficult}</difficult>\n<bndbox><xmin>{xmin}</xmin>\
         <ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>\n"
    )
}

fn voc_file(filename: &str, objects: &str) -> String {
    let size = "<size><width>640</width><height>480</height><depth>3</depth></size>";
    format!("<annotation><filename>{filename}</filename>\n{size}\n{objects}</annotation>")
}

#[test]
fn voc_is_read_by_split_with_the_classes_of_all_files() {
    let one = voc_file("one.jpg", &voc_object("dog", ["1", "1", "640", "480"], 1));
    let two = voc_file("C:\\there\\second.JPG", &voc_object("cat", ["11", "21.5", "20", "30.5"], 0));
    let root = folder(&[
        ("Annotations/1.xml", &one),
        ("Annotations/2.xml", &two),
        ("Annotations/3.xml", &voc_file("", "")),
        ("JPEGImages/1.png", ""),
        ("JPEGImages/second.JPG", ""),
        ("JPEGImages/3.jpg", ""),
        ("ImageSets/Main/test.txt", "3\n2  1\n\n"),
    ]);
    let all = DetectionDataset::from_voc(root.path(), None, None, OnProblem::Refuse).unwrap();
    assert_eq!(all.pictures.len(), 3);
    let dog = all.pictures[0].objects[0];
    assert_eq!(dog.corners(), PixelBox { x1: 0.0, y1: 0.0, x2: 640.0, y2: 480.0 });
    assert_eq!((dog.class_index, dog.difficult, dog.crowd, dog.area), (1, true, false, 307_200.0));

    let test = DetectionDataset::from_voc(root.path(), Some("test"), None, OnProblem::Refuse).unwrap();
    assert_eq!(test.categories, all.categories);
    let names: Vec<_> = test.categories.iter().map(|c| (c.id, c.name.as_str())).collect();
    assert_eq!(names, [(1, "cat"), (2, "dog")]);
    let [three, two] = &test.pictures[..] else { panic!("{test:?}") };
    assert!(three.path.ends_with("JPEGImages/3.jpg") && two.path.ends_with("JPEGImages/second.JPG"));
    assert_eq!((three.id, three.objects.len(), two.id, two.width, two.height), (1, 0, 2, 640, 480));
    assert_eq!(two.objects[0].bounds, CocoBox::from_xywh([10.0, 20.5, 10.0, 10.0]));

    let other = ["dog".into(), "cat".into()];
    let named = DetectionDataset::from_voc(root.path(), None, Some(&other), OnProblem::Refuse).unwrap();
    assert_eq!(named.pictures[0].objects[0].class_index, 0);
}

#[test]
fn voc_may_be_one_folder() {
    let one = voc_file("1.jpg", &voc_object("dog", ["1", "1", "2", "2"], 0));
    let root = folder(&[("1.xml", &one), ("1.jpg", "")]);
    let dataset = DetectionDataset::from_voc(root.path(), None, None, OnProblem::Refuse).unwrap();
    assert_eq!(dataset.pictures[0].path, root.path().join("1.jpg"));
}

#[test]
fn a_voc_problem_is_refused_or_skipped_by_its_line() {
    let good = voc_object("dog", ["5", "5", "9", "9"], 0);
    let point = "line 5: the box has no area within the picture (left 4, top 4, width 0, height 5)";
    let bad = [
        (voc_object("dog", ["5", "5", "5", "9"], 0), point),
        (voc_object("cat", ["5", "5", "8", "9"], 0), "line 5: category cat is not among the categories"),
        (voc_object("dog", ["5", "5", "x", "9"], 0), "line 5: <xmax> is missing or cannot be read"),
        ("<object/>".into(), "line 5: <name> is missing or cannot be read"),
    ];
    for (object, expected) in bad {
        let file = voc_file("1.jpg", &format!("{good}{object}"));
        let root = folder(&[("1.xml", &file), ("1.jpg", "")]);
        let read = |policy| DetectionDataset::from_voc(root.path(), None, Some(&["dog".into()]), policy);
        let refused = message(&read(OnProblem::Refuse).unwrap_err(), root.path());
        assert_eq!(refused, format!("1.xml: {expected}; mend it, or have such ones skipped"));
        let dataset = read(OnProblem::Skip).unwrap();
        assert_eq!((dataset.pictures[0].objects.len(), dataset.problems.len()), (1, 1));
    }
}

#[test]
fn voc_files_that_are_not_there_or_malformed() {
    let root = folder(&[("1.xml", &voc_file("1.jpg", "")), ("ImageSets/Main/val.txt", "2\n")]);
    let read = |split| {
        let error = DetectionDataset::from_voc(root.path(), split, None, OnProblem::Refuse).unwrap_err();
        message(&error, root.path())
    };
    assert!(
        read(None).starts_with("1.xml: line 1: the picture JPEGImages/1.jpg is not there"),
        "{}",
        read(None)
    );
    let val = read(Some("val"));
    assert!(
        val.starts_with("ImageSets/Main/val.txt: line 1: the annotation file 2.xml is not there"),
        "{val}"
    );
    assert!(read(Some("no")).starts_with("ImageSets/Main/no.txt: cannot be read"));

    let root = folder(&[("1.xml", "<annotation>\n<object></annotation>")]);
    let read = |policy| {
        let error = DetectionDataset::from_voc(root.path(), None, None, policy).unwrap_err();
        message(&error, root.path())
    };
    assert!(read(OnProblem::Refuse).starts_with("1.xml: line 2: "), "{}", read(OnProblem::Refuse));
    assert!(read(OnProblem::Skip).contains("1 skipped, the first: "), "{}", read(OnProblem::Skip));
}

#[test]
fn malformed_voc_files_are_skipped_by_their_lines() {
    let one = voc_file("1.jpg", &voc_object("dog", ["1", "1", "2", "2"], 0));
    let root = folder(&[
        ("1.xml", &one),
        ("1.jpg", ""),
        ("2.xml", " \n"),
        ("3.xml", "<annotation>\n<object></annotation>"),
        ("ImageSets/Main/train.txt", "1\n2\n"),
    ]);
    fs::write(root.path().join("4.xml"), b"<annotation>\n\xff</annotation>").unwrap();
    for (split, places) in [(None, [(2, 1), (3, 2), (4, 2)]), (Some("train"), [(3, 2), (4, 2), (2, 1)])] {
        let dataset = DetectionDataset::from_voc(root.path(), split, None, OnProblem::Skip).unwrap();
        assert_eq!((dataset.pictures.len(), dataset.pictures[0].objects[0].origin), (1, 3));
        let found: Vec<String> =
            dataset.problems.iter().map(|problem| problem.to_string().replace('\\', "/")).collect();
        for ((file, line), problem) in places.into_iter().zip(&found) {
            assert!(problem.contains(&format!("/{file}.xml: line {line}: ")), "{found:?}");
        }
        assert_eq!(found.len(), 3);
    }
}

#[test]
fn results_are_written_and_read_to_the_bit() {
    let bounds = CocoBox::from(PixelBox { x1: 0.1, y1: 1.0 / 3.0, x2: 639.97, y2: 1e-3 + 400.0 });
    let results: Vec<_> = (0..50u8)
        .map(|i| DetectionResult {
            image_id: 391_895,
            category_id: 90,
            bounds,
            score: f64::from(1.0 / (f32::from(i) + 3.0)),
        })
        .collect();
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("results.json");
    for count in [0, 1, 50] {
        let mut text = Vec::new();
        write_results(&mut text, results[..count].iter().copied()).unwrap();
        fs::write(&path, &text).unwrap();
        assert_eq!(read_results(&path).unwrap(), results[..count]);
    }
    let one = DetectionResult { bounds: CocoBox::from_xywh([1.0, 2.5, 3.0, 4.0]), score: 0.5, ..results[0] };
    let mut text = Vec::new();
    write_results(&mut text, [one]).unwrap();
    let expected = r#"{"image_id":391895,"category_id":90,"bbox":[1.0,2.5,3.0,4.0],"score":0.5}"#;
    assert_eq!(String::from_utf8(text).unwrap(), format!("[\n{expected}\n]\n"));
    assert!(write_results(Vec::new(), [DetectionResult { score: f64::NAN, ..one }]).is_err());
}

#[test]
fn real_data_sets() {
    let Some(root) = env::var_os("EFFIGY_TINY_COCO") else {
        println!("skipped: EFFIGY_TINY_COCO names no folder with annotations/ and val2017/ of tiny-coco");
        return;
    };
    let root = Path::new(&root);
    let json = root.join("annotations/instances_val2017.json");
    let dataset = DetectionDataset::from_coco(json, root.join("val2017"), OnProblem::Refuse).unwrap();
    let objects = || dataset.pictures.iter().flat_map(|picture| &picture.objects);
    let crowds = objects().filter(|object| object.crowd).count();
    assert_eq!((dataset.pictures.len(), dataset.categories.len()), (50, 80));
    assert_eq!((objects().count(), crowds, dataset.class_of(90)), (382, 5, Some(79)));
}

#[test]
fn real_cells() {
    let Some(root) = env::var_os("EFFIGY_BCCD") else {
        println!("skipped: EFFIGY_BCCD names no folder of the BCCD data set in Pascal VOC's format");
        return;
    };
    let read = |split, policy| DetectionDataset::from_voc(&root, split, None, policy);
    let all = read(None, OnProblem::Skip).unwrap();
    let objects: usize = all.pictures.iter().map(|picture| picture.objects.len()).sum();
    assert_eq!((all.pictures.len(), objects, all.problems.len()), (364, 4886, 2));
    assert!(all.problems.iter().all(|problem| problem.to_string().contains("the box has no area")));
    assert!(matches!(read(None, OnProblem::Refuse), Err(DataError::Problem(_))));
    assert_eq!(read(Some("test"), OnProblem::Skip).unwrap().pictures.len(), 72);
    let names: Vec<_> = all.categories.iter().map(|category| category.name.as_str()).collect();
    assert_eq!(names, ["Platelets", "RBC", "WBC"]);
}
