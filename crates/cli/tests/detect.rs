//! `effigy detect`, as people and programs call it.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{code, json, photo, run, stderr, stdout, write_detector};
use effigy::{Limits, decode_file};
use tempfile::TempDir;

/// A folder with a detector, two photos (one in a folder below) and pictures of odd kinds.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_detector(&path("d.safetensors"), 0.0);
    fs::create_dir_all(path("photos/below")).unwrap();
    fs::copy(photo(), path("photos/a.jpg")).unwrap();
    fs::copy(photo(), path("photos/below/c.jpg")).unwrap();
    folder
}

const DETECT: [&str; 5] = ["detect", "--weights", "d.safetensors", "--score", "0.01"];

fn detect(folder: &Path, more: &[&str]) -> std::process::Output {
    run(folder, &[&DETECT[..], more].concat())
}

#[test]
fn json_has_the_fields_of_the_contract() {
    let folder = folder();
    let output = detect(folder.path(), &["--json", "--max-detections", "7", "photos"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let lines = json(&output);
    let paths: Vec<&str> = lines.iter().map(|line| line["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["photos/a.jpg", "photos/below/c.jpg"]);
    assert_eq!((&lines[0]["width"], &lines[0]["height"]), (&451.into(), &300.into()));
    let keys: Vec<&String> = lines[0].as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 4, "{keys:?}");
    let detections = lines[0]["detections"].as_array().unwrap();
    assert_eq!(detections.len(), 7);
    for found in detections {
        assert_eq!(found.as_object().unwrap().len(), 4, "{found}");
        let edges: Vec<f64> =
            found["box"].as_array().unwrap().iter().map(|edge| edge.as_f64().unwrap()).collect();
        let [x1, y1, x2, y2] = edges[..] else { panic!("{found}") };
        assert!(0.0 <= x1 && x1 < x2 && x2 <= 451.0 && 0.0 <= y1 && y1 < y2 && y2 <= 300.0, "{found}");
        assert_eq!(found["label"], ["a", "b", "c"][found["class_index"].as_u64().unwrap() as usize]);
        assert!((0.01..=1.0).contains(&found["score"].as_f64().unwrap()), "{found}");
    }
    assert_eq!(lines[0]["detections"], lines[1]["detections"]);
    let batched = detect(folder.path(), &["--json", "--max-detections", "7", "--batch", "2", "photos"]);
    assert_eq!(stdout(&batched), stdout(&output));
}

#[test]
fn classes_are_chosen_by_label_or_index() {
    let folder = folder();
    for (classes, labels) in [("B", &["b"][..]), ("0,c", &["a", "c"])] {
        let output = detect(folder.path(), &["--json", "--classes", classes, "photos/a.jpg"]);
        let line = &json(&output)[0];
        let found = line["detections"].as_array().unwrap();
        assert!(
            !found.is_empty() && found.iter().all(|found| labels.contains(&found["label"].as_str().unwrap()))
        );
    }
    let output = detect(folder.path(), &["--classes", "dog", "photos/a.jpg"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("a, b, c"), "{}", stderr(&output));
}

#[test]
fn people_read_a_block_a_picture() {
    let folder = folder();
    let output = detect(folder.path(), &["--max-detections", "3", "photos/a.jpg"]);
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert_eq!((lines[0], lines[4]), ("photos/a.jpg  451×300", "  3 objects"));
    let none = run(folder.path(), &["detect", "--weights", "d.safetensors", "--score", "1", "photos/a.jpg"]);
    assert_eq!(stdout(&none).lines().last(), Some("  0 objects"));
}

#[test]
fn drawn_pictures_have_the_names_of_their_sources() {
    let folder = folder();
    let before = fs::read(folder.path().join("photos/a.jpg")).unwrap();
    let output = detect(folder.path(), &["--out", "drawn", "photos"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    for name in ["a.jpg", "below/c.jpg"] {
        let drawn = decode_file(folder.path().join("drawn").join(name), &Limits::default()).unwrap();
        assert_eq!((drawn.width(), drawn.height()), (451, 300));
        assert_ne!(drawn, decode_file(photo(), &Limits::default()).unwrap());
    }
    assert_eq!(fs::read_dir(folder.path().join("drawn")).unwrap().count(), 2, "nothing else is left");

    for arguments in [["--out", "photos", "photos"].as_slice(), &["--out", "x", "photos/a.jpg", "photos"]] {
        let output = detect(folder.path(), arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
    }
    assert_eq!(fs::read(folder.path().join("photos/a.jpg")).unwrap(), before);
}

#[test]
fn bad_inputs_are_named_and_the_rest_is_done() {
    let folder = folder();
    fs::write(folder.path().join("empty.jpg"), "").unwrap();
    let whole = fs::read(photo()).unwrap();
    fs::write(folder.path().join("cut.jpg"), &whole[..whole.len() / 2]).unwrap();
    let output = detect(folder.path(), &["--json", "empty.jpg", "cut.jpg", "gone.png", "photos/a.jpg"]);
    assert_eq!(code(&output), 1);
    assert_eq!(json(&output).len(), 1);
    for name in ["empty.jpg", "cut.jpg", "gone.png"] {
        assert!(stderr(&output).contains(name), "{}", stderr(&output));
    }

    write_detector(&folder.path().join("nan.safetensors"), f32::NAN);
    let output = run(folder.path(), &["detect", "--weights", "nan.safetensors", "photos"]);
    assert_eq!((code(&output), stdout(&output)), (1, String::new()));
    let errors = stderr(&output);
    assert!(errors.contains("nan.safetensors") && errors.contains("class.predict"), "{errors}");
}

#[test]
fn pictures_of_odd_shapes() {
    let folder = folder();
    for (name, width, height) in [("dot.png", 1, 1), ("long.png", 20_000, 10)] {
        let picture = effigy::Picture::new(width, height, vec![120; width * height * 3]).unwrap();
        let bytes = effigy::vision::encode(&picture, effigy::vision::PictureFormat::Png).unwrap();
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let output = detect(folder.path(), &["--json", "--out", "drawn", "dot.png", "long.png"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(json(&output).len(), 2);
}

/// Left, top, right and bottom of the white cell in blood.jpg, as BCCD has it.
const WHITE_CELL: [f64; 4] = [295.0, 267.0, 518.0, 472.0];

#[test]
fn without_weights_it_finds_blood_cells_and_says_so() {
    let folder = folder();
    let blood = Path::new(env!("CARGO_MANIFEST_DIR")).join("../effigy/assets/blood.jpg");
    let output = run(folder.path(), &["detect", "--json", "--score", "0.5", blood.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    for told in ["blood cells", "--weights", "--model"] {
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
    }
    let line = &json(&output)[0];
    let found = line["detections"].as_array().unwrap();
    let of = |label: &str| found.iter().filter(|found| found["label"] == label).collect::<Vec<_>>();
    let [white] = of("WBC")[..] else { panic!("{line}") };
    for (edge, annotated) in white["box"].as_array().unwrap().iter().zip(WHITE_CELL) {
        assert!((edge.as_f64().unwrap() - annotated).abs() < 25.0, "{white}");
    }
    assert!((10..25).contains(&of("RBC").len()) && of("Platelets").len() == 1, "{line}");
}

#[test]
fn wrong_options_are_refused() {
    let folder = folder();
    for wrong in [["--score", "2"], ["--iou", "x"], ["--max-detections", "0"]] {
        assert_eq!(code(&detect(folder.path(), &[&wrong[..], &["photos"]].concat())), 2, "{wrong:?}");
    }
}

/// Whether there is an ffmpeg; says so where there is none.
fn has_ffmpeg() -> bool {
    let found = Command::new("ffmpeg").arg("-version").output().is_ok();
    if !found {
        println!("skipped: ffmpeg is not on the PATH");
    }
    found
}

/// Ten frames of a picture that moves, at five a second, of odd sides.
fn film(path: &Path) {
    let source = "testsrc=size=161x91:rate=5:duration=2";
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", source, "-c:v", "mpeg4", "-q:v", "2"])
        .arg(path)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn a_video_gets_an_object_a_frame_and_is_drawn() {
    if !has_ffmpeg() {
        return;
    }
    let folder = folder();
    film(&folder.path().join("film.mkv"));
    let output = detect(folder.path(), &["--json", "--out", "drawn", "film.mkv"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let lines = json(&output);
    assert_eq!(lines.len(), 10);
    assert_eq!((&lines[3]["frame"], &lines[3]["time_s"]), (&3.into(), &0.6.into()));
    assert_eq!((&lines[3]["width"], &lines[3]["height"]), (&161.into(), &91.into()));

    // What was drawn is a video of as many frames, and nothing else is left.
    let names: Vec<_> =
        fs::read_dir(folder.path().join("drawn")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["film.mkv"]);
    let again = detect(folder.path(), &["--json", "drawn/film.mkv"]);
    assert_eq!((code(&again), json(&again).len()), (0, 10), "{}", stderr(&again));

    // The same file under a name that tells nothing.
    fs::rename(folder.path().join("film.mkv"), folder.path().join("film")).unwrap();
    assert_eq!(json(&detect(folder.path(), &["--json", "film"])).len(), 10);
}

#[test]
fn of_a_damaged_video_the_whole_frames_are_done() {
    if !has_ffmpeg() {
        return;
    }
    let folder = folder();
    let path = folder.path().join("film.mkv");
    film(&path);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    fs::write(folder.path().join("junk.mp4"), [7; 999]).unwrap();
    let output = detect(folder.path(), &["--json", "--out", "drawn", "junk.mp4", "film.mkv", "photos/a.jpg"]);
    assert_eq!(code(&output), 1);
    let lines = json(&output);
    let frames = lines.iter().filter(|line| line["path"] == "film.mkv").count();
    assert!((1..10).contains(&frames), "{frames}");
    assert!(lines.iter().any(|line| line["path"] == "photos/a.jpg"));
    let errors = stderr(&output);
    assert!(errors.contains("film.mkv: damaged") && errors.contains("junk.mp4: cannot be read"), "{errors}");
    assert!(folder.path().join("drawn/film.mkv").exists() && !folder.path().join("drawn/junk.mp4").exists());
}

#[test]
fn without_ffmpeg_it_says_how_to_get_it() {
    let folder = folder();
    fs::write(folder.path().join("film.mp4"), [7; 999]).unwrap();
    let output = common::effigy()
        .current_dir(folder.path())
        .env("PATH", folder.path())
        .args(DETECT)
        .arg("film.mp4")
        .output()
        .unwrap();
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("film.mp4") && stderr(&output).contains("install ffmpeg"),
        "{}",
        stderr(&output)
    );
}
