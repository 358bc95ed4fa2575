//! From scores to probabilities and to an order of classes.

use std::cmp::Ordering;

/// Probabilities of the scores (logits): `exp(x − max) / Σ exp(x − max)`, which no large score overflows.
///
/// A score of −∞ has probability 0. The result is NaN throughout where a score is NaN or +∞.
pub fn softmax(scores: &[f32]) -> Vec<f32> {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut probabilities: Vec<f32> = scores.iter().map(|score| (score - max).exp()).collect();
    let sum: f32 = probabilities.iter().sum();
    for probability in &mut probabilities {
        *probability /= sum;
    }
    probabilities
}

/// The classes of the `k` highest scores, best first; all classes where there are fewer than `k`.
///
/// Of equal scores the lower class index comes first; a NaN is below every number.
pub fn top_k(scores: &[f32], k: usize) -> Vec<usize> {
    let k = k.min(scores.len());
    let mut classes: Vec<usize> = (0..scores.len()).collect();
    if k > 0 && k < classes.len() {
        classes.select_nth_unstable_by(k - 1, |&a, &b| rank(scores, a, b));
    }
    classes.truncate(k);
    classes.sort_unstable_by(|&a, &b| rank(scores, a, b));
    classes
}

/// The order of two classes in a ranking: `Less` where `a` comes before `b`. No two classes are equal in it,
/// so a ranking does not depend on how it was sorted.
pub(crate) fn rank(scores: &[f32], a: usize, b: usize) -> Ordering {
    let higher = |score: f32, than: f32| score > than || (than.is_nan() && !score.is_nan());
    if higher(scores[a], scores[b]) {
        Ordering::Less
    } else if higher(scores[b], scores[a]) {
        Ordering::Greater
    } else {
        a.cmp(&b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_survives_large_scores() {
        assert_eq!(softmax(&[1000.0, 1000.0]), [0.5, 0.5]);
        assert_eq!(softmax(&[-1e30, 0.0, f32::NEG_INFINITY]), [0.0, 1.0, 0.0]);
        assert_eq!(softmax(&[]), [0.0; 0]);
        assert!(softmax(&[f32::NAN, 1.0]).iter().all(|p| p.is_nan()));
    }

    #[test]
    fn softmax_is_the_exponentials_share() {
        // e⁰, e¹ and e² over their sum, to six digits.
        let expected = [0.090_031, 0.244_728, 0.665_241];
        for (probability, expected) in softmax(&[3.0, 4.0, 5.0]).iter().zip(expected) {
            assert!((probability - expected).abs() < 1e-6, "{probability} {expected}");
        }
    }

    #[test]
    fn equal_scores_go_by_class() {
        assert_eq!(top_k(&[0.5, 0.9, 0.5, 0.9, 0.1], 3), [1, 3, 0]);
        assert_eq!(top_k(&[0.0, -0.0, 0.0], 2), [0, 1]);
    }

    #[test]
    fn nan_is_last() {
        let scores = [f32::NAN, f32::NEG_INFINITY, 1.0, f32::NAN];
        assert_eq!(top_k(&scores, 4), [2, 1, 0, 3]);
    }

    #[test]
    fn asks_for_no_more_than_there_is() {
        assert_eq!(top_k(&[1.0, 2.0], 5), [1, 0]);
        assert_eq!(top_k(&[1.0, 2.0], 0), [0; 0]);
        assert_eq!(top_k(&[], 5), [0; 0]);
    }

    #[test]
    fn equals_a_full_sort() {
        let scores: Vec<f32> = (0..997u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as f32).collect();
        let mut sorted: Vec<usize> = (0..scores.len()).collect();
        // A stable sort by score alone keeps equal ones by class.
        sorted.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        for k in [1, 5, 100, 996, 997] {
            assert_eq!(top_k(&scores, k), sorted[..k]);
        }
    }
}
