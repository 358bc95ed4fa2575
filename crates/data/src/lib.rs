//! Data sets on disk.
//!
//! A classification data set is a folder of one of two kinds:
//! - with a file `labels.tsv`: a header line `file⇥class_index`, then a line a picture;
//! - of class folders: each holds the pictures of a class, and the classes are numbered by their
//!   folders' sorted names.
//!
//! A detection data set is COCO's JSON beside a folder of pictures, or Pascal VOC's folder of XML files;
//! either becomes a [`DetectionDataset`]. What a detector finds is written and read in
//! [COCO's result format](write_results).
//!
//! For training, a [`loader`] makes batches of either kind ahead, varied by a recipe of [`augment`].

mod ahead;
pub mod anchors;
pub mod augment;
mod coco;
mod dataset;
mod detection;
mod error;
mod listing;
pub mod loader;
mod random;
mod results;
mod voc;

pub use dataset::{Dataset, Sample};
pub use detection::{AnnotatedPicture, Category, DetectionDataset, Object, OnProblem};
pub use error::{DataError, LineProblem, Problem, ProblemKind};
pub use listing::pictures;
pub use random::{Purpose, Random};
pub use results::{DetectionResult, read_results, write_results};
