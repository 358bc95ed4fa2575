//! Which found box is which true box, in one picture and one class.

use std::ops::RangeInclusive;

use effigy_vision::CocoBox;

use crate::curve::falling;

/// How many overlaps (IoU) a match is judged at.
pub(crate) const THRESHOLDS: usize = 10;

/// Found boxes that count of one picture and class: those of the highest scores.
pub(crate) const MAX_DETECTIONS: usize = 100;

/// An object that is in the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrueBox {
    /// Where it is.
    pub bounds: CocoBox,
    /// Its class, from 0.
    pub class_index: usize,
    /// Its area in square pixels, by which it is small, medium or large. COCO gives that of the object's
    /// outline, which is smaller than its box.
    pub area: f64,
    /// Whether the box holds a crowd: any number of found boxes may lie in it, and none of them counts.
    pub crowd: bool,
}

/// An object that a detector found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredBox {
    /// Where it is.
    pub bounds: CocoBox,
    /// Its class, from 0.
    pub class_index: usize,
    /// How sure the detector is; only the order matters. NaN is below every number.
    pub score: f64,
}

/// A found box after matching. Bit `t` of a mask stands for threshold `t`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    pub(crate) picture: u64,
    /// Place in its picture's and class's order by score, from 0.
    pub(crate) rank: usize,
    pub(crate) score: f64,
    /// Matches a true box.
    pub(crate) matched: u16,
    /// Counts neither as right nor as wrong.
    pub(crate) ignored: u16,
}

/// IoU thresholds 0.5, 0.55 … 0.95, to the bit as `numpy.linspace(0.5, 0.95, 10)` makes them.
pub(crate) fn thresholds() -> [f64; THRESHOLDS] {
    let step = (0.95 - 0.5) / 9.0;
    std::array::from_fn(|t| if t == 9 { 0.95 } else { t as f64 * step + 0.5 })
}

/// The found and the true boxes of one class in one picture, with all their overlaps.
pub(crate) struct Scene<'a> {
    picture: u64,
    truths: Vec<&'a TrueBox>,
    /// Best first; of equal scores, the one that was given first.
    found: Vec<&'a ScoredBox>,
    /// `[found][truth]`.
    overlaps: Vec<Vec<f64>>,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(picture: u64, truths: Vec<&'a TrueBox>, mut found: Vec<&'a ScoredBox>) -> Self {
        found.sort_by(|a, b| falling(a.score, b.score));
        found.truncate(MAX_DETECTIONS);
        let row = |found: &&ScoredBox| truths.iter().map(|truth| overlap(found.bounds, truth)).collect();
        let overlaps = found.iter().map(row).collect();
        Self { picture, truths, found, overlaps }
    }

    /// Judges the found boxes against the true boxes whose area is in `areas`, and appends them to `judged`.
    /// Returns how many true boxes there are to find.
    ///
    /// Other true boxes, and crowds, are ignored: matching one is neither right nor wrong. So is a found box
    /// that matches nothing and whose own area is not in `areas`.
    pub(crate) fn judge(&self, areas: &RangeInclusive<f64>, judged: &mut Vec<Judged>) -> usize {
        let ignored = |truth: &TrueBox| truth.crowd || !areas.contains(&truth.area);
        let mut order: Vec<usize> = (0..self.truths.len()).collect();
        order.sort_by_key(|&truth| ignored(self.truths[truth]));
        let to_find = order.iter().take_while(|&&truth| !ignored(self.truths[truth])).count();

        let start = judged.len();
        judged.extend(self.found.iter().enumerate().map(|(rank, found)| {
            let area = found.bounds.area();
            let outside = area < *areas.start() || area > *areas.end();
            let ignored = if outside { u16::MAX } else { 0 };
            Judged { picture: self.picture, rank, score: found.score, matched: 0, ignored }
        }));
        for (t, threshold) in thresholds().into_iter().enumerate() {
            let mut taken = vec![false; self.truths.len()];
            for (judged, overlaps) in judged[start..].iter_mut().zip(&self.overlaps) {
                let Some(place) = self.best(&order, to_find, &taken, overlaps, threshold) else { continue };
                taken[order[place]] = true;
                judged.matched |= 1 << t;
                judged.ignored &= !(1 << t);
                judged.ignored |= u16::from(place >= to_find) << t;
            }
        }
        to_find
    }

    /// The place in `order` of the true box that a found box of these `overlaps` matches at `threshold`: of
    /// those not taken, the one it overlaps most (the last of equal ones). An ignored one, which is behind
    /// the first `to_find`, is matched only where none of the others is.
    fn best(
        &self,
        order: &[usize],
        to_find: usize,
        taken: &[bool],
        overlaps: &[f64],
        threshold: f64,
    ) -> Option<usize> {
        let mut best = None;
        let mut least = threshold;
        for (place, &truth) in order.iter().enumerate() {
            if place == to_find && best.is_some() {
                break;
            }
            // A crowd is never used up.
            let free = !taken[truth] || self.truths[truth].crowd;
            if free && overlaps[truth] >= least {
                least = overlaps[truth];
                best = Some(place);
            }
        }
        best
    }
}

/// Intersection over union; over the found box alone where the true one is a crowd, so that a single person
/// fits into a crowd.
fn overlap(found: CocoBox, truth: &TrueBox) -> f64 {
    let shared = found.shared_area(truth.bounds);
    if shared == 0.0 {
        return 0.0;
    }
    let all = if truth.crowd { found.area() } else { found.area() + truth.bounds.area() - shared };
    shared / all
}
