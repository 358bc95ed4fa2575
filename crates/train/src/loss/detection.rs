//! The loss of a detector: focal for classes, Huber for boxes.

use effigy_arch::AnchorBox;
use effigy_tensor::Tensor;

use super::focal::Focal;
use super::huber::BoxLoss;
use super::matching::{Match, Matcher, Matching, TargetBox, encode};

/// What of a detector's outputs counts, and how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossRecipe {
    /// Which anchors answer for which objects.
    pub matching: Matching,
    /// The focal loss's share of positives, 0 to 1.
    pub alpha: f32,
    /// The focal loss's exponent, at least 0: the higher, the less what is nearly right counts.
    pub gamma: f32,
    /// How a box offset's error counts.
    pub box_loss: BoxLoss,
    /// What boxes count beside classes.
    pub box_weight: f32,
    /// By what both are divided.
    pub normaliser: Normaliser,
}

/// By what a detector's loss is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normaliser {
    /// Classes by the batch's positive anchors plus one, boxes by four times that. Offsets whose target is
    /// exactly zero do not count.
    Batch,
    /// Each picture's classes by its positive anchors, boxes by four times that, at least one; then the mean
    /// over the batch.
    Picture,
}

impl LossRecipe {
    /// google/automl's (`tf2/train_lib.py`, `hparams_config.py`) and effdet's (`loss.py`).
    pub const OFFICIAL: Self = Self {
        matching: Matching::OFFICIAL,
        alpha: 0.25,
        gamma: 1.5,
        box_loss: BoxLoss::Huber { delta: 0.1 },
        box_weight: 50.0,
        normaliser: Normaliser::Batch,
    };
    /// zylo117's (`efficientdet/loss.py`).
    pub const ZYLO117: Self = Self {
        matching: Matching::ZYLO117,
        gamma: 2.0,
        box_loss: BoxLoss::SmoothL1 { beta: 1.0 / 9.0 },
        normaliser: Normaliser::Picture,
        ..Self::OFFICIAL
    };
}

/// The loss of a detector's outputs, for one input size.
#[derive(Clone, Debug)]
pub struct DetectionLoss {
    recipe: LossRecipe,
    classes: usize,
    anchors: Vec<AnchorBox>,
    matcher: Matcher,
}

/// A detector's loss and its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DetectionLossValue {
    /// The class part.
    pub class_loss: f64,
    /// The box part, before its weight.
    pub box_loss: f64,
    /// The class part and the weighted box part.
    pub total: f64,
    /// Anchors that answer for an object.
    pub positives: usize,
}

impl DetectionLoss {
    /// A loss by `recipe` for a detector of so many class slots and the `anchors` of its input
    /// ([`effigy_arch::EfficientDet::anchor_boxes`]).
    #[must_use]
    pub fn new(recipe: LossRecipe, classes: usize, anchors: Vec<AnchorBox>) -> Self {
        let matcher = Matcher::new(recipe.matching, &anchors);
        Self { recipe, classes, anchors, matcher }
    }

    /// The loss of a batch, and its gradient with respect to each output.
    ///
    /// `outputs` are the graph's: class logits and box offsets of every level, `[N, H, W, anchors · classes]`
    /// and `[N, H, W, anchors · 4]`, where N is the length of `objects`.
    ///
    /// # Panics
    /// Where the outputs are not those of the anchors, or a class index is too large.
    #[must_use]
    pub fn loss(&self, outputs: &[Tensor], objects: &[Vec<TargetBox>]) -> (DetectionLossValue, Vec<Tensor>) {
        let assignments: Vec<_> = objects.iter().map(|objects| self.matcher.assign(objects)).collect();
        let positives: usize = assignments.iter().map(|assignment| assignment.positives).sum();
        let mut gradients: Vec<Tensor> = outputs.iter().map(|output| Tensor::zeros(output.shape())).collect();
        let mut value = DetectionLossValue { positives, ..DetectionLossValue::default() };
        for (picture, (assignment, objects)) in assignments.iter().zip(objects).enumerate() {
            let divisor = match self.recipe.normaliser {
                Normaliser::Batch => positives as f64 + 1.0,
                Normaliser::Picture => assignment.positives.max(1) as f64 * assignments.len() as f64,
            };
            let mut first = 0;
            for (outputs, gradients) in outputs.chunks_exact(2).zip(gradients.chunks_exact_mut(2)) {
                let [class, boxes] = outputs else { unreachable!("chunks of two") };
                let [class_gradient, box_gradient] = gradients else { unreachable!("chunks of two") };
                let cells = boxes.data().len() / 4 / assignments.len();
                let level = Level {
                    anchors: &self.anchors[first..first + cells],
                    matches: &assignment.matches[first..first + cells],
                    objects,
                };
                let part = |tensor_len: usize| {
                    let len = tensor_len / assignments.len();
                    picture * len..(picture + 1) * len
                };
                let (logits, offsets) = (part(class.data().len()), part(boxes.data().len()));
                let class_gradient = &mut class_gradient.data_mut()[logits.clone()];
                value.class_loss += self.classes(&level, &class.data()[logits], divisor, class_gradient);
                let box_gradient = &mut box_gradient.data_mut()[offsets.clone()];
                value.box_loss += self.boxes(&level, &boxes.data()[offsets], divisor, box_gradient);
                first += cells;
            }
            assert_eq!(first, self.anchors.len(), "as many outputs as anchors");
        }
        value.total = value.class_loss + f64::from(self.recipe.box_weight) * value.box_loss;
        (value, gradients)
    }

    /// The class loss of one picture at one level, and its gradient.
    fn classes(&self, level: &Level<'_>, logits: &[f32], divisor: f64, gradient: &mut [f32]) -> f64 {
        assert_eq!(logits.len(), level.anchors.len() * self.classes, "a logit for each class and anchor");
        let focal = Focal { alpha: self.recipe.alpha, gamma: self.recipe.gamma };
        let scale = (1.0 / divisor) as f32;
        // Nearly all logits are of what is not there; the others are set right afterwards.
        let mut total = focal.negatives(logits, scale, gradient);
        for (anchor, &found) in level.matches.iter().enumerate() {
            let classes = anchor * self.classes..(anchor + 1) * self.classes;
            match found {
                Match::Negative => (),
                Match::Positive(object) => {
                    let at = classes.start + level.objects[object].class_index;
                    assert!(at < classes.end, "class {} of {}", at - classes.start, self.classes);
                    let (loss, slope) = focal.positive(logits[at]);
                    total += f64::from(loss) - f64::from(focal.negative(logits[at]).0);
                    gradient[at] = slope * scale;
                }
                Match::Ignored => {
                    let counted = logits[classes.clone()].iter().map(|&logit| focal.negative(logit).0);
                    total -= counted.map(f64::from).sum::<f64>();
                    gradient[classes].fill(0.0);
                }
            }
        }
        total / divisor
    }

    /// The box loss of one picture at one level, and the gradient of its weighted value.
    fn boxes(&self, level: &Level<'_>, offsets: &[f32], divisor: f64, gradient: &mut [f32]) -> f64 {
        let LossRecipe { box_loss, box_weight, normaliser, .. } = self.recipe;
        let scale = (f64::from(box_weight) / (4.0 * divisor)) as f32;
        let mut total = 0.0;
        let (offsets, _) = offsets.as_chunks::<4>();
        let (gradient, _) = gradient.as_chunks_mut::<4>();
        for (anchor, &found) in level.matches.iter().enumerate() {
            let Match::Positive(object) = found else { continue };
            let targets = encode(level.anchors[anchor], level.objects[object].bounds);
            for (i, target) in targets.into_iter().enumerate() {
                if normaliser == Normaliser::Batch && target == 0.0 {
                    continue;
                }
                let (loss, slope) = box_loss.at(offsets[anchor][i] - target);
                total += f64::from(loss);
                gradient[anchor][i] = slope * scale;
            }
        }
        total / (4.0 * divisor)
    }
}

/// The anchors of one level, and what they answer for in one picture.
struct Level<'a> {
    anchors: &'a [AnchorBox],
    matches: &'a [Match],
    objects: &'a [TargetBox],
}
