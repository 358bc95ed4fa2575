//! Data sets made in a temporary folder.

use std::fs;
use std::path::Path;

use effigy_data::{DataError, Dataset, LineProblem, pictures};
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
