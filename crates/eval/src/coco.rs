//! COCO's twelve figures of a detector.
//!
//! The definition is that of COCO's evaluation page, <https://cocodataset.org/#detection-eval>, and, where it
//! is silent (ties, crowds, areas), that of its program pycocotools.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::curve::{Curve, curve, falling};
use crate::matching::{Judged, MAX_DETECTIONS, Scene, ScoredBox, THRESHOLDS, TrueBox};

/// Areas in square pixels that are counted apart: all, small, medium, large.
const AREAS: [RangeInclusive<f64>; 4] =
    [0.0..=1e10, 0.0..=32.0 * 32.0, 32.0 * 32.0..=96.0 * 96.0, 96.0 * 96.0..=1e10];

/// Judges found boxes against true ones, picture by picture, and [reports](CocoAp::report) COCO's figures.
///
/// ```
/// use effigy_eval::{CocoAp, ScoredBox, TrueBox};
/// use effigy_vision::{CocoBox, PixelBox};
///
/// let bounds = CocoBox::from(PixelBox { x1: 10.0, y1: 20.0, x2: 110.0, y2: 220.0 });
/// let truth = TrueBox { bounds, class_index: 0, area: bounds.area(), crowd: false };
/// let found = ScoredBox { bounds, class_index: 0, score: 0.9 };
///
/// let mut metric = CocoAp::new(2);
/// metric.add(1, &[truth], &[found]);
/// let report = metric.report();
/// assert_eq!(report.overall.ap, Some(1.0));
/// assert_eq!(report.classes[1].ap, None); // nothing of the second class was there
/// ```
#[derive(Clone, Debug)]
pub struct CocoAp {
    /// `[class][area]`.
    tallies: Vec<[Tally; AREAS.len()]>,
}

/// What was found and what there was to find, of one class and range of areas.
#[derive(Clone, Debug, Default)]
struct Tally {
    judged: Vec<Judged>,
    to_find: usize,
}

/// COCO's twelve figures, each 0 to 1, in the order in which COCO lists them.
///
/// AP is average precision, AR average recall, both means over the IoU thresholds 0.5, 0.55 … 0.95 unless the
/// name tells one. `None` where there was nothing to find, where COCO's own program says −1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CocoFigures {
    /// AP: the figure that detectors are compared by.
    pub ap: Option<f64>,
    /// AP at IoU 0.5.
    pub ap50: Option<f64>,
    /// AP at IoU 0.75.
    pub ap75: Option<f64>,
    /// AP of objects of up to 32² square pixels.
    pub ap_small: Option<f64>,
    /// AP of objects between 32² and 96² square pixels.
    pub ap_medium: Option<f64>,
    /// AP of objects of 96² square pixels and more.
    pub ap_large: Option<f64>,
    /// AR of the best found box of a picture and class.
    pub ar1: Option<f64>,
    /// AR of the best ten.
    pub ar10: Option<f64>,
    /// AR of the best hundred.
    pub ar100: Option<f64>,
    /// AR of small objects.
    pub ar_small: Option<f64>,
    /// AR of medium objects.
    pub ar_medium: Option<f64>,
    /// AR of large objects.
    pub ar_large: Option<f64>,
}

/// The figures of all classes and of each.
#[derive(Clone, Debug, PartialEq)]
pub struct CocoReport {
    /// Each figure is the mean of the classes that have it.
    pub overall: CocoFigures,
    /// By class index.
    pub classes: Vec<CocoFigures>,
}

impl CocoAp {
    /// A metric of classes 0 to `classes − 1`.
    pub fn new(classes: usize) -> Self {
        Self { tallies: vec![<[Tally; AREAS.len()]>::default(); classes] }
    }

    /// Judges one picture. `picture` is its number, of which no two pictures have the same: found boxes of
    /// equal score are counted in the order of their pictures' numbers, so that the report does not depend on
    /// the order in which pictures are added.
    ///
    /// Either slice may be empty, and their order matters only between equals: of equal scores the first
    /// counts as better. Boxes of classes that the metric does not have are left out; of each class, the 100
    /// found boxes of the highest scores count.
    pub fn add(&mut self, picture: u64, truths: &[TrueBox], found: &[ScoredBox]) {
        let classes = truths.iter().map(|truth| truth.class_index);
        let classes: BTreeSet<usize> = classes.chain(found.iter().map(|found| found.class_index)).collect();
        for class in classes {
            let Some(tallies) = self.tallies.get_mut(class) else { continue };
            let truths = truths.iter().filter(|truth| truth.class_index == class).collect();
            let found = found.iter().filter(|found| found.class_index == class).collect();
            let scene = Scene::new(picture, truths, found);
            for (tally, areas) in tallies.iter_mut().zip(&AREAS) {
                tally.to_find += scene.judge(areas, &mut tally.judged);
            }
        }
    }

    /// The figures of what was added.
    pub fn report(&self) -> CocoReport {
        let classes: Vec<CocoFigures> = self.tallies.iter().map(class_figures).collect();
        CocoReport { overall: CocoFigures::mean(&classes), classes }
    }
}

fn class_figures(tallies: &[Tally; AREAS.len()]) -> CocoFigures {
    let [all, small, medium, large] = tallies.each_ref().map(|tally| tally.curves(MAX_DETECTIONS));
    let [one, ten] = [1, 10].map(|most| tallies[0].curves(most));
    let precision = |curves: &Option<[Curve; THRESHOLDS]>| curves.map(|c| mean(c.map(|c| c.precision)));
    let recall = |curves: &Option<[Curve; THRESHOLDS]>| curves.map(|c| mean(c.map(|c| c.recall)));
    CocoFigures {
        ap: precision(&all),
        ap50: all.map(|curves| curves[0].precision),
        ap75: all.map(|curves| curves[5].precision),
        ap_small: precision(&small),
        ap_medium: precision(&medium),
        ap_large: precision(&large),
        ar1: recall(&one),
        ar10: recall(&ten),
        ar100: recall(&all),
        ar_small: recall(&small),
        ar_medium: recall(&medium),
        ar_large: recall(&large),
    }
}

impl Tally {
    /// The curve at each threshold, of the `most` best found boxes of each picture; `None` where there is
    /// nothing to find.
    fn curves(&self, most: usize) -> Option<[Curve; THRESHOLDS]> {
        if self.to_find == 0 {
            return None;
        }
        let mut judged: Vec<&Judged> = self.judged.iter().filter(|judged| judged.rank < most).collect();
        judged.sort_by(|a, b| {
            falling(a.score, b.score).then(a.picture.cmp(&b.picture)).then(a.rank.cmp(&b.rank))
        });
        Some(std::array::from_fn(|t| {
            let counting = judged.iter().filter(|judged| judged.ignored >> t & 1 == 0);
            curve(counting.map(|judged| judged.matched >> t & 1 == 1), self.to_find)
        }))
    }
}

impl CocoFigures {
    /// The names of the figures, as `effigy eval --json` writes them, in COCO's order.
    pub const NAMES: [&'static str; 12] = [
        "ap",
        "ap50",
        "ap75",
        "ap_small",
        "ap_medium",
        "ap_large",
        "ar1",
        "ar10",
        "ar100",
        "ar_small",
        "ar_medium",
        "ar_large",
    ];

    /// The figures in the order of [`CocoFigures::NAMES`].
    pub fn values(&self) -> [Option<f64>; 12] {
        let Self { ap, ap50, ap75, ap_small, ap_medium, ap_large, .. } = *self;
        let Self { ar1, ar10, ar100, ar_small, ar_medium, ar_large, .. } = *self;
        [ap, ap50, ap75, ap_small, ap_medium, ap_large, ar1, ar10, ar100, ar_small, ar_medium, ar_large]
    }

    /// The mean of each figure over the classes that have it.
    fn mean(classes: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> Option<f64>| {
            let known: Vec<f64> = classes.iter().filter_map(figure).collect();
            (!known.is_empty()).then(|| mean(known))
        };
        Self {
            ap: of(|class| class.ap),
            ap50: of(|class| class.ap50),
            ap75: of(|class| class.ap75),
            ap_small: of(|class| class.ap_small),
            ap_medium: of(|class| class.ap_medium),
            ap_large: of(|class| class.ap_large),
            ar1: of(|class| class.ar1),
            ar10: of(|class| class.ar10),
            ar100: of(|class| class.ar100),
            ar_small: of(|class| class.ar_small),
            ar_medium: of(|class| class.ar_medium),
            ar_large: of(|class| class.ar_large),
        }
    }
}

fn mean(values: impl IntoIterator<Item = f64, IntoIter: ExactSizeIterator>) -> f64 {
    let values = values.into_iter();
    let count = values.len() as f64;
    values.sum::<f64>() / count
}
