//! `effigy quantize`: weights that can be run with 8-bit integers.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use effigy::{Quantiser, Sensitivity};
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::inputs::{Input, Inputs};
use crate::options::{ModelOptions, positive};
use crate::progress::Progress;
use crate::report;
use crate::table::Table;

/// Measure a network's values on pictures, and write weights that run with --precision int8
#[derive(Args, Debug)]
#[command(
    after_help = "Any pictures like those that the network will see do, without labels; a few hundred are enough.
A convolution whose 8-bit integers alone change the answers by more than --tolerance stays in floats.

Examples:
  effigy quantize --images photos/ --out lite0-int8.safetensors
  effigy quantize --weights flowers.pth --images flowers/ --samples 200 --out flowers-int8.safetensors
  effigy eval flowers/ --weights flowers-int8.safetensors --precision int8"
)]
pub(crate) struct Options {
    /// Pictures, or folders of them
    #[arg(long, required = true, value_name = "DIR", num_args = 1..)]
    images: Vec<PathBuf>,
    /// Where to write
    #[arg(long, short, value_name = "OUT.safetensors")]
    out: PathBuf,
    /// Pictures to measure with, taken evenly from all
    #[arg(long, value_name = "N", default_value = "128", value_parser = positive)]
    samples: usize,
    /// Error of the answers, as a share of their spread, that one convolution may cause
    #[arg(long, value_name = "SHARE", default_value_t = TOLERANCE)]
    tolerance: f64,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// Show progress even where standard error is no terminal
    #[arg(long)]
    progress: bool,
    #[command(flatten)]
    model: ModelOptions,
}

/// The error that a convolution may cause where nothing is said.
const TOLERANCE: f64 = 0.08;
/// Rows of the table of convolutions.
const ROWS: usize = 12;

pub(crate) fn run(options: &Options) -> Result<Outcome, Failure> {
    let inputs = Inputs::list(&options.images)?;
    let pictures = evenly(&inputs.pictures, options.samples);
    if pictures.is_empty() {
        return Err(Failure::Usage("there is no picture to measure with".into()));
    }
    let mut quantiser = options.model.loader().quantiser()?;
    let mut progress = Progress::new(pictures.len(), "pictures", options.progress);
    let mut failed = inputs.failed;
    for picture in &pictures {
        match picture.decode() {
            Ok(picture) => quantiser.observe(&picture)?,
            Err(error) => {
                failed += 1;
                progress.error(error);
            }
        }
        progress.advance(1);
    }
    drop(progress);
    if failed - inputs.failed == pictures.len() {
        return Err(Failure::Usage("no picture could be read".into()));
    }
    let mut quantisation = quantiser.measured();
    let all = quantiser.error(&quantisation)?;
    let sensitivities = sensitivities(&quantiser, &quantisation, options.progress)?;
    let too_much = sensitivities.iter().filter(|found| found.error > options.tolerance);
    quantisation.floats = too_much.map(|found| found.node.clone()).collect();
    let chosen = if quantisation.floats.is_empty() { all } else { quantiser.error(&quantisation)? };
    quantiser.save(&options.out, &quantisation)?;

    let used = pictures.len() - (failed - inputs.failed);
    let text = if options.json {
        let nodes: Vec<_> = sensitivities
            .iter()
            .map(|Sensitivity { node, error }| {
                json!({"node": node, "error": error, "precision": precision(*error, options.tolerance)})
            })
            .collect();
        let name = quantiser.network().name();
        format!(
            "{}\n",
            json!({"model": name, "pictures": used, "error_all_int8": all, "error": chosen, "nodes": nodes})
        )
    } else {
        format(&sensitivities, options.tolerance, [all, chosen])
    };
    anstream::stdout().write_all(text.as_bytes())?;
    report::note(format_args!(
        "{}: {} on {used} pictures",
        options.out.display(),
        quantiser.network().name()
    ));
    Ok(Outcome::of(failed))
}

fn sensitivities(
    quantiser: &Quantiser,
    quantisation: &effigy::arch::Quantisation,
    forced: bool,
) -> Result<Vec<Sensitivity>, Failure> {
    let mut progress = Progress::new(quantiser.nodes(quantisation)?.len(), "convolutions", forced);
    Ok(quantiser.sensitivities(quantisation, || progress.advance(1))?)
}

fn precision(error: f64, tolerance: f64) -> &'static str {
    if error > tolerance { "fp32" } else { "int8" }
}

/// The most sensitive convolutions, and the error of the whole network.
fn format(sensitivities: &[Sensitivity], tolerance: f64, [all, chosen]: [f64; 2]) -> String {
    let mut table = Table::new(&["convolution", ">error alone", "precision"]);
    let floats = sensitivities.iter().filter(|found| found.error > tolerance).count();
    for Sensitivity { node, error } in &sensitivities[..sensitivities.len().min(ROWS.max(floats))] {
        let error_alone = format!("{:.2} %", 100.0 * error);
        table.row([node.clone(), error_alone, precision(*error, tolerance).to_owned()]);
    }
    let rest = sensitivities.len().saturating_sub(ROWS.max(floats));
    let rest = if rest == 0 { String::new() } else { format!("… and {rest} less sensitive ones, int8\n") };
    let convolutions = sensitivities.len();
    format!(
        "{}{rest}\n{} of {convolutions} convolutions in int8; error of the answers {:.2} %, {:.2} % with all of them\n",
        table.format(),
        convolutions - floats,
        100.0 * chosen,
        100.0 * all,
    )
}

/// `count` of the pictures, evenly spread over all.
fn evenly(pictures: &[Input], count: usize) -> Vec<Input> {
    let count = count.min(pictures.len());
    (0..count).map(|i| pictures[i * pictures.len() / count].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread() {
        let all: Vec<Input> = (0..10).map(|i| Input::File(format!("{i}").into())).collect();
        let names = |count| evenly(&all, count).iter().map(ToString::to_string).collect::<Vec<_>>().join("");
        assert_eq!((names(5).as_str(), names(3).as_str()), ("02468", "036"));
        assert_eq!(evenly(&all, 99).len(), 10);
        assert!(evenly(&[], 3).is_empty());
    }
}
