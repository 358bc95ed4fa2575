//! Data sets made in a temporary folder.

use std::fs;
use std::path::Path;

use effigy_data::{DataError, Dataset, Hold, LineProblem, OnProblem, Split, pictures};
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

fn below(root: &Path, paths: impl IntoIterator<Item = impl AsRef<Path>>) -> Vec<String> {
    let name = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
    paths.into_iter().map(|path| name(path.as_ref())).collect()
}

fn opened(files: &[(&str, &str)]) -> (Vec<(String, usize)>, Option<Vec<String>>) {
    let root = folder(files);
    let dataset = Dataset::open(root.path()).unwrap();
    assert_eq!(dataset.root, root.path());
    let paths = below(root.path(), dataset.samples.iter().map(|sample| &sample.path));
    (
        paths.into_iter().zip(dataset.samples.iter().map(|sample| sample.class_index)).collect(),
        dataset.class_names,
    )
}

fn refused(files: &[(&str, &str)]) -> (DataError, String) {
    let root = folder(files);
    let error = Dataset::open(root.path()).unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with(root.path().to_str().unwrap()), "{message}");
    let message = message.replace(&format!("{}/", root.path().display()), "");
    (error, message)
}

#[test]
fn labels_keep_their_order() {
    let labels = "file\tclass_index\nb.png\t7\na.jpg\t0\n\nc d.png\t999\r\n";
    let (samples, names) = opened(&[("labels.tsv", labels), ("a.jpg", ""), ("b.png", ""), ("c d.png", "")]);
    assert_eq!(samples, [("b.png".into(), 7), ("a.jpg".into(), 0), ("c d.png".into(), 999)]);
    assert_eq!(names, None);
}

#[test]
fn labels_may_have_other_columns_and_a_byte_order_mark() {
    let labels = "\u{feff}class_index\tname\tfile\n3\ta cat\tin/a.jpg\n";
    assert_eq!(opened(&[("labels.tsv", labels), ("in/a.jpg", "")]).0, [("in/a.jpg".into(), 3)]);
}

#[test]
fn class_folders_are_numbered_by_name() {
    let files = [
        ("dog/z.png", ""),
        ("cat/b.jpg", ""),
        ("cat/deep/a.JPEG", ""),
        ("cat/notes.txt", ""),
        (".git/x.png", ""),
    ];
    let (samples, names) = opened(&files);
    assert_eq!(samples, [("cat/b.jpg".into(), 0), ("cat/deep/a.JPEG".into(), 0), ("dog/z.png".into(), 1)]);
    assert_eq!(names.unwrap(), ["cat", "dog"]);
}

#[test]
fn a_class_without_pictures_keeps_its_number() {
    let (samples, names) = opened(&[("a/readme", ""), ("b/x.png", "")]);
    assert_eq!(samples, [("b/x.png".into(), 1)]);
    assert_eq!(names.unwrap(), ["a", "b"]);
}

#[test]
fn a_bad_line_is_named() {
    let picture = ("a.jpg", "");
    let (error, message) = refused(&[("labels.tsv", "file\tclass_index\na.jpg\t1\na.jpg\n"), picture]);
    assert!(message.starts_with("labels.tsv:3: "), "{message}");
    assert!(matches!(
        error,
        DataError::Line { line: 3, problem: LineProblem::Fields { found: 1, expected: 2 }, .. }
    ));

    for class in ["-1", "cat", "", "1.0"] {
        let labels = format!("file\tclass_index\na.jpg\t{class}\n");
        let (error, message) = refused(&[("labels.tsv", &labels), picture]);
        assert!(message.starts_with("labels.tsv:2: "), "{message}");
        assert!(matches!(error, DataError::Line { problem: LineProblem::Class(c), .. } if c == class));
    }

    let (error, message) = refused(&[("labels.tsv", "file\tclass_index\n\ngone.jpg\t1\n"), picture]);
    assert!(message.starts_with("labels.tsv:3: the picture "), "{message}");
    assert!(matches!(error, DataError::Line { line: 3, problem: LineProblem::NoPicture(_), .. }));
}

#[test]
fn a_missing_column_is_named() {
    for labels in ["", "file,class_index\na,1\n", "file\nx\n"] {
        let (error, message) = refused(&[("labels.tsv", labels)]);
        assert!(matches!(error, DataError::MissingColumn { .. }), "{message}");
        assert!(message.starts_with("labels.tsv:1: "), "{message}");
    }
}

#[test]
fn no_pictures_is_an_error() {
    for files in
        [&[("labels.tsv", "file\tclass_index\n")][..], &[("cat/readme", "")], &[("top.png", "")], &[]]
    {
        assert!(matches!(refused(files).0, DataError::Empty { .. }));
    }
    let error = Dataset::open("does/not/exist").unwrap_err();
    assert!(error.to_string().starts_with("does/not/exist: cannot be read"), "{error}");
}

#[test]
fn pictures_are_found_below_and_sorted() {
    let root = folder(&[
        ("b.PNG", ""),
        ("a/z.tiff", ""),
        ("a/y.webp", ""),
        ("c.txt", ""),
        ("noext", ""),
        (".h.png", ""),
    ]);
    assert_eq!(below(root.path(), pictures(root.path()).unwrap()), ["a/y.webp", "a/z.tiff", "b.PNG"]);
    assert!(pictures(root.path().join("gone")).is_err());
}

fn splits(
    files: &[(&str, &str)],
    policy: OnProblem,
    hold: Option<Hold>,
) -> Result<Vec<Split<Dataset>>, String> {
    let root = folder(files);
    Dataset::open_splits(root.path(), policy, hold)
        .map_err(|error| error.to_string().replace(&format!("{}/", root.path().display()), ""))
}

/// The name of each split, and its samples by file name and class.
fn contents(splits: &[Split<Dataset>]) -> Vec<(String, Vec<(String, usize)>)> {
    let sample = |sample: &effigy_data::Sample| {
        (sample.path.file_name().unwrap().to_string_lossy().into_owned(), sample.class_index)
    };
    splits.iter().map(|s| (s.name.clone(), s.data.samples.iter().map(sample).collect())).collect()
}

#[test]
fn a_csv_names_labels_and_splits() {
    let list = "path,label,split\na.jpg,\"dog, small\",train\nb.jpg,cat,Valid\n\"c.jpg\",cat,training\nd.jpg,ape,test\n";
    let files = [("labels.csv", list), ("a.jpg", ""), ("b.jpg", ""), ("c.jpg", ""), ("d.jpg", "")];
    let splits = splits(&files, OnProblem::Refuse, None).unwrap();
    let named = |name: &str, class: usize| (name.to_owned(), class);
    assert_eq!(
        contents(&splits),
        [
            ("train".into(), vec![named("a.jpg", 2), named("c.jpg", 1)]),
            ("val".into(), vec![named("b.jpg", 1)]),
            ("test".into(), vec![named("d.jpg", 0)]),
        ]
    );
    for split in &splits {
        assert_eq!(split.data.class_names.as_ref().unwrap(), &["ape", "cat", "dog, small"]);
        assert_eq!(split.data.classes(), 3);
    }
    // All of it at once, and the list itself instead of its folder.
    let root = folder(&files);
    assert_eq!(Dataset::open(root.path().join("labels.csv")).unwrap().samples.len(), 4);
}

#[test]
fn a_bad_line_of_a_list_is_refused_or_left_out() {
    let list = "file;class_index;split\na.jpg;0;train\ngone.jpg;1;train\na.jpg;x;train\na.jpg\na.jpg;1;\n";
    let files = [("labels.csv", list), ("a.jpg", "")];
    let refused = splits(&files, OnProblem::Refuse, None).unwrap_err();
    assert_eq!(refused, "labels.csv:3: the picture gone.jpg is not there");
    let splits = splits(&files, OnProblem::Skip, None).unwrap();
    let problems: Vec<String> =
        splits.iter().flat_map(|s| &s.data.problems).map(ToString::to_string).collect();
    let ends = [
        "labels.csv: line 3: the picture ",
        "labels.csv: line 4: class_index `x` is no whole number from 0",
        "labels.csv: line 5: has 1 fields, but the header has 3",
        "labels.csv: line 6: the split is empty",
    ];
    for end in ends {
        assert!(problems.iter().any(|problem| problem.contains(end)), "{end}: {problems:?}");
    }
    assert_eq!(problems.len(), 4);
    assert_eq!(splits[0].data.samples.len(), 1);
}

#[test]
fn split_folders_number_their_classes_as_train_does() {
    let files = [
        ("train/cat/a.jpg", ""),
        ("train/dog/b.jpg", ""),
        ("val/dog/c.jpg", ""),
        ("val/emu/d.jpg", ""),
        ("notes.txt", ""),
    ];
    let refused = splits(&files, OnProblem::Refuse, None).unwrap_err();
    assert!(refused.starts_with("val/emu/d.jpg: category emu is not among the categories"), "{refused}");
    let splits = splits(&files, OnProblem::Skip, None).unwrap();
    let named = |name: &str, class: usize| (name.to_owned(), class);
    assert_eq!(
        contents(&splits),
        [
            ("train".into(), vec![named("a.jpg", 0), named("b.jpg", 1)]),
            ("val".into(), vec![named("c.jpg", 1)]),
        ]
    );
    assert_eq!(splits[1].data.problems.len(), 1);
    assert_eq!(splits[1].data.class_names.as_ref().unwrap(), &["cat", "dog"]);
}

#[test]
fn a_part_is_held_back_of_every_class() {
    let names: Vec<String> = (0..20).map(|i| format!("a/{i:02}.jpg")).collect();
    let mut files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    files.extend([("b/x.jpg", ""), ("b/y.jpg", ""), ("c/z.jpg", "")]);
    let hold = |seed| Some(Hold { share: 0.2, seed });
    let first = contents(&splits(&files, OnProblem::Refuse, hold(1)).unwrap());
    let again = contents(&splits(&files, OnProblem::Refuse, hold(1)).unwrap());
    let other = contents(&splits(&files, OnProblem::Refuse, hold(2)).unwrap());
    assert_eq!(first, again);
    assert_ne!(first, other);
    let count = |at: usize, class| first[at].1.iter().filter(|sample| sample.1 == class).count();
    assert_eq!((first[0].0.as_str(), first[1].0.as_str()), ("train", "val"));
    assert_eq!([0, 1, 2].map(|class| count(0, class)), [16, 1, 1]);
    assert_eq!([0, 1, 2].map(|class| count(1, class)), [4, 1, 0]);
    let alone = splits(&files, OnProblem::Refuse, None).unwrap();
    assert_eq!((alone.len(), alone[0].data.samples.len()), (1, 23));
}

#[test]
fn nothing_to_train_on_is_an_error() {
    for files in [
        &[("labels.csv", "file,label,split\na.jpg,x,val\n"), ("a.jpg", "")][..],
        &[("train/cat/readme", ""), ("val/cat/a.jpg", "")],
        &[("cat/readme", "")],
    ] {
        let refused = splits(files, OnProblem::Skip, None).unwrap_err();
        assert!(refused.contains("no pictures; it needs"), "{refused}");
    }
}
