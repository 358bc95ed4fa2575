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
    /// The header of a `labels.tsv` lacks a column.
    #[error("{path}:1: no column `{column}`; the first line must name the columns `file` and `class_index`, tab-separated", path = path.display())]
    MissingColumn {
        /// The labels file.
        path: PathBuf,
        /// The column that is not there.
        column: &'static str,
    },
    /// A line of a `labels.tsv` cannot be understood.
    #[error("{path}:{line}: {problem}", path = path.display())]
    Line {
        /// The labels file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: LineProblem,
    },
    /// There are no pictures.
    #[error("{path}: no pictures; it needs a `labels.tsv` with lines, or a folder of pictures for each class", path = path.display())]
    Empty {
        /// The data set's folder.
        path: PathBuf,
    },
}

/// What is wrong with a line of a `labels.tsv`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineProblem {
    /// Fewer fields than the header has columns.
    #[error("has {found} tab-separated fields, but the header has {expected}")]
    Fields {
        /// Fields on the line.
        found: usize,
        /// Columns of the header.
        expected: usize,
    },
    /// The class is no number.
    #[error("class_index `{0}` is no whole number from 0")]
    Class(String),
    /// The picture does not exist.
    #[error("the picture {path} is not there", path = .0.display())]
    NoPicture(PathBuf),
}
