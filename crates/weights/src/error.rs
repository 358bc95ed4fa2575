//! What can go wrong between a file and a model's weights.

use std::path::PathBuf;

use crate::format::FormatError;

/// Why weights could not be read, matched to a model, written or fetched.
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
}
