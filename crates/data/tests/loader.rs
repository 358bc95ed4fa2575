//! Batches of data sets made in a temporary folder.

use std::fs;
use std::path::PathBuf;

use effigy_arch::{EfficientNet, Letterbox, Normalisation, Preprocessing};
use effigy_data::augment::{ClassificationRecipe, DetectionRecipe};
use effigy_data::loader::{ClassificationSource, DetectionSource, InputObject, Loader, LoaderOptions, Place};
use effigy_data::{AnnotatedPicture, DataError, Object, OnProblem, Sample};
use effigy_vision::{CocoBox, InputBox, Picture, PictureFormat, encode, preprocess};
use tempfile::TempDir;

/// Pictures of noise, each of a size of its own.
fn pictures(count: usize) -> (TempDir, Vec<PathBuf>) {
    let root = tempfile::tempdir().unwrap();
    let paths = (0..count).map(|index| {
        let path = root.path().join(format!("{index:03}.png"));
        fs::write(&path, encode(&picture(index), PictureFormat::Png).unwrap()).unwrap();
        path
    });
    let paths = paths.collect();
    (root, paths)
}

fn picture(index: usize) -> Picture {
    let [width, height] = [40 + index, 30];
    let pixels = (0..width * height * 3).map(|i| (i * (7 + index) % 251) as u8).collect();
    Picture::new(width, height, pixels).unwrap()
}

fn samples(paths: &[PathBuf]) -> Vec<Sample> {
    let sample = |(index, path): (usize, &PathBuf)| Sample { path: path.clone(), class_index: index % 3 };
    paths.iter().enumerate().map(sample).collect()
}

fn preprocessing() -> Preprocessing {
    EfficientNet::from_name("efficientnet-lite0").unwrap().preprocessing.with_view(24, 0.875)
}

fn options(threads: usize) -> LoaderOptions {
    LoaderOptions { threads, ..LoaderOptions::training(4, 11) }
}

fn annotated(paths: &[PathBuf]) -> Vec<AnnotatedPicture> {
    let picture = |(index, path): (usize, &PathBuf)| {
        let bounds = CocoBox::from_xywh([10.0, 5.0, 20.0, 15.0]);
        let object = Object { bounds, class_index: 1, area: 300.0, crowd: false, difficult: true, origin: 1 };
        let crowd = Object { crowd: true, ..object };
        let (width, height, id) = (40 + index, 30, index as u64);
        AnnotatedPicture {
            path: path.clone(),
            id,
            width,
            height,
            objects: vec![crowd, object],
            annotations: "i.json".into(),
        }
    };
    paths.iter().enumerate().map(picture).collect()
}

fn letterbox() -> Letterbox {
    Letterbox { size: [32, 48], ..Letterbox::square(32, Normalisation::HALF) }
}

#[test]
fn batches_do_not_depend_on_threads_or_where_they_begin() {
    let (_root, paths) = pictures(10);
    let source = || {
        ClassificationSource::new(&samples(&paths), 3, preprocessing())
            .varied(ClassificationRecipe::default())
    };
    let mut one = Loader::new(source(), options(1));
    assert_eq!((one.batches(), one.pictures()), (2, 10));
    let mut expected = Vec::new();
    for epoch in 0..3 {
        for batch in 0..2 {
            assert_eq!(one.place(), Place { epoch, batch });
            let batch = one.next().unwrap().unwrap();
            assert_eq!(batch.input.shape(), [4, 24, 24, 3]);
            expected.push(batch);
        }
        assert!(one.next().unwrap().is_none());
    }
    assert_ne!(expected[0].samples, expected[2].samples, "every epoch has its own order");

    let mut many = Loader::new(source().cached(20_000), options(3));
    for (number, expected) in expected.iter().enumerate() {
        assert_eq!(many.next().unwrap().as_ref(), Some(expected));
        if number % 2 == 1 {
            assert!(many.next().unwrap().is_none());
        }
    }
    for (number, expected) in expected.iter().enumerate().rev() {
        let mut resumed = Loader::new(source(), options(2));
        resumed.seek(Place { epoch: number as u64 / 2, batch: number as u64 % 2 });
        assert_eq!(resumed.next().unwrap().as_ref(), Some(expected));
    }
    // Seeking to the end of an epoch is where it was after its last batch.
    many.seek(Place { epoch: 0, batch: 2 });
    assert!(many.next().unwrap().is_none());
    assert_eq!(many.next().unwrap().as_ref(), Some(&expected[2]));
}

#[test]
fn evaluation_sees_every_picture_once_as_the_network_is_used() {
    let (_root, paths) = pictures(6);
    let source = ClassificationSource::new(&samples(&paths), 3, preprocessing());
    let mut loader = Loader::new(source, LoaderOptions::evaluation(4));
    let first = loader.next().unwrap().unwrap();
    let last = loader.next().unwrap().unwrap();
    assert!(loader.next().unwrap().is_none());
    assert_eq!((first.samples, last.samples), (vec![0, 1, 2, 3], vec![4, 5]));
    assert_eq!((last.classes, last.files), (vec![1, 2], paths[4..].to_vec()));
    assert_eq!(last.targets.data(), [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(last.input.data()[24 * 24 * 3..], preprocess(&picture(5), &preprocessing()));
}

#[test]
fn a_corrupt_picture_is_refused_left_out_or_replaced() {
    let (root, paths) = pictures(6);
    let whole = fs::read(&paths[1]).unwrap();
    fs::write(&paths[1], &whole[..whole.len() / 2]).unwrap();
    fs::write(&paths[4], "no picture").unwrap();
    let source = || ClassificationSource::new(&samples(&paths), 3, preprocessing());
    let evaluation = LoaderOptions::evaluation(4);

    let mut loader = Loader::new(source(), evaluation);
    let error = loader.next().unwrap_err();
    assert!(matches!(&error, DataError::Problem(problem) if problem.path == paths[1]), "{error}");
    let message = error.to_string().replace(&format!("{}/", root.path().display()), "");
    assert!(message.starts_with("001.png: damaged or truncated PNG"), "{message}");

    let mut loader = Loader::new(source().on_problem(OnProblem::Skip), evaluation);
    for _ in 0..2 {
        assert_eq!(loader.next().unwrap().unwrap().samples, [0, 2, 3]);
        assert_eq!(loader.next().unwrap().unwrap().samples, [5]);
        assert!(loader.next().unwrap().is_none());
    }
    let named: Vec<&PathBuf> = loader.problems().iter().map(|problem| &problem.path).collect();
    assert_eq!(named, [&paths[1], &paths[4]], "each is told once");

    let skipping = source().varied(ClassificationRecipe::default()).on_problem(OnProblem::Skip);
    let mut loader = Loader::new(skipping, LoaderOptions { batch: 3, ..options(2) });
    for _ in 0..4 {
        while let Some(batch) = loader.next().unwrap() {
            assert_eq!(batch.samples.len(), 3, "batches stay whole");
            assert!(!batch.samples.contains(&1) && !batch.samples.contains(&4), "{:?}", batch.samples);
        }
    }
    assert_eq!(loader.problems().len(), 2);

    // Nothing can be read: there is no batch, but an end.
    for path in &paths {
        fs::write(path, "").unwrap();
    }
    let mut loader = Loader::new(source().on_problem(OnProblem::Skip), options(2));
    assert!(loader.next().unwrap().is_none());
    assert!(loader.problems().len() >= 4);
}

#[test]
fn detection_in_whole_pictures() {
    let (_root, paths) = pictures(3);
    let mut loader =
        Loader::new(DetectionSource::new(&annotated(&paths), letterbox()), LoaderOptions::evaluation(2));
    let batch = loader.next().unwrap().unwrap();
    assert_eq!(batch.input.shape(), [2, 32, 48, 3]);
    // 40×30 pixels fit 48×32 at 32/30.
    let scale = 32.0 / 30.0;
    let bounds = InputBox { y1: 5.0 * scale, x1: 10.0 * scale, y2: 20.0 * scale, x2: 30.0 * scale };
    assert_eq!(batch.objects[0], [InputObject { bounds, class_index: 1, difficult: true }]);
    let back = batch.placements[0].to_picture(bounds);
    assert!((back.x2 - 30.0).abs() < 1e-4, "{back:?}");
    assert_eq!(batch.files[1], [paths[1].clone()]);
}

#[test]
fn detection_varied_is_the_same_for_any_number_of_threads() {
    let (_root, paths) = pictures(9);
    let recipe = DetectionRecipe { mosaic: 0.5, ..DetectionRecipe::default() };
    let source = || DetectionSource::new(&annotated(&paths), letterbox()).varied(recipe.clone());
    let mut one = Loader::new(source(), options(1));
    let mut two = Loader::new(source().cached(20_000), options(2));
    let (mut mosaics, mut objects) = (0, 0);
    for _ in 0..6 {
        let (a, b) = (one.next().unwrap(), two.next().unwrap());
        assert_eq!(a, b);
        let Some(batch) = a else { continue };
        mosaics += batch.files.iter().filter(|files| files.len() == 4).count();
        assert_eq!(batch.files.len(), 4);
        for object in batch.objects.iter().flatten() {
            let InputBox { y1, x1, y2, x2 } = object.bounds;
            assert!(y1 >= 0.0 && x1 >= 0.0 && y2 <= 32.0 && x2 <= 48.0 && x2 - x1 >= 1.0, "{object:?}");
            objects += 1;
        }
    }
    assert!(mosaics > 2 && objects > 10, "{mosaics} {objects}");
}

#[test]
fn a_picture_of_another_size_than_annotated_is_a_problem() {
    let (_root, paths) = pictures(2);
    let mut pictures = annotated(&paths);
    pictures[1].width = 30;
    let mut loader = Loader::new(DetectionSource::new(&pictures, letterbox()), LoaderOptions::evaluation(1));
    assert!(loader.next().unwrap().is_some());
    let message = loader.next().unwrap_err().to_string();
    assert!(
        message.contains("001.png: the picture has 41×30 pixels, but is annotated as 30×30"),
        "{message}"
    );
}
