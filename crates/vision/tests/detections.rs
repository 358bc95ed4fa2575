//! Post-processing against effdet's, zylo117's and google/automl's, through goldens that
//! `golden/make_detections.py` writes.

use std::time::Instant;

use effigy_arch::{AnchorBox, EfficientDet, Letterbox, Normalisation};
use effigy_vision::{Candidates, Clip, Level, Placement, PostProcessing, ScoredBox, Suppression, detections};

/// The generator of `golden/make_detections.py`.
fn outputs(seed: u32, anchors: usize, classes: usize) -> (Vec<f32>, Vec<f32>) {
    let mut state = seed.wrapping_mul(7919);
    let uniform = (0..anchors * (classes + 4)).map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        f64::from(state) / 4_294_967_296.0
    });
    let uniform: Vec<f64> = uniform.collect();
    let (logits, offsets) = uniform.split_at(anchors * classes);
    let logit = |u: &f64| (u * u * (u * u) * 9.0 - 7.0) as f32;
    (logits.iter().map(logit).collect(), offsets.iter().map(|u| (u * 1.2 - 0.6) as f32).collect())
}

/// Its levels: 3 to 7 of a square input.
fn levels<'a>(logits: &'a [f32], offsets: &'a [f32], classes: usize, side: usize) -> Vec<Level<'a>> {
    let mut first = 0;
    let level = |level: usize| {
        let anchors = first..first + 9 * side.div_ceil(1 << level).pow(2);
        first = anchors.end;
        Level {
            class_logits: &logits[anchors.start * classes..anchors.end * classes],
            box_offsets: &offsets[anchors.start * 4..anchors.end * 4],
        }
    };
    (3..=7).map(level).collect()
}

fn anchors(name: &str, side: usize) -> Vec<AnchorBox> {
    EfficientDet::from_name(name).unwrap().anchor_boxes(side, side)
}

/// The detector, its letterbox and the post-processing of a golden's code.
fn of(code: &str) -> (&'static str, Letterbox, PostProcessing) {
    let square = Letterbox::square(1, Normalisation::IMAGENET);
    let (name, effdet, zylo117) = ("efficientdet-d0", "tf_efficientdet_d0", "zylo117/efficientdet-d0");
    match code {
        "effdet" => (effdet, square.as_effdet(), PostProcessing::EFFDET),
        "effdet_soft" => (effdet, square.as_effdet(), PostProcessing::EFFDET_SOFT),
        // The golden has no more than the first hundred.
        "zylo117" => {
            (zylo117, square.as_zylo117(), PostProcessing { max_detections: 100, ..PostProcessing::ZYLO117 })
        }
        "official" => (name, square, PostProcessing::OFFICIAL),
        "official_hard" => {
            let suppression = Suppression::Hard { iou: 0.5 };
            (name, square, PostProcessing { score: 0.0, suppression, ..PostProcessing::OFFICIAL })
        }
        "official_global" => {
            (name, square, PostProcessing { across_classes: true, ..PostProcessing::OFFICIAL })
        }
        other => panic!("no code is called {other}"),
    }
}

#[test]
fn equals_the_code_of_each_convention() {
    const PIXELS: f32 = 0.01;
    const SCORE: f32 = 1e-5;
    let golden = include_str!("golden/detections.tsv");
    let mut cases = 0;
    for case in golden.split("case\t").skip(1) {
        let mut lines = case.lines().filter(|line| !line.starts_with('#'));
        let fields: Vec<&str> = lines.next().unwrap().split('\t').collect();
        let number = |index: usize| fields[index].parse::<usize>().unwrap();
        let (classes, side) = (number(1), number(2));
        let (name, letterbox, options) = of(fields[0]);
        let anchors = anchors(name, side);
        let (logits, offsets) = outputs(number(5) as u32, anchors.len(), classes);
        let placement =
            Placement::new([number(4), number(3)], &Letterbox { size: [side, side], ..letterbox });
        let levels = levels(&logits, &offsets, classes, side);
        let found = detections(&levels, &anchors, classes, &placement, &options).unwrap();

        let expected: Vec<Vec<f32>> =
            lines.map(|line| line.split('\t').map(|number| number.parse().unwrap()).collect()).collect();
        assert_eq!(found.len(), expected.len(), "{fields:?}");
        for (rank, (found, expected)) in found.iter().zip(expected).enumerate() {
            let at = format!("{fields:?}, detection {rank}: {found:?}, not {expected:?}");
            let bounds = found.bounds;
            let edges = [bounds.x1, bounds.y1, bounds.x2, bounds.y2];
            assert!(edges.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= PIXELS), "{at}");
            assert!((found.score - expected[4]).abs() <= SCORE, "{at}");
            assert_eq!(found.class_index, expected[5] as usize, "{at}");
        }
        cases += 1;
    }
    assert_eq!(cases, 13);
}

/// D0's outputs for one picture.
struct D0 {
    logits: Vec<f32>,
    offsets: Vec<f32>,
    anchors: Vec<AnchorBox>,
    placement: Placement,
}

impl D0 {
    fn new(logit: impl FnMut(usize) -> f32) -> Self {
        let letterbox = Letterbox::square(512, Normalisation::IMAGENET);
        let anchors = anchors("efficientdet-d0", 512);
        Self {
            logits: (0..anchors.len() * 90).map(logit).collect(),
            offsets: vec![0.0; anchors.len() * 4],
            placement: Placement::new([480, 640], &letterbox),
            anchors,
        }
    }

    fn detect(&self, options: &PostProcessing) -> Result<Vec<ScoredBox>, effigy_vision::NotFinite> {
        let levels = levels(&self.logits, &self.offsets, 90, 512);
        detections(&levels, &self.anchors, 90, &self.placement, options)
    }
}

#[test]
fn equal_logits_of_equal_boxes_come_to_an_end() {
    let mut d0 = D0::new(|index| if index % 90 == 7 { 0.5 } else { -9.0 });
    d0.anchors.fill(AnchorBox { y1: 100.0, x1: 100.0, y2: 200.0, x2: 200.0 });
    for options in [PostProcessing::EFFDET, PostProcessing::ZYLO117, PostProcessing::OFFICIAL] {
        let found = d0.detect(&options).unwrap();
        assert_eq!((found[0].class_index, found[0].score), (7, 0.622_459_35));
        assert!(found.iter().all(|other| other.class_index == 7));
        assert_eq!(found.len(), 1);
    }
    // One class, 5000 boxes, none of which overlaps more than allowed.
    let every = PostProcessing {
        suppression: Suppression::Hard { iou: 1.0 },
        clip: Clip::Never,
        max_detections: usize::MAX,
        ..PostProcessing::EFFDET
    };
    assert_eq!(d0.detect(&every).unwrap().len(), 5000);
}

#[test]
fn names_the_output_that_is_not_finite() {
    let mut d0 = D0::new(|_| -9.0);
    assert_eq!(d0.detect(&PostProcessing { score: 0.3, ..PostProcessing::EFFDET }).unwrap(), []);
    d0.offsets[4 * 49_103] = f32::NAN;
    assert_eq!(d0.detect(&PostProcessing::EFFDET).unwrap_err().endpoint, "box.p7");
    d0.offsets[4 * 49_103] = 0.0;
    d0.logits[36_864 * 90] = f32::NEG_INFINITY;
    assert_eq!(d0.detect(&PostProcessing::EFFDET).unwrap_err().endpoint, "class.p4");
    // Finite, but its box has no place.
    let mut d0 = D0::new(|_| -9.0);
    d0.offsets.fill(f32::MAX);
    assert_eq!(d0.detect(&PostProcessing::EFFDET).unwrap_err().endpoint, "box.p3");
}

#[test]
fn boxes_beside_the_picture_take_no_places() {
    // 640×480 fills the upper 384 rows of 512. The best box lies below, the next in the picture.
    let mut d0 = D0::new(|index| [2.0, 1.0, -9.0][(index / 90).min(2)]);
    d0.anchors[0] = AnchorBox { y1: 400.0, x1: 100.0, y2: 500.0, x2: 200.0 };
    d0.anchors[1] = AnchorBox { y1: 100.0, x1: 100.0, y2: 200.0, x2: 200.0 };
    let one = PostProcessing { max_detections: 1, ..PostProcessing::EFFDET };
    let found = d0.detect(&one).unwrap()[0];
    assert!(found.bounds.is_degenerate() && found.score > 0.8, "{found:?}");
    let found = d0.detect(&PostProcessing { drop_empty: true, ..one }).unwrap()[0];
    assert!(!found.bounds.is_degenerate() && (0.7..0.8).contains(&found.score), "{found:?}");
}

#[test]
fn only_wanted_classes() {
    let (logits, offsets) = outputs(21, 3069, 6);
    let anchors = anchors("efficientdet-d0", 128);
    let placement = Placement::new([128, 128], &Letterbox::square(128, Normalisation::IMAGENET));
    let levels = levels(&logits, &offsets, 6, 128);
    let find = |options: &PostProcessing| detections(&levels, &anchors, 6, &placement, options).unwrap();
    for candidates in [Candidates::EveryClass(usize::MAX), Candidates::BestClass(usize::MAX)] {
        let all =
            PostProcessing { score: 0.4, candidates, max_detections: usize::MAX, ..PostProcessing::EFFDET };
        let mut expected = find(&all);
        expected.retain(|found| [1, 4].contains(&found.class_index));
        assert!(!expected.is_empty());
        assert_eq!(find(&PostProcessing { classes: Some(vec![4, 1]), ..all }), expected);
    }
}

#[test]
#[ignore = "prints how long it takes: cargo test -p effigy-vision --release -- --ignored --nocapture times"]
fn times() {
    let logit = |u: f64| (u * u * (u * u) * 12.0 - 14.0) as f32;
    let mut state = 7919_u32;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        f64::from(state) / 4_294_967_296.0
    };
    let made_up = D0::new(|_| logit(uniform()));
    let rising = D0::new(|index| index as f32 / 1e6 - 9.0);
    let equal = D0::new(|_| 0.5);
    for (name, d0) in [("made-up", made_up), ("rising", rising), ("equal", equal)] {
        for score in [0.3, 0.05, 0.001, 0.0] {
            for (kind, preset) in [("hard", PostProcessing::EFFDET), ("soft", PostProcessing::OFFICIAL)] {
                let options = PostProcessing { score, ..preset };
                let mut times: Vec<f64> = Vec::new();
                let mut count = 0;
                for _ in 0..21 {
                    let start = Instant::now();
                    count = d0.detect(&options).unwrap().len();
                    times.push(start.elapsed().as_secs_f64() * 1e3);
                }
                times.sort_by(f64::total_cmp);
                println!(
                    "{name}, score {score}, {kind}: {:.2} ms, least {:.2}, {count} boxes",
                    times[10], times[0]
                );
            }
        }
    }
}

#[test]
fn levels_of_each_picture_are_cut_from_a_batch() {
    let (class, offsets): (Vec<f32>, Vec<f32>) = ((0..12).map(|i| i as f32).collect(), vec![7.0; 24]);
    let (small, small_offsets) = ([20.0, 21.0], [8.0; 4]);
    let outputs = [&class[..], &offsets, &small, &small_offsets];
    let levels = Level::of_picture(outputs, 2, 1);
    assert_eq!(levels.len(), 2);
    assert_eq!((levels[0].class_logits, levels[0].box_offsets), (&class[6..], &offsets[12..]));
    assert_eq!((levels[1].class_logits, levels[1].box_offsets), (&small[1..], &small_offsets[2..]));
}
