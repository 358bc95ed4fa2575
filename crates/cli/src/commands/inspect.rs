//! `effigy inspect`: what a checkpoint holds.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use effigy::arch::{Anchors, EfficientDet, EfficientNet, Network, Normalisation, Top};
use effigy::weights::{Inspection, LoadOptions, inspect};
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::options::describe_input;
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
    let Inspection { format, family, network, params, .. } = inspection;
    let network = network.as_ref();
    let mut text = format!("{STRONG}{}{STRONG:#}\n", options.weights.display());
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text += &format!("  {name:14} {value}\n");
        }
    };
    line("format", Some(format.to_string()));
    line("family", family.map(|family| family.to_string()));
    line("model", network.map(|network| network.name().to_owned()));
    line("parameters", params.map(grouped));
    line("classes", network.and_then(classes).map(|classes| classes.to_string()));
    line("channels", network.map(|network| network.in_channels().to_string()));
    line("preprocessing", network.map(describe_input));
    line("anchors", network.and_then(anchors));
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

/// A detector's anchors: `9 a cell on levels 3–7, from 4 strides, ratios 1×1 1.4×0.7 0.7×1.4, 49 104 at 512×512`.
fn anchors(network: &Network) -> Option<String> {
    let Network::EfficientDet(network) = network else { return None };
    let (Anchors { base, ratios, .. }, levels) = (&network.anchors, network.levels());
    let [height, width] = network.letterbox.size;
    let ratios: Vec<String> =
        ratios.iter().map(|ratio| format!("{:.3}×{:.3}", ratio.width, ratio.height)).collect();
    Some(format!(
        "{} a cell on levels {}–{}, from {base} strides, ratios {}; {} at {height}×{width}",
        network.anchors.per_cell(),
        levels.start(),
        levels.end(),
        ratios.join(" "),
        grouped(network.anchors.count(levels.clone(), height, width) as u64),
    ))
}

/// Classes; nothing without a classifier.
fn classes(network: &Network) -> Option<usize> {
    match network {
        Network::EfficientNet(network) if network.top != Top::Classifier => None,
        network => Some(network.classes()),
    }
}

fn anchor_figures(network: &Network) -> Option<serde_json::Value> {
    let Network::EfficientDet(EfficientDet { anchors, .. }) = network else { return None };
    let ratios: Vec<[f64; 2]> = anchors.ratios.iter().map(|ratio| [ratio.width, ratio.height]).collect();
    Some(json!({"base": anchors.base, "scales": anchors.scales, "ratios": ratios}))
}

fn list(head: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: String = items.iter().map(|item| format!("  {item}\n")).collect();
    format!("\n{STRONG}{head}{STRONG:#}\n{items}")
}

fn json(options: &Options, inspection: &Inspection) -> String {
    let network = inspection.network.as_ref();
    let preprocessing = network.map(|network| match network {
        Network::EfficientNet(EfficientNet { preprocessing: p, .. }) => {
            let interpolation = format!("{:?}", p.interpolation).to_lowercase();
            json!({"size": p.size, "crop_pct": p.crop_pct, "interpolation": interpolation,
                   "mean": p.mean, "std": p.std})
        }
        Network::EfficientDet(EfficientDet { letterbox, .. }) => {
            let interpolation = format!("{:?}", letterbox.interpolation).to_lowercase();
            let Normalisation { mean, std } = letterbox.normalisation;
            json!({"size": letterbox.size, "interpolation": interpolation, "mean": mean, "std": std})
        }
    });
    let tensors = inspection
        .tensors
        .iter()
        .map(|tensor| json!({"name": tensor.name, "dtype": tensor.dtype.to_string(), "shape": tensor.shape}));
    let value = json!({
        "path": options.weights.display().to_string(),
        "format": inspection.format.to_string(),
        "family": inspection.family.map(|family| family.to_string()),
        "model": network.map(Network::name),
        "params": inspection.params,
        "classes": network.and_then(classes),
        "in_channels": network.map(Network::in_channels),
        "preprocessing": preprocessing,
        "anchors": network.and_then(anchor_figures),
        "assumptions": inspection.assumptions,
        "problems": inspection.problems,
        "tensors": if options.tensors { json!(tensors.collect::<Vec<_>>()) } else { json!(inspection.tensors.len()) },
    });
    format!("{value}\n")
}
