use proptest::prelude::*;

use super::*;

fn iou(a: InputBox, b: InputBox) -> f64 {
    let area = |b: InputBox| f64::from(b.y2 - b.y1) * f64::from(b.x2 - b.x1);
    let height = f64::from(a.y2.min(b.y2)) - f64::from(a.y1.max(b.y1));
    let width = f64::from(a.x2.min(b.x2)) - f64::from(a.x1.max(b.x1));
    let shared = height.max(0.0) * width.max(0.0);
    if shared > 0.0 { shared / (area(a) + area(b) - shared) } else { 0.0 }
}

/// Every score lowered after every survivor, in f64; the best of the rest is sought anew each time.
fn plainly(candidates: &[Candidate], boxes: &[InputBox], options: &PostProcessing) -> Vec<(usize, f64)> {
    let mut scores: Vec<f64> = candidates.iter().map(|candidate| f64::from(candidate.score)).collect();
    let mut survivors = Vec::new();
    while survivors.len() < options.max_detections {
        let best = (0..scores.len()).rev().max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        let Some(best) = best.filter(|&best| scores[best] > f64::from(options.score)) else { break };
        survivors.push((best, scores[best]));
        scores[best] = 0.0;
        for (other, score) in scores.iter_mut().enumerate() {
            let overlap = iou(boxes[best], boxes[other]);
            let same = candidates[best].class_index == candidates[other].class_index;
            if same || options.across_classes {
                *score *= match options.suppression {
                    Suppression::Hard { iou } => f64::from(u8::from(overlap <= f64::from(iou))),
                    Suppression::Soft { iou, .. } if overlap > f64::from(iou) => 0.0,
                    Suppression::Soft { sigma, .. } => (-overlap * overlap / f64::from(sigma)).exp(),
                };
            }
        }
    }
    survivors
}

/// Boxes on a coarse grid, so that many are equal, touch or enclose nothing. Scores apart from each other, as
/// the rounding of f32 may order near ones otherwise than f64's.
fn scene() -> impl Strategy<Value = (Vec<Candidate>, Vec<InputBox>)> {
    let side = (0..8_i32, 0..6_i32).prop_map(|(low, long)| (low as f32 * 9.0, (low + long) as f32 * 9.0));
    let bounds = (side.clone(), side).prop_map(|((y1, y2), (x1, x2))| InputBox { y1, x1, y2, x2 });
    let class = 0..3_usize;
    prop::collection::vec((bounds, class), 0..60).prop_map(|found| {
        let candidate = |(index, &(_, class_index)): (usize, &(InputBox, usize))| Candidate {
            anchor: index,
            class_index,
            score: 0.95 * 0.953_f32.powi(index as i32),
        };
        (found.iter().enumerate().map(candidate).collect(), found.iter().map(|&(bounds, _)| bounds).collect())
    })
}

proptest! {
    #[test]
    fn hard_suppression_is_the_plain_one(
        (candidates, boxes) in scene(),
        iou in 0.0..=1.0_f32,
        most in 0..30_usize,
        across_classes: bool,
    ) {
        let options = PostProcessing {
            suppression: Suppression::Hard { iou },
            max_detections: most,
            across_classes,
            ..PostProcessing::EFFDET
        };
        let found: Vec<usize> = suppress(&candidates, &boxes, &options).iter().map(|s| s.index).collect();
        let expected: Vec<usize> = plainly(&candidates, &boxes, &options).iter().map(|s| s.0).collect();
        prop_assert_eq!(found, expected);
    }

    /// Scores are within f32's rounding; the order is that of the plain scores, near ones apart.
    #[test]
    fn soft_suppression_is_the_plain_one(
        (candidates, boxes) in scene(),
        sigma in 0.2..2.0_f32,
        iou in prop_oneof![Just(0.5_f32), Just(1.0)],
        across_classes: bool,
    ) {
        const ROUNDING: f64 = 1e-5;
        let options = PostProcessing {
            score: 0.01,
            suppression: Suppression::Soft { sigma, iou },
            across_classes,
            max_detections: usize::MAX,
            ..PostProcessing::EFFDET
        };
        let found = suppress(&candidates, &boxes, &options);
        let expected = plainly(&candidates, &boxes, &options);
        prop_assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
        for &(index, score) in &expected {
            let same = found.iter().find(|survivor| survivor.index == index);
            let near = same.is_some_and(|same| (f64::from(same.score) - score).abs() < ROUNDING);
            prop_assert!(near || score < 0.01 + ROUNDING, "{} {} {:?}", index, score, same);
        }
        let sure = |survivor: &&Survivor| f64::from(survivor.score) > 0.01 + ROUNDING;
        prop_assert!(found.iter().filter(sure).count() <= expected.len());
    }
}

#[test]
fn equal_scores_keep_their_order() {
    let bounds = |x: f32| InputBox { y1: 0.0, x1: x, y2: 10.0, x2: x + 10.0 };
    let candidates = [0, 1, 2].map(|anchor| Candidate { anchor, class_index: 0, score: 0.5 });
    for suppression in [Suppression::Hard { iou: 0.5 }, Suppression::Soft { sigma: 0.5, iou: 0.5 }] {
        let options = PostProcessing { suppression, ..PostProcessing::OFFICIAL };
        let apart = suppress(&candidates, &[0.0, 20.0, 40.0].map(bounds), &options);
        assert_eq!(apart.iter().map(|survivor| survivor.index).collect::<Vec<_>>(), [0, 1, 2]);
        let alike = suppress(&candidates, &[0.0; 3].map(bounds), &options);
        assert_eq!(alike, [Survivor { index: 0, score: 0.5 }]);
    }
}
