//! The commands: each with its options, what it does and its tests in a file of its own.

mod anchors;
mod bench;
mod classify;
mod convert;
mod detect;
mod doctor;
mod eval;
mod features;
mod inspect;
mod models;
mod quantize;
mod summary;
mod train;

use clap::Subcommand;

use crate::failure::{Failure, Outcome};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Classify(classify::Options),
    Detect(detect::Options),
    Features(features::Options),
    Eval(eval::Options),
    Models(models::Options),
    Summary(summary::Options),
    Inspect(inspect::Options),
    Convert(convert::Options),
    Bench(bench::Options),
    Quantize(quantize::Options),
    Train(train::Options),
    Doctor(doctor::Options),
    Anchors(anchors::Options),
}

impl Command {
    pub(crate) fn run(&self) -> Result<Outcome, Failure> {
        match self {
            Self::Classify(options) => classify::run(options),
            Self::Detect(options) => detect::run(options),
            Self::Features(options) => features::run(options),
            Self::Eval(options) => eval::run(options),
            Self::Models(options) => models::run(options),
            Self::Summary(options) => summary::run(options),
            Self::Inspect(options) => inspect::run(options),
            Self::Convert(options) => convert::run(options),
            Self::Bench(options) => bench::run(options),
            Self::Quantize(options) => quantize::run(options),
            Self::Train(options) => train::run(options),
            Self::Doctor(options) => doctor::run(options),
            Self::Anchors(options) => anchors::run(options),
        }
    }
}
