//! The commands: each with its options, what it does and its tests in a file of its own.

mod classify;

use clap::Subcommand;

use crate::failure::{Failure, Outcome};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Classify(classify::Options),
}

impl Command {
    pub(crate) fn run(&self) -> Result<Outcome, Failure> {
        match self {
            Self::Classify(options) => classify::run(options),
        }
    }
}
