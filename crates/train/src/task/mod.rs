//! What classifiers and detectors learn by, and are judged by.

mod classification;
mod detection;

use std::path::PathBuf;

use effigy_data::Problem;
use effigy_data::loader::Loader;
use effigy_engine::Model;
use effigy_tensor::Tensor;
use effigy_vision::Picture;

use crate::TrainError;

pub(crate) use classification::Classification;
pub(crate) use detection::Detection;

/// A kind of learning: batches, loss, judgement.
pub(crate) trait Task {
    /// What is learnt from at a time.
    type Batch: Send + 'static;

    /// Batches to learn from.
    fn loader(&self) -> Loader<Self::Batch>;

    /// A batch's `[N, H, W, C]`.
    fn input<'a>(&self, batch: &'a Self::Batch) -> &'a Tensor;

    /// The files that a batch is made of.
    fn files(&self, batch: &Self::Batch) -> Vec<PathBuf>;

    /// The loss (first, called `loss`) and its parts, and the gradient of each output.
    fn loss(&self, outputs: &[Tensor], batch: &Self::Batch) -> (Losses, Vec<Tensor>);

    /// How good a network is on the pictures to judge by. `progress` is told how many are done.
    fn judge(&self, model: &Model, progress: &mut dyn FnMut(usize)) -> Result<Judgement, TrainError>;

    /// Some pictures to judge by, with the network's answers.
    fn samples(&self, model: &Model, count: usize) -> Result<Vec<Sample>, TrainError>;
}

/// A loss and its parts by name.
pub(crate) type Losses = Vec<(&'static str, f64)>;

/// What a network was judged to be.
pub(crate) struct Judgement {
    /// By name; the first decides which network is best, the higher the better.
    pub(crate) scores: Vec<(&'static str, f64)>,
    /// Pictures that could not be judged.
    pub(crate) problems: Vec<Problem>,
}

/// A picture with an answer, for people.
pub(crate) struct Sample {
    pub(crate) picture: Picture,
    pub(crate) title: String,
    pub(crate) caption: String,
    /// Whether the answer is right, where that can be said in a word.
    pub(crate) right: Option<bool>,
}

/// `count` numbers below `total`, evenly apart.
fn spread(total: usize, count: usize) -> impl Iterator<Item = usize> {
    let count = count.min(total);
    (0..count).map(move |i| (2 * i + 1) * total / (2 * count))
}
