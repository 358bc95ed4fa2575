//! A detector's anchors and the boxes of a data set: which anchors answer for which box, and anchors that fit
//! the boxes better.

mod fit;
mod grid;

use effigy_arch::EfficientDet;
use effigy_vision::{InputBox, Placement};

pub use fit::{Fit, FitOptions, fit};
pub use grid::{AnchorGrid, BoxMatch, figures};

use crate::{AnnotatedPicture, DetectionDataset};

/// Overlap, as intersection over union, from which on an anchor answers for a box.
pub const MATCH: f32 = 0.5;

/// How well anchors fit boxes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Boxes.
    pub boxes: usize,
    /// How many have an anchor whose overlap is at least [`MATCH`].
    pub matched: usize,
    /// Mean of every box's best overlap, 0 to 1.
    pub mean_best: f64,
}

impl Figures {
    /// Share of the boxes that are matched, 0 to 1; 0 where there are none.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.boxes == 0 { 0.0 } else { self.matched as f64 / self.boxes as f64 }
    }
}

/// The boxes of a picture that a detector learns from, in pixels of its input, each with its index among the
/// picture's objects.
pub fn input_boxes(
    picture: &AnnotatedPicture,
    detector: &EfficientDet,
) -> impl Iterator<Item = (usize, InputBox)> {
    let placement = Placement::new([picture.height, picture.width], &detector.letterbox);
    let learnt = picture.objects.iter().enumerate().filter(|(_, object)| !object.crowd);
    learnt.map(move |(index, object)| {
        let inside = object.corners().clip(picture.width, picture.height);
        (index, placement.to_input(inside))
    })
}

/// All boxes of a data set that a detector learns from, in pixels of its input.
#[must_use]
pub fn all_boxes(dataset: &DetectionDataset, detector: &EfficientDet) -> Vec<InputBox> {
    let pictures = dataset.pictures.iter();
    pictures.flat_map(|picture| input_boxes(picture, detector).map(|(_, bounds)| bounds)).collect()
}
