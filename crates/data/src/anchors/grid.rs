//! The anchors of one input size, searched by place.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use effigy_arch::{AnchorBox, Anchors, EfficientDet};
use effigy_vision::InputBox;

use super::{Figures, MATCH};

/// Every anchor of a detector's input, laid out so that those near a box are found at once.
#[derive(Clone, Debug)]
pub struct AnchorGrid {
    levels: Vec<Level>,
    boxes: Vec<AnchorBox>,
    per_cell: usize,
}

#[derive(Clone, Debug)]
struct Level {
    /// Index of its first anchor.
    first: usize,
    /// Cells down and across.
    cells: [usize; 2],
    /// Pixels from cell to cell.
    stride: [f64; 2],
    /// Height and width of a cell's anchors.
    shapes: Vec<[f64; 2]>,
}

/// What of a detector answers for a box of the training data.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BoxMatch {
    /// How many anchors learn this box. 0 only where a box before it in the picture has the same best anchor.
    pub anchors: usize,
    /// The best overlap of any anchor with it.
    pub best: f32,
}

impl BoxMatch {
    /// Whether no anchor overlaps the box enough, so that only its best one learns it, whatever the overlap.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.best < MATCH
    }
}

impl AnchorGrid {
    /// The anchors of a detector's own input size.
    #[must_use]
    pub fn new(detector: &EfficientDet) -> Self {
        Self::of(&detector.anchors, detector.levels(), detector.letterbox.size)
    }

    /// Anchors on the levels of an input of `size` (height, width).
    #[must_use]
    pub fn of(anchors: &Anchors, levels: RangeInclusive<usize>, size: [usize; 2]) -> Self {
        let boxes = anchors.boxes(levels.clone(), size[0], size[1]);
        Self { levels: laid_out(anchors, levels, size), boxes, per_cell: anchors.per_cell() }
    }

    /// What answers for each of the boxes of one picture, as training by the official rule assigns it: an anchor
    /// answers for the box that it overlaps most, from [`MATCH`] on; each box's best anchor answers for it
    /// whatever the overlap, the first box before others.
    #[must_use]
    pub fn matches(&self, boxes: &[InputBox]) -> Vec<BoxMatch> {
        let mut answers: HashMap<usize, (f32, usize)> = HashMap::new();
        let mut found = vec![BoxMatch::default(); boxes.len()];
        let mut best_anchors = Vec::with_capacity(boxes.len());
        for (index, &bounds) in boxes.iter().enumerate() {
            let mut best: Option<(f32, usize)> = None;
            self.near(bounds, |anchor, overlap| {
                if best.is_none_or(|(highest, at)| overlap > highest || overlap == highest && anchor < at) {
                    best = Some((overlap, anchor));
                }
                let answer = answers.entry(anchor).or_insert((overlap, index));
                if overlap > answer.0 {
                    *answer = (overlap, index);
                }
            });
            let best = best.or_else(|| self.best_of_all(bounds));
            found[index].best = best.map_or(0.0, |(overlap, _)| overlap);
            best_anchors.extend(best.map(|(_, anchor)| (anchor, index)));
        }
        // In reverse, so that the first box has the last word.
        for &(anchor, index) in best_anchors.iter().rev() {
            answers.insert(anchor, (0.0, index));
        }
        for (_, index) in answers.into_values() {
            found[index].anchors += 1;
        }
        found
    }

    /// Calls `each` with every anchor whose overlap with the box is at least [`MATCH`].
    fn near(&self, bounds: InputBox, mut each: impl FnMut(usize, f32)) {
        let side = [f64::from(bounds.y2 - bounds.y1), f64::from(bounds.x2 - bounds.x1)];
        let centre = [f64::from(bounds.y1 + bounds.y2) / 2.0, f64::from(bounds.x1 + bounds.x2) / 2.0];
        for level in &self.levels {
            for (shape, anchor) in level.shapes.iter().enumerate() {
                let areas = side[0] * side[1] + anchor[0] * anchor[1];
                // Half an overlap needs a third of both areas shared, so much along each axis at least.
                let range = [0, 1].map(|axis| {
                    let other = side[1 - axis].min(anchor[1 - axis]);
                    let shared = areas / 3.0 / other;
                    (shared <= side[axis].min(anchor[axis]) * SLACK).then(|| {
                        let reach = (side[axis] + anchor[axis]) / 2.0 - shared / SLACK;
                        level.cells_within(axis, centre[axis] - reach, centre[axis] + reach)
                    })
                });
                let [Some(rows), Some(columns)] = range else { continue };
                for row in rows {
                    for column in columns.clone() {
                        let index = level.first + (row * level.cells[1] + column) * self.per_cell + shape;
                        let overlap = overlap(self.boxes[index], bounds);
                        if overlap >= MATCH {
                            each(index, overlap);
                        }
                    }
                }
            }
        }
    }

    /// The first of the anchors that overlap the box most, if any does.
    fn best_of_all(&self, bounds: InputBox) -> Option<(f32, usize)> {
        let mut best = (0.0, None);
        for (index, &anchor) in self.boxes.iter().enumerate() {
            let overlap = overlap(anchor, bounds);
            if overlap > best.0 {
                best = (overlap, Some(index));
            }
        }
        best.1.map(|index| (best.0, index))
    }
}

/// How well anchors on the levels of an input of `size` (height, width) fit boxes, whatever picture these are of.
#[must_use]
pub fn figures(
    anchors: &Anchors,
    levels: RangeInclusive<usize>,
    size: [usize; 2],
    boxes: &[InputBox],
) -> Figures {
    let levels = laid_out(anchors, levels, size);
    let (mut matched, mut sum) = (0, 0.0);
    for &bounds in boxes {
        let best = best_overlap(&levels, bounds);
        matched += usize::from(best >= f64::from(MATCH));
        sum += best;
    }
    let mean_best = if boxes.is_empty() { 0.0 } else { sum / boxes.len() as f64 };
    Figures { boxes: boxes.len(), matched, mean_best }
}

fn laid_out(anchors: &Anchors, levels: RangeInclusive<usize>, size: [usize; 2]) -> Vec<Level> {
    let mut first = 0;
    let levels = levels.map(|level| {
        let cells = size.map(|side| Anchors::cells(side, level));
        let stride = [0, 1].map(|side| size[side] as f64 / cells[side] as f64);
        let shapes = anchors.scales.iter().flat_map(|&scale| {
            anchors.ratios.iter().map(move |ratio| {
                [ratio.height * stride[0], ratio.width * stride[1]].map(|side| anchors.base * scale * side)
            })
        });
        let level = Level { first, cells, stride, shapes: shapes.collect() };
        first += cells[0] * cells[1] * anchors.per_cell();
        level
    });
    levels.collect()
}

/// The best overlap of any anchor: of every shape, one at the cell next to the box's centre.
fn best_overlap(levels: &[Level], bounds: InputBox) -> f64 {
    let side = [f64::from(bounds.y2 - bounds.y1), f64::from(bounds.x2 - bounds.x1)];
    let centre = [f64::from(bounds.y1 + bounds.y2) / 2.0, f64::from(bounds.x1 + bounds.x2) / 2.0];
    let mut best: f64 = 0.0;
    for level in levels {
        let away = [0, 1].map(|axis| level.distance(axis, centre[axis]));
        for anchor in &level.shapes {
            let shared = [0, 1].map(|axis| {
                let reach = (side[axis] + anchor[axis]) / 2.0 - away[axis];
                reach.min(side[axis]).min(anchor[axis]).max(0.0)
            });
            let shared = shared[0] * shared[1];
            best = best.max(shared / (side[0] * side[1] + anchor[0] * anchor[1] - shared));
        }
    }
    best
}

/// Room for rounding when cells are left out.
const SLACK: f64 = 1.0 + 1e-4;

impl Level {
    /// The cells along an axis whose centres lie within a stretch.
    fn cells_within(&self, axis: usize, from: f64, to: f64) -> std::ops::Range<usize> {
        let place = |pixels: f64| pixels / self.stride[axis] - 0.5;
        // A negative number becomes 0.
        let first = place(from).ceil() as usize;
        let end = (place(to).floor() + 1.0) as usize;
        first..end.min(self.cells[axis]).max(first)
    }

    /// From the centre of the nearest cell.
    fn distance(&self, axis: usize, centre: f64) -> f64 {
        let place = (centre / self.stride[axis] - 0.5).round().clamp(0.0, self.cells[axis] as f64 - 1.0);
        ((place + 0.5) * self.stride[axis] - centre).abs()
    }
}

/// Intersection over union.
fn overlap(anchor: AnchorBox, bounds: InputBox) -> f32 {
    let height = (anchor.y2.min(bounds.y2) - anchor.y1.max(bounds.y1)).max(0.0);
    let width = (anchor.x2.min(bounds.x2) - anchor.x1.max(bounds.x1)).max(0.0);
    let shared = height * width;
    let area = |height: f32, width: f32| height * width;
    let areas = area(anchor.y2 - anchor.y1, anchor.x2 - anchor.x1)
        + area(bounds.y2 - bounds.y1, bounds.x2 - bounds.x1);
    if shared > 0.0 { shared / (areas - shared) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Purpose, Random};

    /// Both sums of areas are rounded in another order.
    const ROUNDING: f64 = 1e-5;

    fn detector() -> EfficientDet {
        EfficientDet::from_name("efficientdet-lite0").unwrap().with_size(96, 131)
    }

    fn boxes(count: usize) -> Vec<InputBox> {
        let mut random = Random::new(Purpose::Search, [1, 2, 3]);
        let one = |_| {
            let [height, width] = [0, 1].map(|_| (4.0 * 2_f64.powf(random.uniform([-1.0, 4.5]))) as f32);
            let (y1, x1) = (random.uniform([-5.0, 80.0]) as f32, random.uniform([-5.0, 110.0]) as f32);
            InputBox { y1, x1, y2: y1 + height, x2: x1 + width }
        };
        (0..count).map(one).collect()
    }

    /// What every anchor of the input says, one after the other.
    #[test]
    fn matches_are_those_of_a_plain_search() {
        let (detector, boxes) = (detector(), boxes(300));
        let grid = AnchorGrid::new(&detector);
        let anchors = detector.anchor_boxes(96, 131);
        for boxes in boxes.chunks(7) {
            let mut owner = vec![None; anchors.len()];
            for (&anchor, owner) in anchors.iter().zip(&mut owner) {
                let overlaps = boxes.iter().map(|&bounds| overlap(anchor, bounds));
                let mut best = 0.0;
                for (index, overlap) in overlaps.enumerate().filter(|(_, overlap)| *overlap >= MATCH) {
                    if overlap > best {
                        (best, *owner) = (overlap, Some(index));
                    }
                }
            }
            let mut bests = Vec::new();
            for (index, &bounds) in boxes.iter().enumerate().rev() {
                let overlaps: Vec<f32> = anchors.iter().map(|&anchor| overlap(anchor, bounds)).collect();
                let best = overlaps.iter().copied().fold(0.0, f32::max);
                bests.insert(0, best);
                if best > 0.0 {
                    owner[overlaps.iter().position(|&overlap| overlap == best).unwrap()] = Some(index);
                }
            }
            let counted = (0..boxes.len()).map(|index| owner.iter().filter(|o| **o == Some(index)).count());
            let expected: Vec<BoxMatch> =
                counted.zip(bests).map(|(anchors, best)| BoxMatch { anchors, best }).collect();
            assert_eq!(grid.matches(boxes), expected);
        }
        assert!(grid.matches(&boxes).iter().any(BoxMatch::is_forced));
    }

    #[test]
    fn figures_are_those_of_the_best_anchors() {
        let (detector, boxes) = (detector(), boxes(300));
        let grid = AnchorGrid::new(&detector);
        let bests: Vec<f32> = boxes.iter().map(|&bounds| grid.best_of_all(bounds).unwrap().0).collect();
        let mean = bests.iter().map(|&best| f64::from(best)).sum::<f64>() / bests.len() as f64;
        let figures = |boxes: &[InputBox]| figures(&detector.anchors, detector.levels(), [96, 131], boxes);
        let none = figures(&[]);
        let figures = figures(&boxes);
        assert_eq!(figures.matched, bests.iter().filter(|&&best| best >= MATCH).count());
        assert!((figures.mean_best - mean).abs() < ROUNDING, "{figures:?} {mean}");
        assert!(figures.rate() > 0.1 && figures.rate() < 1.0, "{figures:?}");
        assert_eq!((none.rate(), none.mean_best), (0.0, 0.0));
    }
}
