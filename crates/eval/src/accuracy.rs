//! Top-1 and top-5 accuracy.

use std::cmp::Ordering;

use crate::ranking::rank;

/// Counts how often the true class is first, and among the first five.
///
/// Parts of a data set may be counted apart and [merged](Accuracy::merge): the result is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accuracy {
    images: u64,
    first: u64,
    in_five: u64,
}

impl Accuracy {
    /// Counts one picture by its `scores`, one a class (logits or probabilities, the order is all that
    /// matters), and its true `class`.
    ///
    /// Ties go to the lower class index, as in [`top_k`](crate::top_k). A true class that has no score is
    /// a miss; so is one whose score is NaN.
    pub fn add(&mut self, scores: &[f32], class: usize) {
        self.images += 1;
        if scores.get(class).is_none_or(|score| score.is_nan()) {
            return;
        }
        let before = (0..scores.len()).filter(|&other| rank(scores, other, class) == Ordering::Less).count();
        self.first += u64::from(before < 1);
        self.in_five += u64::from(before < 5);
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: Self) {
        self.images += other.images;
        self.first += other.first;
        self.in_five += other.in_five;
    }

    /// Pictures counted.
    pub fn images(&self) -> u64 {
        self.images
    }

    /// Top-1 accuracy in percent; 0 where nothing was counted.
    pub fn top1(&self) -> f64 {
        self.percent(self.first)
    }

    /// Top-5 accuracy in percent; 0 where nothing was counted.
    pub fn top5(&self) -> f64 {
        self.percent(self.in_five)
    }

    fn percent(&self, hits: u64) -> f64 {
        if self.images == 0 { 0.0 } else { 100.0 * hits as f64 / self.images as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(samples: &[(&[f32], usize)]) -> Accuracy {
        let mut accuracy = Accuracy::default();
        for &(scores, class) in samples {
            accuracy.add(scores, class);
        }
        accuracy
    }

    const FALLING: &[f32] = &[0.9, 0.8, 0.7, 0.6, 0.5, 0.4];

    #[test]
    fn nothing_is_nought_percent() {
        let accuracy = Accuracy::default();
        assert_eq!((accuracy.images(), accuracy.top1(), accuracy.top5()), (0, 0.0, 0.0));
    }

    #[test]
    fn first_fifth_and_sixth() {
        let accuracy = counted(&[(FALLING, 0), (FALLING, 4), (FALLING, 5), (FALLING, 1)]);
        assert_eq!((accuracy.images(), accuracy.top1(), accuracy.top5()), (4, 25.0, 75.0));
    }

    #[test]
    fn ties_go_to_the_lower_class() {
        let equal: &[f32] = &[0.5; 6];
        assert_eq!(counted(&[(equal, 0)]).top1(), 100.0);
        assert_eq!(counted(&[(equal, 1)]).top1(), 0.0);
        assert_eq!(counted(&[(equal, 4)]).top5(), 100.0);
        assert_eq!(counted(&[(equal, 5)]).top5(), 0.0);
    }

    #[test]
    fn a_class_without_a_score_is_a_miss() {
        let accuracy = counted(&[(FALLING, 6), (&[], 0), (&[f32::NAN, f32::NAN], 0)]);
        assert_eq!((accuracy.images(), accuracy.top1(), accuracy.top5()), (3, 0.0, 0.0));
    }

    #[test]
    fn parts_merge_to_the_whole() {
        let samples = [(FALLING, 0), (FALLING, 3), (FALLING, 5), (FALLING, 0), (FALLING, 2)];
        for cut in 0..=samples.len() {
            let mut merged = counted(&samples[..cut]);
            merged.merge(counted(&samples[cut..]));
            assert_eq!(merged, counted(&samples));
        }
    }

    #[test]
    fn agrees_with_top_k() {
        let scores: Vec<f32> = (0..50u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 29) as f32).collect();
        for class in 0..scores.len() {
            let accuracy = counted(&[(&scores, class)]);
            assert_eq!(accuracy.top1() > 0.0, crate::top_k(&scores, 1).contains(&class));
            assert_eq!(accuracy.top5() > 0.0, crate::top_k(&scores, 5).contains(&class));
        }
    }
}
