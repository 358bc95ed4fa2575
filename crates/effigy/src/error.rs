//! Everything that can go wrong, in one place.

use std::io;
use std::path::PathBuf;

use effigy_arch::UnknownModel;
use effigy_engine::EngineError;
use effigy_vision::{NotFinite, VisionError};
use effigy_weights::WeightsError;
use effigy_weights::hub::HubError;

/// Why a model could not be loaded or a picture not be answered. Every message says what is concerned
/// and, where something can be done, what.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No network has that name.
    #[error(transparent)]
    UnknownModel(#[from] UnknownModel),
    /// Weights could not be read, or not be matched to their network.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Published weights could not be had.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A picture could not be read.
    #[error(transparent)]
    Picture(#[from] VisionError),
    /// The network could not be compiled or run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A file of labels could not be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Labels {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// There are not as many labels as classes.
    #[error("{labels} labels for {classes} classes; give one label a line, in the order of the classes")]
    LabelCount {
        /// Labels given.
        labels: usize,
        /// Classes of the network.
        classes: usize,
    },
    /// The weights have no classifier, so that nothing can be classified.
    #[error("{model}: the weights have no classifier; they give features only")]
    NoClassifier {
        /// The network.
        model: String,
    },
    /// The weights are a detector's, where a classifier's are needed.
    #[error("{model} is a detector, not a classifier; `effigy detect` and `Loader::detector` take it")]
    NotAClassifier {
        /// The network.
        model: String,
    },
    /// The weights are a classifier's, where a detector's are needed.
    #[error("{model} is a classifier, not a detector; `effigy classify` and `Loader::classifier` take it")]
    NotADetector {
        /// The network.
        model: String,
    },
    /// The network wants pictures of a kind that there are not.
    #[error("{model} wants {channels} channels; pictures have three, or one as grey")]
    Channels {
        /// The network.
        model: String,
        /// Its channels.
        channels: usize,
    },
    /// No node and no endpoint of the network is called that.
    #[error("{model} has no layer {layer:?}; `effigy summary {model} --nodes` lists them")]
    UnknownLayer {
        /// The network.
        model: String,
        /// What was asked for.
        layer: String,
    },
    /// A size at which no network can be run.
    #[error("an input of {height}×{width} pixels: both sides must be from 1 to {max}")]
    Size {
        /// Height in pixels.
        height: usize,
        /// Width in pixels.
        width: usize,
        /// The largest side.
        max: usize,
    },
    /// A share of the picture that a crop cannot keep.
    #[error("crop_pct {0}: it must be above 0 and at most 1")]
    CropPct(f32),
    /// A standard deviation that cannot be divided by, or a mean that is no number.
    #[error("mean {mean:?} and standard deviation {std:?}: both must be finite, the latter above 0")]
    Normalisation {
        /// R, G, B.
        mean: [f32; 3],
        /// R, G, B.
        std: [f32; 3],
    },
    /// A detector's answer holds infinities or values that are not numbers.
    #[error(transparent)]
    NotFiniteOutput(#[from] NotFinite),
    /// The network's answer holds infinities or values that are not numbers.
    #[error(
        "the network's answer is not a number (at {index}: {value}); the weights are damaged or do not fit \
         the network; `effigy inspect` tells more"
    )]
    NotFinite {
        /// The first such value's position in the picture's answer.
        index: usize,
        /// The value.
        value: f32,
    },
}
