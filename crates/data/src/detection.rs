//! A detection data set.

use std::path::{Path, PathBuf};

use effigy_vision::{CocoBox, PixelBox};

use crate::DataError;
use crate::error::{Problem, ProblemKind};

/// Pictures, and where in them is an object of which class.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionDataset {
    /// The pictures in the order of the file or split, those without objects among them.
    pub pictures: Vec<AnnotatedPicture>,
    /// The classes; a class index counts in this table.
    pub categories: Vec<Category>,
    /// What was skipped, in order; empty where the data set was opened with [`OnProblem::Refuse`].
    pub problems: Vec<Problem>,
}

/// A class of objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    /// Its number in the data set's files. COCO's numbers have gaps: 80 classes are numbered from 1 to 90.
    pub id: u64,
    /// Its name.
    pub name: String,
}

/// A picture and its objects.
#[derive(Clone, Debug, PartialEq)]
pub struct AnnotatedPicture {
    /// Where it is.
    pub path: PathBuf,
    /// Its number in COCO's files. Pascal VOC numbers none: there it is its place in the split, from 1.
    pub id: u64,
    /// Width in pixels as the annotations tell it, at least 1.
    pub width: usize,
    /// Height in pixels as the annotations tell it, at least 1.
    pub height: usize,
    /// What is in it, in the order of the file.
    pub objects: Vec<Object>,
    /// The file that annotates it.
    pub annotations: PathBuf,
}

/// An object in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// Where it is: the file's numbers, unrounded; [`Object::corners`] gives its corners.
    pub bounds: CocoBox,
    /// Its class: an index into [`DetectionDataset::categories`].
    pub class_index: usize,
    /// Its area in square pixels: that of its outline where the file tells it, else that of its box.
    pub area: f64,
    /// The box holds a crowd of such objects. Not to be learnt from, and neither right nor wrong to find.
    pub crowd: bool,
    /// Pascal VOC's mark of objects that are hard to make out, which its metric leaves out.
    pub difficult: bool,
    /// Where its file tells of it: the annotation's `id` in COCO's, the line in Pascal VOC's.
    pub origin: u64,
}

/// What to do about a picture or an object that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnProblem {
    /// Refuse the data set, naming the first problem.
    #[default]
    Refuse,
    /// Leave it out and report it in [`DetectionDataset::problems`].
    Skip,
}

impl Object {
    /// Whether it is neither right nor wrong to find it: a crowd, or what Pascal VOC calls difficult.
    pub fn is_ignored(&self) -> bool {
        self.crowd || self.difficult
    }

    /// Its corners in pixels, as f32.
    pub fn corners(&self) -> PixelBox {
        self.bounds.into()
    }
}

impl DetectionDataset {
    /// The index of the class whose number in the files is `id`.
    pub fn class_of(&self, id: u64) -> Option<usize> {
        self.categories.iter().position(|category| category.id == id)
    }
}

/// Collects problems, or stops at the first.
pub(crate) struct Problems {
    policy: OnProblem,
    pub(crate) found: Vec<Problem>,
}

impl Problems {
    pub(crate) fn new(policy: OnProblem) -> Self {
        Self { policy, found: Vec::new() }
    }

    /// The value, or `None` where it has a problem that is skipped.
    pub(crate) fn take<T>(
        &mut self,
        path: &Path,
        place: impl FnOnce() -> String,
        value: Result<T, ProblemKind>,
    ) -> Result<Option<T>, DataError> {
        let kind = match value {
            Ok(value) => return Ok(Some(value)),
            Err(kind) => kind,
        };
        let problem = Problem { path: path.into(), place: place(), kind };
        match self.policy {
            OnProblem::Refuse => Err(DataError::Problem(problem)),
            OnProblem::Skip => {
                self.found.push(problem);
                Ok(None)
            }
        }
    }
}

/// Refuses a box that encloses nothing of a picture of `size` (width, height).
pub(crate) fn check_box(bounds: CocoBox, size: (usize, usize)) -> Result<(), ProblemKind> {
    if bounds.width > 0.0
        && bounds.height > 0.0
        && !PixelBox::from(bounds).clip(size.0, size.1).is_degenerate()
    {
        return Ok(());
    }
    let CocoBox { left, top, width, height } = bounds;
    let text = format!("left {left}, top {top}, width {width}, height {height}");
    Err(ProblemKind::DegenerateBox(text))
}

/// Refuses a picture of no size.
pub(crate) fn check_size(width: usize, height: usize) -> Result<(), ProblemKind> {
    if width > 0 && height > 0 { Ok(()) } else { Err(ProblemKind::Size { width, height }) }
}
