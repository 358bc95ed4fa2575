//! Which of many boxes of one object stay.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::candidates::Candidate;
use super::options::{PostProcessing, Suppression};
use crate::InputBox;

/// A candidate that stays, with the score it has in the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Survivor {
    pub(super) index: usize,
    pub(super) score: f32,
}

/// The survivors among candidates that come best first, best first, at most `max_detections`.
///
/// All classes are gone through together, so that the work ends with the last box wanted: a box meets only
/// the survivors before it.
pub(super) fn suppress(
    candidates: &[Candidate],
    boxes: &[InputBox],
    options: &PostProcessing,
) -> Vec<Survivor> {
    let classes = candidates.iter().map(|candidate| candidate.class_index);
    let classes: Vec<usize> =
        if options.across_classes { vec![0; candidates.len()] } else { classes.collect() };
    let kept = Kept::new(&classes);
    match options.suppression {
        Suppression::Hard { iou } => hard(candidates, &classes, boxes, kept, iou, options.max_detections),
        Suppression::Soft { sigma, iou } => {
            let decay = |overlap: f32| if overlap > iou { 0.0 } else { (-overlap * overlap / sigma).exp() };
            soft(candidates, &classes, boxes, kept, decay, options)
        }
    }
}

fn hard(
    candidates: &[Candidate],
    classes: &[usize],
    boxes: &[InputBox],
    mut kept: Kept,
    iou: f32,
    most: usize,
) -> Vec<Survivor> {
    let mut survivors = Vec::new();
    for (index, candidate) in candidates.iter().enumerate() {
        if survivors.len() == most {
            break;
        }
        let sized = Measured::new(boxes[index]);
        let class = &mut kept.0[classes[index]];
        if !class.iter().any(|other| sized.iou(other) > iou) {
            class.push(sized);
            survivors.push(Survivor { index, score: candidate.score });
        }
    }
    survivors
}

/// The best of a queue stays if its score has taken account of every survivor of its class; else it is
/// lowered by those it has not met yet, and queued again. That gives what lowering every score after every
/// survivor gives, without computing what nobody asks for.
fn soft(
    candidates: &[Candidate],
    classes: &[usize],
    boxes: &[InputBox],
    mut kept: Kept,
    decay: impl Fn(f32) -> f32,
    options: &PostProcessing,
) -> Vec<Survivor> {
    let queued = |(index, candidate): (usize, &Candidate)| Queued { score: candidate.score, index, met: 0 };
    let mut queue: BinaryHeap<Queued> = candidates.iter().enumerate().map(queued).collect();
    let mut survivors = Vec::new();
    while survivors.len() < options.max_detections
        && let Some(Queued { mut score, index, met }) = queue.pop()
    {
        let sized = Measured::new(boxes[index]);
        let class = &mut kept.0[classes[index]];
        if met == class.len() {
            class.push(sized);
            survivors.push(Survivor { index, score });
            continue;
        }
        for other in &class[met..] {
            score *= decay(sized.iou(other));
        }
        if score > options.score {
            queue.push(Queued { score, index, met: class.len() });
        }
    }
    survivors
}

/// The survivors of each class.
struct Kept(Vec<Vec<Measured>>);

impl Kept {
    fn new(classes: &[usize]) -> Self {
        let count = classes.iter().max().map_or(0, |last| last + 1);
        Self(vec![Vec::new(); count])
    }
}

/// A candidate whose score has been lowered by the first `met` survivors of its class.
struct Queued {
    score: f32,
    index: usize,
    met: usize,
}

/// The greatest is the one of the highest score, then of the lowest index.
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.index.cmp(&self.index))
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Queued {}

/// A box and its area.
#[derive(Clone, Copy)]
struct Measured {
    bounds: InputBox,
    area: f32,
}

impl Measured {
    fn new(bounds: InputBox) -> Self {
        Self { bounds, area: (bounds.y2 - bounds.y1) * (bounds.x2 - bounds.x1) }
    }

    /// Intersection over union, in f32 as torchvision has it; 0 where nothing is shared.
    #[inline]
    fn iou(&self, other: &Self) -> f32 {
        let (a, b) = (self.bounds, other.bounds);
        let height = a.y2.min(b.y2) - a.y1.max(b.y1);
        let width = a.x2.min(b.x2) - a.x1.max(b.x1);
        if height <= 0.0 || width <= 0.0 {
            return 0.0;
        }
        let shared = height * width;
        shared / (self.area + other.area - shared)
    }
}

#[cfg(test)]
mod tests;
