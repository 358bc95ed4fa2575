//! Anchors that fit the boxes of a data set.

use std::ops::RangeInclusive;

use effigy_arch::{Anchors, AspectRatio, EfficientDet};
use effigy_vision::InputBox;

use super::{Figures, figures};
use crate::{Purpose, Random};

/// How long to search, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FitOptions {
    /// Changes that are tried.
    pub tries: usize,
    /// Most boxes that are looked at; of more, a part is drawn.
    pub boxes: usize,
    /// What is drawn from.
    pub seed: u64,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self { tries: 3000, boxes: 10_000, seed: 0 }
    }
}

/// Anchors and how well they fit, before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// As many scales and ratios as the detector's own, so that its weights keep their shapes.
    pub anchors: Anchors,
    /// The detector's own anchors, on all boxes.
    pub before: Figures,
    /// The fitted ones, on all boxes.
    pub after: Figures,
}

/// Fits a detector's anchors to boxes in its input's pixels. Every anchor of a cell is a base times a scale times
/// a ratio; base, scales and ratios are varied together, and what serves the boxes better is kept: a search like
/// YOLOv5's for its anchors, for anchors of this kind.
///
/// What is best is the mean over all boxes of the best overlap, and as much again for the share of boxes that are
/// matched. The result is never worse than the detector's own on the boxes that are looked at.
#[must_use]
pub fn fit(detector: &EfficientDet, boxes: &[InputBox], options: FitOptions) -> Fit {
    let search = Search { levels: detector.levels(), size: detector.letterbox.size };
    let before = search.figures(&detector.anchors, boxes);
    let mut random = Random::new(Purpose::Search, [options.seed, 0, 0]);
    let drawn: Vec<InputBox> = if boxes.len() > options.boxes {
        let order = Random::new(Purpose::Search, [options.seed, 1, 0]).shuffled(boxes.len());
        order[..options.boxes].iter().map(|&index| boxes[index]).collect()
    } else {
        boxes.to_vec()
    };

    let own = Genes::of(&detector.anchors);
    let starts = [own.clone(), own.with_ratios_of(&drawn)];
    let scored = starts.map(|genes| (search.score(&genes, &drawn), genes));
    let (mut best, mut genes) = scored.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).expect("two");
    for attempt in 0..options.tries {
        // From coarse to fine.
        let step = 0.25 * (1.0 - attempt as f64 / options.tries as f64) + 0.005;
        let changed = genes.changed(step, &mut random);
        let score = search.score(&changed, &drawn);
        if score > best {
            (best, genes) = (score, changed);
        }
    }
    let fitted = genes.anchors();
    let score = search.score(&own, &drawn);
    // Rounding for people may cost a little; where nothing is gained, the detector's own stay as they are.
    let rounded = search.score(&Genes::of(&fitted), &drawn);
    let anchors = if rounded > score { fitted } else { detector.anchors.clone() };
    let after = search.figures(&anchors, boxes);
    Fit { anchors, before, after }
}

struct Search {
    levels: RangeInclusive<usize>,
    size: [usize; 2],
}

impl Search {
    fn figures(&self, anchors: &Anchors, boxes: &[InputBox]) -> Figures {
        figures(anchors, self.levels.clone(), self.size, boxes)
    }

    fn score(&self, genes: &Genes, boxes: &[InputBox]) -> f64 {
        let figures = self.figures(&genes.anchors(), boxes);
        figures.rate() + figures.mean_best
    }
}

/// Logarithms of what is varied.
#[derive(Clone, Debug)]
struct Genes {
    base: f64,
    scales: Vec<f64>,
    /// Of width and height, so that a detector's rounded shapes are kept as they are.
    ratios: Vec<[f64; 2]>,
}

impl Genes {
    fn of(anchors: &Anchors) -> Self {
        Self {
            base: anchors.base.ln(),
            scales: anchors.scales.iter().map(|scale| scale.ln()).collect(),
            ratios: anchors.ratios.iter().map(|ratio| [ratio.width.ln(), ratio.height.ln()]).collect(),
        }
    }

    /// In four digits, the smallest scale 1, scales in their order.
    fn anchors(&self) -> Anchors {
        let digits = |log: f64| {
            let value = log.exp();
            let unit = 10_f64.powf(3.0 - value.log10().floor());
            (value * unit).round() / unit
        };
        let least = self.scales.iter().copied().fold(f64::INFINITY, f64::min);
        let mut scales: Vec<f64> = self.scales.iter().map(|scale| digits(scale - least)).collect();
        scales.sort_by(f64::total_cmp);
        let ratio = |&[width, height]: &[f64; 2]| AspectRatio::new(digits(width), digits(height));
        Anchors { base: digits(self.base + least), scales, ratios: self.ratios.iter().map(ratio).collect() }
    }

    /// The ratios at the middles of as many equal parts of the boxes, ordered by their ratio.
    fn with_ratios_of(&self, boxes: &[InputBox]) -> Self {
        let ratio = |bounds: &InputBox| f64::from((bounds.x2 - bounds.x1) / (bounds.y2 - bounds.y1)).ln();
        let mut found: Vec<f64> = boxes.iter().map(ratio).filter(|ratio| ratio.is_finite()).collect();
        if found.is_empty() {
            return self.clone();
        }
        found.sort_by(f64::total_cmp);
        let parts = self.ratios.len();
        let middle = |part: usize| found[(2 * part + 1) * found.len() / (2 * parts)];
        let ratios = (0..parts).map(|part| [middle(part) / 2.0, -middle(part) / 2.0]).collect();
        Self { ratios, ..self.clone() }
    }

    fn changed(&self, step: f64, random: &mut Random) -> Self {
        let mut genes = self.clone();
        // About a third of them at a time.
        let change = |value: &mut f64, random: &mut Random| {
            if random.happens(0.35) {
                *value += step * random.normal();
            }
        };
        change(&mut genes.base, random);
        genes.scales.iter_mut().for_each(|scale| change(scale, random));
        for [width, height] in &mut genes.ratios {
            let mut ratio = 0.0;
            change(&mut ratio, random);
            (*width, *height) = (*width + ratio / 2.0, *height - ratio / 2.0);
        }
        genes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detector() -> EfficientDet {
        EfficientDet::from_name("efficientdet-lite0").unwrap()
    }

    fn boxes(height: f32, width: f32) -> Vec<InputBox> {
        let place = |index: u16| (f32::from(index * 37 % 250), f32::from(index * 91 % 200));
        let at = |(y1, x1): (f32, f32)| InputBox { y1, x1, y2: y1 + height, x2: x1 + width };
        (0..200).map(place).map(at).collect()
    }

    #[test]
    fn tall_boxes_get_tall_anchors() {
        let boxes = boxes(90.0, 11.0);
        let fit = fit(&detector(), &boxes, FitOptions { tries: 400, ..FitOptions::default() });
        assert_eq!(fit.before.matched, 0, "{fit:?}");
        assert_eq!(fit.after.matched, fit.after.boxes, "{fit:?}");
        assert!(fit.after.mean_best > 0.65, "{fit:?}");
        assert_eq!((fit.anchors.scales.len(), fit.anchors.ratios.len()), (3, 3));
        assert_eq!(fit.anchors.scales[0], 1.0);
    }

    #[test]
    fn the_same_boxes_get_the_same_anchors() {
        let options = FitOptions { tries: 100, boxes: 50, seed: 3 };
        let boxes = boxes(40.0, 30.0);
        let first = fit(&detector(), &boxes, options);
        assert_eq!(first, fit(&detector(), &boxes, options));
        assert_eq!(first.after.boxes, 200);
    }

    #[test]
    fn without_boxes_the_anchors_stay() {
        let fit = fit(&detector(), &[], FitOptions { tries: 10, ..FitOptions::default() });
        assert_eq!(fit.anchors, detector().anchors);
        assert_eq!(fit.after, Figures::default());
    }
}
