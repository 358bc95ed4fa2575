//! The commands: each with its options, what it does and its tests in a file of its own.

mod classify;
mod convert;
mod inspect;
mod models;
mod summary;

use clap::Subcommand;

use crate::failure::{Failure, Outcome};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Classify(classify::Options),
    Models(models::Options),
    Summary(summary::Options),
    Inspect(inspect::Options),
    Convert(convert::Options),
}

impl Command {
    pub(crate) fn run(&self) -> Result<Outcome, Failure> {
        match self {
            Self::Classify(options) => classify::run(options),
            Self::Models(options) => models::run(options),
            Self::Summary(options) => summary::run(options),
            Self::Inspect(options) => inspect::run(options),
            Self::Convert(options) => convert::run(options),
        }
    }
}
