//! `effigy models`: every published network.

use std::io::Write;

use clap::Args;
use effigy::arch::{DetectorVariant, Network, Variant, detector_variants, variants};
use effigy::weights::hub::{Hub, checkpoints};
use effigy::{EfficientDet, EfficientNet, Loader};
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::table::{Table, short};

/// List every published network: size, input, score, whether its weights are here
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// The checkpoints that can be downloaded, instead of the networks
    #[arg(long)]
    checkpoints: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<Outcome, Failure> {
    let text = match (options.checkpoints, options.json) {
        (false, false) => table(),
        (false, true) => lines(&rows()),
        (true, false) => checkpoint_table(),
        (true, true) => lines(&checkpoint_rows()),
    };
    anstream::stdout().write_all(text.as_bytes())?;
    Ok(Outcome::Done)
}

#[derive(Debug, Serialize)]
struct Row {
    model: &'static str,
    params: u64,
    macs: u64,
    input: [usize; 2],
    /// Of a classifier: ImageNet top-1 in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    top1: Option<f32>,
    /// Of a detector: COCO val2017 AP in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    ap: Option<f32>,
    weights: Availability,
}

/// Whether weights can be had without more ado.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Availability {
    /// Within the program.
    Embedded,
    /// In the cache.
    Cached,
    /// To be downloaded on first use.
    Download,
    /// Not published in a form that is known.
    None,
}

#[derive(Debug, Serialize)]
struct CheckpointRow {
    name: &'static str,
    model: String,
    url: String,
    weights: Availability,
}

/// Classifiers, then detectors.
fn rows() -> Vec<Row> {
    variants()
        .iter()
        .map(Row::of_classifier)
        .chain(detector_variants().iter().map(Row::of_detector))
        .collect()
}

impl Row {
    fn of_classifier(variant: &Variant) -> Self {
        let row = Self::new(variant.name, &EfficientNet::from_variant(variant).into());
        Self { top1: Some(variant.published.top1), ..row }
    }

    fn of_detector(variant: &DetectorVariant) -> Self {
        let row = Self::new(variant.name, &EfficientDet::from_variant(variant).into());
        Self { ap: Some(variant.published.ap_val), ..row }
    }

    fn new(model: &'static str, network: &Network) -> Self {
        let (graph, size) = (network.graph(), network.size());
        Self {
            model,
            params: graph.param_count(),
            macs: graph.macs(size[0], size[1]),
            input: size,
            top1: None,
            ap: None,
            weights: availability(model),
        }
    }
}

impl Availability {
    fn words(self) -> &'static str {
        match self {
            Self::Embedded => "included",
            Self::Cached => "here",
            Self::Download => "download",
            Self::None => "–",
        }
    }
}

/// The best that any checkpoint of the network offers.
fn availability(model: &str) -> Availability {
    if Loader::embedded().any(|embedded| embedded == model) {
        return Availability::Embedded;
    }
    let hub = Hub::from_env().ok();
    let of_model = || checkpoints().iter().filter(|checkpoint| checkpoint.network().name() == model);
    match (hub, of_model().next()) {
        (Some(hub), _) if of_model().any(|checkpoint| hub.has(checkpoint)) => Availability::Cached,
        (_, Some(_)) => Availability::Download,
        (_, None) => Availability::None,
    }
}

fn table() -> String {
    let mut table = Table::new(&["model", ">parameters", ">MACs", ">input", ">top-1 %", ">AP %", "weights"]);
    let score = |score: Option<f32>| score.map(|score| format!("{score:.1}")).unwrap_or_default();
    for row in rows() {
        let [height, width] = row.input;
        table.row([
            row.model.to_owned(),
            short(row.params),
            short(row.macs),
            format!("{height}×{width}"),
            score(row.top1),
            score(row.ap),
            row.weights.words().to_owned(),
        ]);
    }
    table.format()
        + "\ntop-1 (ImageNet) and AP (COCO val2017) as published. Also: timm's, torchvision's and\n\
           effdet's names, efficientnet-phi-1.7, efficientnet-w1.2-d1.4-r300; and, included,\n\
           efficientdet-lite0.bccd, which finds blood cells.\n\
           `effigy models --checkpoints` lists what can be downloaded.\n"
}

fn checkpoint_rows() -> Vec<CheckpointRow> {
    let hub = Hub::from_env().ok();
    let row = |checkpoint: &'static effigy::weights::hub::Checkpoint| CheckpointRow {
        name: checkpoint.name,
        model: checkpoint.network().name().to_owned(),
        url: format!("{}{}", checkpoint.host.base(), checkpoint.path),
        weights: match &hub {
            Some(hub) if hub.has(checkpoint) => Availability::Cached,
            _ => Availability::Download,
        },
    };
    checkpoints().iter().map(row).collect()
}

fn checkpoint_table() -> String {
    let mut table = Table::new(&["checkpoint", "network", "weights"]);
    for row in checkpoint_rows() {
        table.row([row.name.to_owned(), row.model, row.weights.words().to_owned()]);
    }
    table.format()
}

fn lines(rows: &[impl Serialize]) -> String {
    let line =
        |row| serde_json::to_string(row).expect("text and finite numbers are always valid JSON") + "\n";
    rows.iter().map(line).collect()
}
