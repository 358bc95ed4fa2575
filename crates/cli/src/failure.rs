//! How a command ends.

use std::io;
use std::path::PathBuf;

use effigy::Error;
use effigy::engine::EngineError;
use effigy_train::TrainError;

use crate::video::VideoError;

/// A command that ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything was done.
    Done,
    /// Some inputs failed; each was named on standard error.
    SomeFailed,
}

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Arguments that make no sense together.
    #[error("{0}")]
    Usage(String),
    /// A model could not be loaded, or a picture not be answered.
    #[error(transparent)]
    Effigy(#[from] Error),
    /// A data set could not be opened.
    #[error(transparent)]
    Data(#[from] effigy_data::DataError),
    /// A file could not be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// A picture could not be written in its format.
    #[error("{}: {source}", path.display())]
    Encode { path: PathBuf, source: effigy::vision::EncodeError },
    /// A video could not be read or written.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// A run could not begin, or stopped.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Ctrl-C, or its like, in a run that can go on.
    #[error("stopped; `--resume` goes on from step {step}")]
    Stopped { step: u64 },
    /// Ctrl-C, or its like.
    #[error("interrupted; what was not finished is removed")]
    Interrupted,
    /// Results could not be written.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl Outcome {
    /// The outcome where so many inputs failed.
    pub(crate) fn of(failed: usize) -> Self {
        if failed == 0 { Self::Done } else { Self::SomeFailed }
    }
}

impl Failure {
    /// 2 where the arguments are to blame, 130 where a signal ended it, 1 otherwise.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Effigy(
                Error::UnknownModel(_)
                | Error::UnknownLayer { .. }
                | Error::Engine(EngineError::Precision { .. })
                | Error::LabelCount { .. }
                | Error::Size { .. }
                | Error::CropPct(_)
                | Error::Normalisation { .. },
            )
            | Self::Train(TrainError::Config(_) | TrainError::Model(_)) => 2,
            Self::Interrupted | Self::Stopped { .. } => 130,
            _ => 1,
        }
    }

    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<effigy::weights::WeightsError> for Failure {
    fn from(error: effigy::weights::WeightsError) -> Self {
        Self::Effigy(error.into())
    }
}

impl From<effigy::arch::UnknownModel> for Failure {
    fn from(error: effigy::arch::UnknownModel) -> Self {
        Self::Effigy(error.into())
    }
}

impl From<effigy::engine::EngineError> for Failure {
    fn from(error: effigy::engine::EngineError) -> Self {
        Self::Effigy(error.into())
    }
}
