//! From a detector's outputs to boxes: candidates, decoding, suppression.

mod candidates;
mod decode;
mod options;
mod suppress;
mod workers;

use effigy_arch::AnchorBox;

pub use options::{Candidates, Clip, PostProcessing, Suppression};
pub use workers::{Share, Workers};

use crate::{InputBox, PixelBox, Placement};
use candidates::{Candidate, Selection};
use suppress::Survivor;

/// What a detector gives for one picture at one level of its pyramid.
#[derive(Clone, Copy, Debug)]
pub struct Level<'a> {
    /// `[H, W, anchors · classes]`: one logit for each class of each anchor.
    pub class_logits: &'a [f32],
    /// `[H, W, anchors · 4]`: how each anchor is moved and stretched, as y, x, height, width.
    pub box_offsets: &'a [f32],
}

impl<'a> Level<'a> {
    /// All levels of picture number `picture` of a batch of `pictures`, from a detector's outputs: of each level the class
    /// map, then the box map, of the whole batch.
    ///
    /// # Panics
    /// Where an output is not of so many pictures.
    #[must_use]
    pub fn of_picture(
        outputs: impl IntoIterator<Item = &'a [f32]>,
        pictures: usize,
        picture: usize,
    ) -> Vec<Self> {
        let mut parts = outputs.into_iter().map(|map| {
            let len = map.len() / pictures;
            assert!(
                map.len() == len * pictures && picture < pictures,
                "{} values of {pictures} pictures",
                map.len()
            );
            &map[picture * len..(picture + 1) * len]
        });
        let level = || Some(Self { class_logits: parts.next()?, box_offsets: parts.next()? });
        std::iter::from_fn(level).collect()
    }
}

/// A box that a detector found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredBox {
    /// Where, in pixels of the picture.
    pub bounds: PixelBox,
    /// The class, counted from 0 as the network's class slots are.
    pub class_index: usize,
    /// How sure, 0 to 1: the sigmoid of the logit, lowered by soft suppression.
    pub score: f32,
}

/// An output that holds a NaN or an infinite value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the detector's output `{endpoint}` is not finite; the weights are damaged, or not this network's")]
pub struct NotFinite {
    /// The endpoint, such as `class.p3` or `box.p7`.
    pub endpoint: String,
}

impl NotFinite {
    fn new(head: &str, level: usize) -> Self {
        Self { endpoint: format!("{head}.p{}", FIRST_LEVEL + level) }
    }
}

/// The level of a detector's finest outputs.
const FIRST_LEVEL: usize = 3;

/// The boxes of one picture, best first.
///
/// `levels` are the outputs from level 3 on, `anchors` those of the whole input in the same order
/// ([`effigy_arch::EfficientDet::anchor_boxes`]), `classes` the number of class slots. An anchor's box is
/// moved by its offsets y and x times its height and width, and stretched by e to the power of the others.
///
/// Of equal logits the one of the earlier anchor, then of the lower class, comes first everywhere: among
/// candidates, when boxes suppress each other, and in the result. After soft suppression, equal scores are
/// ordered by their logits in the same way.
///
/// # Errors
/// [`NotFinite`] where any logit or offset is NaN or infinite, or so large that a box has no place.
///
/// # Panics
/// Where the lengths of `levels` and `anchors` do not agree.
pub fn detections(
    levels: &[Level<'_>],
    anchors: &[AnchorBox],
    classes: usize,
    placement: &Placement,
    options: &PostProcessing,
) -> Result<Vec<ScoredBox>, NotFinite> {
    detections_shared(levels, anchors, classes, placement, options, Workers::ALONE)
}

/// As [`detections`], the search for candidates shared by `workers`.
///
/// # Errors
/// As [`detections`].
///
/// # Panics
/// As [`detections`].
pub fn detections_shared(
    levels: &[Level<'_>],
    anchors: &[AnchorBox],
    classes: usize,
    placement: &Placement,
    options: &PostProcessing,
    workers: Workers<'_>,
) -> Result<Vec<ScoredBox>, NotFinite> {
    check(levels, anchors.len(), classes)?;
    let selection = Selection::new(options);
    let mut candidates = selection.select(levels, classes, workers)?;
    let mut boxes = decode::boxes(levels, anchors, &candidates, placement, options.clip)?;
    if options.drop_empty {
        let has_area = |bounds: &InputBox| bounds.y1 < bounds.y2 && bounds.x1 < bounds.x2;
        let mut each = boxes.iter();
        candidates.retain(|_| each.next().is_some_and(has_area));
        boxes.retain(has_area);
    }
    let survivors = suppress::suppress(&candidates, &boxes, options);
    let scored = |survivor: Survivor| {
        let Candidate { class_index, .. } = candidates[survivor.index];
        let bounds = placement.to_picture(boxes[survivor.index]);
        ScoredBox { bounds, class_index, score: survivor.score }
    };
    Ok(survivors.into_iter().map(scored).collect())
}

/// Lengths, and that offsets are finite; logits are looked at when candidates are selected.
fn check(levels: &[Level<'_>], anchors: usize, classes: usize) -> Result<(), NotFinite> {
    let mut seen = 0;
    for (index, level) in levels.iter().enumerate() {
        let (offsets, rest) = level.box_offsets.as_chunks::<4>();
        assert!(rest.is_empty(), "level {}: four offsets for each anchor", FIRST_LEVEL + index);
        let (logits, expected) = (level.class_logits.len(), offsets.len() * classes);
        assert_eq!(logits, expected, "level {}: a logit for each class and anchor", FIRST_LEVEL + index);
        seen += offsets.len();
        if !offsets.iter().fold(true, |finite, four| finite & four.iter().all(|x| x.is_finite())) {
            return Err(NotFinite::new("box", index));
        }
    }
    assert_eq!(seen, anchors, "as many outputs as anchors");
    Ok(())
}
