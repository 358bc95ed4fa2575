//! What can go wrong between a file and a model's weights.

use std::path::PathBuf;

use crate::adapt::CannotAdapt;
use crate::assume::NoModel;
use crate::check::Differences;
use crate::detect::Unrecognised;
use crate::format::FormatError;
use crate::names::Family;

/// Why weights could not be read, matched to a model or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The operating system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The bytes are not what their format asks for.
    #[error("{}: {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FormatError,
    },
    /// No EfficientNet is in the file.
    #[error("{}: {source}", path.display())]
    Unrecognised {
        /// The file.
        path: PathBuf,
        /// What is there instead.
        source: Unrecognised,
    },
    /// It is not clear which EfficientNet is in the file.
    #[error("{}: {source}", path.display())]
    NoModel {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<NoModel>,
    },
    /// The family of the checkpoint does not have the network that was asked for.
    #[error("{}: the tensors are named as {family} names them, which has no {model}", path.display())]
    NoNames {
        /// The file.
        path: PathBuf,
        /// Whose names its tensors have.
        family: Family,
        /// The network.
        model: String,
    },
    /// The tensors are not those of the network.
    #[error(
        "{}: {count} tensors are not as {model} needs them ({family} names):{differences}",
        path.display(), count = differences.count()
    )]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The network.
        model: String,
        /// Whose names its tensors have.
        family: Family,
        /// All of the differences.
        differences: Box<Differences>,
    },
    /// The classifier or the stem cannot be changed as asked.
    #[error("{}: {source}", path.display())]
    Adapt {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: CannotAdapt,
    },
}
