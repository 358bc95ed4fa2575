//! Which anchor answers for which object.

use effigy_arch::AnchorBox;
use effigy_kernels::Isa;
use effigy_kernels::isa::{Kernel, Simd};
use effigy_vision::InputBox;

/// An object that a detector should find.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TargetBox {
    /// Where, in pixels of the network's input.
    pub bounds: InputBox,
    /// Its class slot, from 0.
    pub class_index: usize,
}

/// From which overlap on an anchor answers for an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matching {
    /// An anchor whose best intersection over union is at least this one is positive.
    pub positive: f32,
    /// One whose best is below this one is negative; between both it does not count.
    pub negative: f32,
    /// Whether the best anchor of an object is positive whatever their overlap, unless it is none.
    pub force_best: bool,
}

impl Matching {
    /// google/automl's (`object_detection/argmax_matcher.py`) and effdet's.
    pub const OFFICIAL: Self = Self { positive: 0.5, negative: 0.5, force_best: true };
    /// zylo117's (`efficientdet/loss.py`).
    pub const ZYLO117: Self = Self { positive: 0.5, negative: 0.4, force_best: false };
}

/// What an anchor answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// The object of this index.
    Positive(usize),
    /// Nothing: no class is to be found here.
    Negative,
    /// It is not judged.
    Ignored,
}

/// What the anchors of one picture answer for.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// By anchor.
    pub matches: Vec<Match>,
    /// How many are positive.
    pub positives: usize,
}

/// Assigns the anchors of one input size, by one rule.
#[derive(Clone, Debug)]
pub struct Matcher {
    rule: Matching,
    /// Top, left, bottom, right and area of every anchor: a stretch each, for vectors.
    edges: [Vec<f32>; 5],
}

impl Matcher {
    /// Prepares `anchors`, in the order of the detector's outputs.
    #[must_use]
    pub fn new(rule: Matching, anchors: &[AnchorBox]) -> Self {
        let edge = |of: fn(&AnchorBox) -> f32| anchors.iter().map(of).collect();
        let edges = [
            edge(|anchor| anchor.y1),
            edge(|anchor| anchor.x1),
            edge(|anchor| anchor.y2),
            edge(|anchor| anchor.x2),
            edge(|anchor| (anchor.y2 - anchor.y1) * (anchor.x2 - anchor.x1)),
        ];
        Self { rule, edges }
    }

    /// Assigns the anchors to the `objects` of one picture.
    ///
    /// An anchor answers for the object that it overlaps most, the first of equal ones; an object's best anchor
    /// is the first of equal ones; an anchor that is the best of several objects answers for the first of them.
    #[must_use]
    pub fn assign(&self, objects: &[TargetBox]) -> Assignment {
        let anchors = self.edges[0].len();
        let mut overlap = vec![0.0; anchors];
        let (mut best, mut best_object) = (vec![0.0; anchors], vec![0_u32; anchors]);
        let mut forced: Vec<(usize, usize)> = Vec::new();
        let isa = Isa::best();
        for (index, object) in objects.iter().enumerate() {
            let overlaps = Overlaps { bounds: object.bounds, edges: &self.edges, overlap: &mut overlap };
            let highest = isa.run(overlaps);
            if highest <= 0.0 {
                continue;
            }
            for ((best, best_object), &overlap) in best.iter_mut().zip(&mut best_object).zip(&overlap) {
                let better = overlap > *best;
                *best = if better { overlap } else { *best };
                *best_object = if better { index as u32 } else { *best_object };
            }
            let first = overlap.iter().position(|&overlap| overlap == highest);
            forced.extend(first.map(|anchor| (anchor, index)));
        }

        let Matching { positive, negative, force_best } = self.rule;
        let judged = best.iter().zip(&best_object).map(|(&best, &object)| match best {
            best if best >= positive => Match::Positive(object as usize),
            best if best >= negative => Match::Ignored,
            _ => Match::Negative,
        });
        let mut matches: Vec<Match> = judged.collect();
        if force_best {
            // In reverse, so that the first object has the last word.
            for &(anchor, object) in forced.iter().rev() {
                matches[anchor] = Match::Positive(object);
            }
        }
        let positives = matches.iter().filter(|found| matches!(found, Match::Positive(_))).count();
        Assignment { matches, positives }
    }
}

/// The intersection over union of one box and every anchor; returns the highest. Plain loops, compiled for the
/// instruction set that they are run on.
struct Overlaps<'a> {
    bounds: InputBox,
    edges: &'a [Vec<f32>; 5],
    overlap: &'a mut [f32],
}

impl Kernel for Overlaps<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f32 {
        let Self { bounds: InputBox { y1, x1, y2, x2 }, edges, overlap } = self;
        let [top, left, bottom, right, areas] = edges.each_ref().map(|edge| &edge[..overlap.len()]);
        let area = (y2 - y1) * (x2 - x1);
        let smaller = |a: f32, b: f32| if a < b { a } else { b };
        let larger = |a: f32, b: f32| if a > b { a } else { b };
        for (i, overlap) in overlap.iter_mut().enumerate() {
            let height = larger(smaller(bottom[i], y2) - larger(top[i], y1), 0.0);
            let width = larger(smaller(right[i], x2) - larger(left[i], x1), 0.0);
            let shared = height * width;
            let quotient = shared / (area + areas[i] - shared);
            *overlap = if shared > 0.0 { quotient } else { 0.0 };
        }
        overlap.iter().fold(0.0, |highest, &overlap| larger(overlap, highest))
    }
}

/// An object's place as an anchor's offsets tell it: y, x, height, width, without variances.
#[must_use]
pub(crate) fn encode(anchor: AnchorBox, bounds: InputBox) -> [f32; 4] {
    // Keeps quotient and logarithm finite.
    const LEAST: f32 = 1e-8;
    let (height, width) = (anchor.y2 - anchor.y1, anchor.x2 - anchor.x1);
    let (y, x) = (anchor.y1 + height / 2.0, anchor.x1 + width / 2.0);
    let (object_height, object_width) = (bounds.y2 - bounds.y1, bounds.x2 - bounds.x1);
    let (object_y, object_x) = (bounds.y1 + object_height / 2.0, bounds.x1 + object_width / 2.0);
    let (height, width) = (height + LEAST, width + LEAST);
    [
        (object_y - y) / height,
        (object_x - x) / width,
        ((object_height + LEAST) / height).ln(),
        ((object_width + LEAST) / width).ln(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor(x1: f32, x2: f32) -> AnchorBox {
        AnchorBox { y1: 0.0, x1, y2: 10.0, x2 }
    }

    fn object(x1: f32, x2: f32) -> TargetBox {
        TargetBox { bounds: InputBox { y1: 0.0, x1, y2: 10.0, x2 }, class_index: 0 }
    }

    #[test]
    fn thresholds_and_forced_matches() {
        use Match::{Ignored, Negative, Positive};
        // Overlaps with 0..10: 1, 9/11, 3/7, 1/4, 0.
        let anchors = [(0.0, 10.0), (1.0, 11.0), (4.0, 14.0), (6.0, 16.0), (10.0, 20.0)];
        let anchors = anchors.map(|(x1, x2)| anchor(x1, x2));
        let of = |rule, objects: &[TargetBox]| Matcher::new(rule, &anchors).assign(objects).matches;
        let first = object(0.0, 10.0);
        let both = [Positive(0), Positive(0)];
        assert_eq!(of(Matching::OFFICIAL, &[first])[..2], both);
        assert_eq!(of(Matching::OFFICIAL, &[first])[2..], [Negative; 3]);
        assert_eq!(of(Matching::ZYLO117, &[first])[2..], [Ignored, Negative, Negative]);

        // A small one, whose best anchor is the last by an overlap of a tenth.
        let small = object(18.0, 19.0);
        assert_eq!(of(Matching::OFFICIAL, &[first, small])[4], Positive(1));
        assert_eq!(of(Matching::ZYLO117, &[first, small])[4], Negative);
        // Two with the same best anchor: the first has it.
        assert_eq!(of(Matching::OFFICIAL, &[small, object(17.0, 19.5)])[4], Positive(0));
        // One beside all anchors, and one of no area.
        assert_eq!(of(Matching::OFFICIAL, &[object(30.0, 40.0), object(5.0, 5.0)]), [Negative; 5]);
        assert_eq!(of(Matching::OFFICIAL, &[]), [Negative; 5]);
    }

    #[test]
    fn offsets_lead_back_to_the_box() {
        let anchor = AnchorBox { y1: 2.0, x1: -3.0, y2: 8.0, x2: 9.0 };
        let bounds = InputBox { y1: 1.0, x1: 0.0, y2: 10.0, x2: 4.0 };
        let [y, x, height, width] = encode(anchor, bounds);
        assert_eq!((y * 6.0 + 5.0, x * 12.0 + 3.0), (5.5, 2.0));
        assert!((height.exp() * 6.0 - 9.0).abs() < 1e-5 && (width.exp() * 12.0 - 4.0).abs() < 1e-5);
    }
}
