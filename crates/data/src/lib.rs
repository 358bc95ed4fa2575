//! Data sets on disk.
//!
//! A classification data set is of one of two kinds:
//! - a list, CSV or TSV, or a folder that holds it as `labels.tsv` or `labels.csv`: a header line with `file` and
//!   `class_index` or `label`, and perhaps `split`, then a line a picture;
//! - a folder of class folders: each holds the pictures of a class, and the classes are numbered by their
//!   folders' sorted names. Folders `train`, `val` and `test` may hold the splits.
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
pub mod doctor;
mod error;
mod list;
mod listing;
pub mod loader;
mod random;
mod results;
mod voc;

pub use dataset::{Dataset, Hold, Sample, Split};
pub use detection::{AnnotatedPicture, Category, DetectionDataset, Object, OnProblem};
pub use error::{DataError, LineProblem, Problem, ProblemKind};
pub use listing::pictures;
pub use random::{Purpose, Random};
pub use results::{DetectionResult, read_results, write_results};
