//! Data sets on disk.
//!
//! A classification data set is a folder of one of two kinds:
//! - with a file `labels.tsv`: a header line `file⇥class_index`, then a line a picture;
//! - of class folders: each holds the pictures of a class, and the classes are numbered by their
//!   folders' sorted names.

mod dataset;
mod error;
mod listing;

pub use dataset::{Dataset, Sample};
pub use error::{DataError, LineProblem};
pub use listing::pictures;
