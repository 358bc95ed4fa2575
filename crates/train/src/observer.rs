//! What a run tells whoever started it.

use std::time::Duration;

use effigy_data::Problem;

use crate::record::EpochRecord;

/// Is told how a run goes, and may stop it. Every method may be left out.
pub trait Observer {
    /// A step was done.
    fn step(&mut self, _step: &Progress) {}

    /// So many of the pictures to judge by have been judged.
    fn judged(&mut self, _done: usize, _total: usize) {}

    /// An epoch is over, and its network has been judged, if it was its turn.
    fn epoch(&mut self, _record: &EpochRecord) {}

    /// A picture was left out.
    fn problem(&mut self, _problem: &Problem) {}

    /// Asked after every step: whether to stop. What was done until then is saved, and can be gone on with.
    fn stop(&mut self) -> bool {
        false
    }
}

/// An observer that looks away.
impl Observer for () {}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// The epoch, from 0.
    pub epoch: usize,
    /// Epochs of the run.
    pub epochs: usize,
    /// Batches of this epoch that are done.
    pub batch: u64,
    /// Batches an epoch.
    pub batches: u64,
    /// Steps done in all.
    pub step: u64,
    /// The loss of the last step.
    pub loss: f64,
    /// The norm of its gradients, before they were clipped.
    pub gradient_norm: f64,
    /// Its learning rate.
    pub learning_rate: f64,
    /// Pictures a second since the epoch began, or this process.
    pub pictures_per_second: f64,
    /// How long batches were waited for since then.
    pub data_time: Duration,
    /// How long the device and the optimiser computed since then.
    pub compute_time: Duration,
    /// How long the rest of the run will take, judging included, as far as it is known.
    pub left: Duration,
}
