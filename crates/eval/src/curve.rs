//! Precision over recall.

use std::cmp::Ordering;

/// How many recalls COCO samples the precision at: 0, 0.01 … 1.
const RECALLS: usize = 101;

/// Average precision, and recall, each 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Curve {
    pub(crate) precision: f64,
    pub(crate) recall: f64,
}

/// The curve of detections, best first: each `true` where it is right.
///
/// The precision is the mean over 101 recalls of the best precision at that recall or above it, 0 where that
/// recall is never reached. The recall is that of all detections. `to_find` is positive.
pub(crate) fn curve(right: impl Iterator<Item = bool>, to_find: usize) -> Curve {
    let mut hits = 0.0;
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (index, right) in right.enumerate() {
        hits += f64::from(u8::from(right));
        points.push((hits / to_find as f64, hits / (index + 1) as f64));
    }
    let mut best: f64 = 0.0;
    for (_, precision) in points.iter_mut().rev() {
        best = best.max(*precision);
        *precision = best;
    }
    let sampled = (0..RECALLS).map(|index| {
        let asked = recall(index);
        let reached = points.partition_point(|&(recall, _)| recall < asked);
        points.get(reached).map_or(0.0, |&(_, precision)| precision)
    });
    Curve {
        precision: sampled.sum::<f64>() / RECALLS as f64,
        recall: points.last().map_or(0.0, |&(recall, _)| recall),
    }
}

/// Recall `index` of 101, to the bit as `numpy.linspace(0, 1, 101)` makes it: number 35 is not 35/100 there, and
/// whether a recall reaches it may hang on that.
fn recall(index: usize) -> f64 {
    if index == RECALLS - 1 { 1.0 } else { index as f64 * 0.01 }
}

/// The order of two scores, the higher one first, NaN last. Equal scores are equal, so that a stable sort
/// keeps their order.
pub(crate) fn falling(a: f64, b: f64) -> Ordering {
    // Adding zero makes −0 a 0.
    let key = |score: f64| if score.is_nan() { f64::NEG_INFINITY } else { score + 0.0 };
    key(b).total_cmp(&key(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_found_is_one() {
        assert_eq!(curve([true, true].into_iter(), 2), Curve { precision: 1.0, recall: 1.0 });
        // What comes after the last hit costs nothing.
        assert_eq!(curve([true, true, false].into_iter(), 2), Curve { precision: 1.0, recall: 1.0 });
    }

    #[test]
    fn nothing_found_is_nought() {
        let nought = Curve { precision: 0.0, recall: 0.0 };
        assert_eq!(curve([].into_iter(), 3), nought);
        assert_eq!(curve([false, false].into_iter(), 3), nought);
    }

    #[test]
    fn precision_is_the_best_at_that_recall_or_above() {
        // Right, wrong, right of 2: precision 1 up to recall 0.5 (51 samples), then 2/3 (50 samples).
        let found = curve([true, false, true].into_iter(), 2);
        assert!((found.precision - (51.0 + 50.0 * 2.0 / 3.0) / 101.0).abs() < 1e-12, "{found:?}");
        // Half of what there is found: the other 50 samples are 0.
        let found = curve([true].into_iter(), 2);
        assert!((found.precision - 51.0 / 101.0).abs() < 1e-12 && found.recall == 0.5, "{found:?}");
    }

    #[test]
    fn scores_fall() {
        let mut scores = [0.5, f64::NAN, 0.9, -0.0, 0.0, f64::NEG_INFINITY];
        scores.sort_by(|&a, &b| falling(a, b));
        assert_eq!(scores[..2], [0.9, 0.5]);
        assert!(scores[2].is_sign_negative() && scores[3].is_sign_positive());
        assert!(scores[4].is_nan() && scores[5] == f64::NEG_INFINITY);
    }
}
