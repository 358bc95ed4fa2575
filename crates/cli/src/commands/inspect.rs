//! `effigy inspect`: what a checkpoint holds.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use effigy::weights::{Inspection, LoadOptions, inspect};
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::options::describe;
use crate::report::STRONG;
use crate::table::{Table, grouped};

/// Tell what a checkpoint holds: family, model, classes, preprocessing, problems
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// A checkpoint: .pth or safetensors
    weights: PathBuf,
    /// The model that it is of, where its names and shapes do not tell
    #[arg(long, short, value_name = "NAME")]
    model: Option<String>,
    /// Every tensor, too
    #[arg(long)]
    tensors: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Exit code 1 where the checkpoint cannot be loaded.
pub(crate) fn run(options: &Options) -> Result<Outcome, Failure> {
    let load = LoadOptions { model: options.model.clone(), ..LoadOptions::default() };
    let inspection = inspect(&options.weights, &load)?;
    let text = if options.json { json(options, &inspection) } else { table(options, &inspection) };
    anstream::stdout().write_all(text.as_bytes())?;
    Ok(Outcome::of(inspection.problems.len()))
}

fn table(options: &Options, inspection: &Inspection) -> String {
    let Inspection { format, family, model, classes, in_channels, preprocessing, params, .. } = inspection;
    let mut text = format!("{STRONG}{}{STRONG:#}\n", options.weights.display());
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text += &format!("  {name:14} {value}\n");
        }
    };
    line("format", Some(format.to_string()));
    line("family", family.map(|family| family.to_string()));
    line("model", model.clone());
    line("parameters", params.map(grouped));
    line("classes", classes.map(|classes| classes.to_string()));
    line("channels", in_channels.map(|channels| channels.to_string()));
    line("preprocessing", preprocessing.as_ref().map(describe));
    line("tensors", Some(inspection.tensors.len().to_string()));
    text += &list("assumptions", &inspection.assumptions);
    text += &list("problems", &inspection.problems);
    if options.tensors {
        let mut table = Table::new(&["tensor", "type", "shape"]);
        for tensor in &inspection.tensors {
            table.row([tensor.name.clone(), tensor.dtype.to_string(), format!("{:?}", tensor.shape)]);
        }
        text += &format!("\n{}", table.format());
    }
    text
}

fn list(head: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: String = items.iter().map(|item| format!("  {item}\n")).collect();
    format!("\n{STRONG}{head}{STRONG:#}\n{items}")
}

fn json(options: &Options, inspection: &Inspection) -> String {
    let preprocessing = inspection.preprocessing.as_ref().map(|p| {
        let interpolation = format!("{:?}", p.interpolation).to_lowercase();
        json!({"size": p.size, "crop_pct": p.crop_pct, "interpolation": interpolation,
               "mean": p.mean, "std": p.std})
    });
    let tensors = inspection
        .tensors
        .iter()
        .map(|tensor| json!({"name": tensor.name, "dtype": tensor.dtype.to_string(), "shape": tensor.shape}));
    let value = json!({
        "path": options.weights.display().to_string(),
        "format": inspection.format.to_string(),
        "family": inspection.family.map(|family| family.to_string()),
        "model": inspection.model,
        "params": inspection.params,
        "classes": inspection.classes,
        "in_channels": inspection.in_channels,
        "preprocessing": preprocessing,
        "assumptions": inspection.assumptions,
        "problems": inspection.problems,
        "tensors": if options.tensors { json!(tensors.collect::<Vec<_>>()) } else { json!(inspection.tensors.len()) },
    });
    format!("{value}\n")
}
