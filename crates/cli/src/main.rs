//! The `effigy` command.
//!
//! Results go to standard output, progress and messages to standard error. Exit codes: 0 done, 1 something
//! failed (named on standard error, the rest still done), 2 wrong usage.

mod anchors;
mod commands;
mod datasets;
mod failure;
mod inputs;
mod interrupt;
mod npy;
mod options;
mod pipeline;
mod progress;
mod report;
mod table;
mod untrained;
mod video;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::Command;
use crate::failure::Outcome;

/// What is in a picture, and where: EfficientNet and EfficientDet on a CPU.
///
/// The first command to try, which needs no download: effigy classify PHOTO
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// No notes on standard error, only errors
    #[arg(long, short, global = true)]
    quiet: bool,
}

fn main() -> ExitCode {
    let Cli { command, quiet } = Cli::parse();
    report::set_quiet(quiet);
    match command.run() {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::SomeFailed) => ExitCode::FAILURE,
        // Whoever read our output has seen enough: `effigy classify photos | head`.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            report::error(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}
