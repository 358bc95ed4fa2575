//! What post-processing may do, and what the published code does.

/// How a detector's outputs become boxes.
#[derive(Clone, Debug, PartialEq)]
pub struct PostProcessing {
    /// Only boxes above this score, 0 to 1. With [`Suppression::Soft`] it also ends the lowering of scores.
    pub score: f32,
    /// Which anchors and classes are looked at.
    pub candidates: Candidates,
    /// What is done about boxes of the same object.
    pub suppression: Suppression,
    /// Whether a box also suppresses boxes of other classes.
    pub across_classes: bool,
    /// Where boxes end.
    pub clip: Clip,
    /// Whether boxes that the clipping left no area are dropped before anything else is done about them.
    pub drop_empty: bool,
    /// The best so many boxes of a picture.
    pub max_detections: usize,
    /// Only these classes, if any are given; `Some` of none finds nothing.
    pub classes: Option<Vec<usize>>,
}

/// Which anchors and classes become candidates: at most so many, those of the highest logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// Every class of every anchor.
    EveryClass(usize),
    /// The best class of every anchor; where it is not among the wanted ones, the anchor is none.
    BestClass(usize),
}

/// What is done about a box that overlaps a better one of its class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Suppression {
    /// Dropped where their intersection over union is above `iou`.
    Hard {
        /// 0 to 1; at 1 nothing is dropped.
        iou: f32,
    },
    /// Its score is multiplied by `exp(−iou² / sigma)` (Gaussian soft-NMS, Bodla et al. 2017, arXiv
    /// 1704.04503), and it is dropped where the intersection over union is above `iou`.
    Soft {
        /// Above 0; the smaller, the harder.
        sigma: f32,
        /// 0 to 1; at 1 nothing is dropped for its overlap.
        iou: f32,
    },
}

/// Where boxes are cut off, before they suppress each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clip {
    /// Nowhere.
    Never,
    /// At the picture's edges.
    Picture,
    /// The upper left corner at 0, the lower right one at the last row and column of the network's input.
    LastPixel,
}

impl PostProcessing {
    /// effdet's (`bench.py`, `anchors.py`). It has no threshold.
    pub const EFFDET: Self = Self {
        score: 0.0,
        candidates: Candidates::EveryClass(5000),
        suppression: Suppression::Hard { iou: 0.5 },
        across_classes: false,
        clip: Clip::Picture,
        drop_empty: false,
        max_detections: 100,
        classes: None,
    };
    /// effdet's where its `soft_nms` is asked for.
    pub const EFFDET_SOFT: Self =
        Self { score: 0.001, suppression: Suppression::Soft { sigma: 0.5, iou: 1.0 }, ..Self::EFFDET };
    /// zylo117's evaluation (`coco_eval.py`, `utils/utils.py`), but for the limit of candidates, which it has
    /// not and which pictures hardly reach.
    pub const ZYLO117: Self = Self {
        score: 0.05,
        candidates: Candidates::BestClass(5000),
        clip: Clip::LastPixel,
        max_detections: usize::MAX,
        ..Self::EFFDET
    };
    /// google/automl's evaluation in TensorFlow (`tf2/postprocess.py` for each class, `tf2/eval.py`), where
    /// TensorFlow's soft suppression also drops what overlaps by more than a half.
    pub const OFFICIAL: Self = Self {
        score: 0.001,
        suppression: Suppression::Soft { sigma: 0.5, iou: 0.5 },
        clip: Clip::Never,
        ..Self::EFFDET
    };
}
