//! What can be wrong with a data set; every message names the file or folder, and the line.

use std::io;
use std::path::PathBuf;

/// Why a data set could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder could not be read.
    #[error("{path}: cannot be read: {source}", path = path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The header of a list lacks a column.
    #[error(
        "{path}:1: no column `{column}`; the first line must name the columns `file` and `class_index` (a number \
         from 0) or `label` (a name), with tabs between them in a .tsv",
        path = path.display()
    )]
    MissingColumn {
        /// The list.
        path: PathBuf,
        /// The column that is not there.
        column: &'static str,
    },
    /// A line of a list cannot be understood.
    #[error("{path}:{line}: {problem}", path = path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: LineProblem,
    },
    /// A file is not the JSON or XML that it should be.
    #[error("{path}:{line}: {message}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser expected.
        message: String,
    },
    /// Something in a detection data set cannot be used, and was not to be skipped.
    #[error("{0}; mend it, or have such ones skipped")]
    Problem(Problem),
    /// A detection data set has no pictures.
    #[error("{path}: no annotated pictures{skipped}", skipped = first_of(problems), path = path.display())]
    NoAnnotatedPictures {
        /// The file or folder.
        path: PathBuf,
        /// What was skipped.
        problems: Vec<Problem>,
    },
    /// There are no pictures.
    #[error("{path}: no pictures; it needs a `labels.tsv` or `labels.csv` with lines, or a folder of pictures for each class, of which `train` may hold those to learn from", path = path.display())]
    Empty {
        /// The data set's folder.
        path: PathBuf,
    },
}

/// What is wrong with a line of a list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineProblem {
    /// Fewer fields than the header has columns.
    #[error("has {found} fields, but the header has {expected}")]
    Fields {
        /// Fields on the line.
        found: usize,
        /// Columns of the header.
        expected: usize,
    },
    /// The class is no number.
    #[error("class_index `{0}` is no whole number from 0")]
    Class(String),
    /// The class has no name.
    #[error("the label is empty")]
    NoLabel,
    /// The list has splits, but the line names none.
    #[error("the split is empty")]
    NoSplit,
    /// The picture does not exist.
    #[error("the picture {path} is not there", path = .0.display())]
    NoPicture(PathBuf),
}

/// Something in a data set that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}{separator}{place}: {kind}", path = path.display(), separator = if place.is_empty() { "" } else { ": " })]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Where in the file: `annotation 12`, `line 34`; empty for the whole of it.
    pub place: String,
    /// What is wrong.
    pub kind: ProblemKind,
}

/// What is wrong with a picture or an object of a detection data set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The object's class is not in the table of classes.
    #[error("category {0} is not among the categories")]
    UnknownCategory(String),
    /// The object is in no picture that is listed.
    #[error("image {0} is not among the images")]
    UnknownPicture(u64),
    /// The picture's file is not there.
    #[error("the picture {path} is not there", path = .0.display())]
    NoPicture(PathBuf),
    /// A split lists a picture that has no annotation file.
    #[error("the annotation file {path} is not there", path = .0.display())]
    NoAnnotations(PathBuf),
    /// Two pictures have the same number.
    #[error("image {0} is there twice")]
    DuplicatePicture(u64),
    /// The picture's width or height is 0.
    #[error("the picture's size is {width}×{height}")]
    Size {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// The box encloses nothing of the picture.
    #[error("the box has no area within the picture ({0})")]
    DegenerateBox(String),
    /// A line of a list cannot be used.
    #[error("{0}")]
    Line(LineProblem),
    /// An annotation file is not the XML that it should be.
    #[error("{0}")]
    Malformed(String),
    /// The picture cannot be read.
    #[error("{0}")]
    Picture(String),
    /// The picture has another size than the annotations tell, so that boxes would be in the wrong places.
    #[error(
        "the picture has {}×{} pixels, but is annotated as {}×{}; mend the annotation, or the picture's \
         orientation",
        found[0], found[1], annotated[0], annotated[1]
    )]
    OtherSize {
        /// Width and height in pixels, upright.
        found: [usize; 2],
        /// Width and height as annotated.
        annotated: [usize; 2],
    },
    /// An element of an annotation file is missing or not what it should be.
    #[error("<{0}> is missing or cannot be read")]
    Element(&'static str),
}

/// The first problem, as the end of a sentence.
fn first_of(problems: &[Problem]) -> String {
    problems
        .first()
        .map_or_else(String::new, |first| format!("; {} skipped, the first: {first}", problems.len()))
}
