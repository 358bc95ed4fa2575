//! What a network is given at a time.

use std::path::PathBuf;

use effigy_tensor::Tensor;
use effigy_vision::{InputBox, Placement};

use super::Place;

/// Pictures of a classification data set, as the network sees them.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassificationBatch {
    /// Its place in the run.
    pub place: Place,
    /// `[N, H, W, 3]`, normalised.
    pub input: Tensor,
    /// `[N, classes]`: how much each picture is of each class; a row's sum is 1. Mixed pictures are of two
    /// classes, others wholly of one.
    pub targets: Tensor,
    /// Each picture's own class, whatever is mixed in.
    pub classes: Vec<usize>,
    /// Each picture's index in the data set.
    pub samples: Vec<usize>,
    /// Each picture's file.
    pub files: Vec<PathBuf>,
}

/// Pictures of a detection data set, as the network sees them.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionBatch {
    /// Its place in the run.
    pub place: Place,
    /// `[N, H, W, 3]`, normalised.
    pub input: Tensor,
    /// What is in each picture; crowds are left out.
    pub objects: Vec<Vec<InputObject>>,
    /// Where each picture lies in its input, for the way back to its own pixels; empty where pictures are
    /// varied.
    pub placements: Vec<Placement>,
    /// Each picture's index in the data set; of a mosaic, that of its first picture.
    pub samples: Vec<usize>,
    /// The files of each picture: one, or those of a mosaic.
    pub files: Vec<Vec<PathBuf>>,
}

/// An object in a detector's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputObject {
    /// Where it is, in pixels of the network's input.
    pub bounds: InputBox,
    /// Its class: an index into the data set's categories.
    pub class_index: usize,
    /// Pascal VOC's mark of objects that are hard to make out.
    pub difficult: bool,
}
