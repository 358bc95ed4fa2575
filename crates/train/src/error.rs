//! Why a run stopped.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use effigy_arch::UnknownModel;
use effigy_data::DataError;
use effigy_engine::EngineError;
use effigy_vision::NotFinite;
use effigy_weights::WeightsError;

use crate::{ConfigError, DeviceError, ReduceError};

/// Why a run could not begin, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Options that cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No network has that name.
    #[error(transparent)]
    Model(#[from] UnknownModel),
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Weights could not be read or written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Published weights could not be had.
    #[error("{model}: {reason}")]
    Fetch {
        /// The network.
        model: String,
        /// Why not.
        reason: String,
    },
    /// The weights to begin from do not fit the network.
    #[error(
        "the weights to begin from are not this network's: {count} parameters are missing or have another shape, the first `{first}`"
    )]
    Unfit {
        /// How many.
        count: usize,
        /// The first one's name.
        first: String,
    },
    /// The device could not compute.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The engine could not compute what is judged.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The network's answer while it was judged was not finite.
    #[error(transparent)]
    Answer(#[from] NotFinite),
    /// Other processes could not be reached.
    #[error(transparent)]
    Reduce(#[from] ReduceError),
    /// A loss or a gradient is not finite.
    #[error("{0}")]
    NotFinite(Box<Blowup>),
    /// A file of the run could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The state of a run to be resumed is damaged.
    #[error("{}: cannot be resumed from: {reason}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A picture for the report could not be written.
    #[error(transparent)]
    Encode(#[from] effigy_vision::EncodeError),
    /// Another process trains into the same folder.
    #[error("{}: another run writes there", out.display())]
    Busy {
        /// The folder.
        out: PathBuf,
    },
}

/// Where a run became not finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Blowup {
    /// What was not finite: `loss` or `gradient`.
    pub what: &'static str,
    /// Its value.
    pub value: f64,
    /// The step, from 1.
    pub step: u64,
    /// The learning rate.
    pub learning_rate: f64,
    /// The first node whose output or gradient was not finite.
    pub node: Option<String>,
    /// The files of the batch.
    pub files: Vec<PathBuf>,
}

impl std::fmt::Display for Blowup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, value, step, learning_rate, node, files } = self;
        write!(f, "the {what} of step {step} is {value}; the learning rate was {learning_rate:.3e}. ")?;
        match node {
            Some(node) => write!(f, "The first node that was not finite is `{node}`. ")?,
            None => f.write_str("Every node was finite. ")?,
        }
        f.write_str("Try a lower learning rate, a longer warm-up or clip_norm. The batch's files:")?;
        files.iter().try_for_each(|file| f.write_fmt(format_args!("\n  {}", file.display())))
    }
}

impl TrainError {
    /// An error of a file.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// Options that cannot go together.
    pub(crate) fn conflict(words: impl Into<String>) -> Self {
        Self::Config(ConfigError::Conflict(words.into()))
    }
}

/// `1 234 567`
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            let _ = text.write_char(' ');
        }
        text.push(digit);
    }
    text
}
