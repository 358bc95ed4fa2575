//! `effigy classify`: what pictures show.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use effigy::{Classifier, Labels, Prediction};
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::inputs::{Input, Inputs};
use crate::options::{ModelOptions, positive};
use crate::pipeline::{self, Pace};
use crate::progress::Progress;
use crate::report::{BAR, STRONG};
use crate::table::bar;

/// Say what pictures show
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  effigy classify photo.jpg
  effigy classify --top-k 1 holidays/
  curl -s https://example.org/cat.jpg | effigy classify --json -
  effigy classify --weights flowers.pth --labels flowers.txt rose.png")]
pub(crate) struct Options {
    /// Pictures, folders of pictures (with those below them), or - for standard input
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Names of the classes, one a line
    #[arg(long, short, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Predictions for each picture
    #[arg(long, short = 'k', value_name = "N", default_value = "5", value_parser = positive)]
    top_k: usize,
    /// Pictures that the network gets at a time
    #[arg(long, short, value_name = "N", default_value = "8", value_parser = positive)]
    batch: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Show progress even where standard error is no terminal
    #[arg(long)]
    progress: bool,
    #[command(flatten)]
    model: ModelOptions,
}

pub(crate) fn run(options: &Options) -> Result<Outcome, Failure> {
    let inputs = Inputs::list(&options.images)?;
    if inputs.pictures.is_empty() {
        return Ok(Outcome::of(inputs.failed));
    }
    let classifier = classifier(options)?;
    let pace = Pace::new(options.batch.min(inputs.pictures.len()), classifier.model().threads());
    let mut progress = Progress::new(inputs.pictures.len(), "pictures", options.progress);
    let layout = Layout::new(options, &inputs.pictures);
    let classes = classifier.network().classes;

    let mut unanswered = 0;
    let unread = pipeline::joined(
        &inputs.pictures,
        pace,
        &mut progress,
        |picture| classifier.prepare(picture),
        |positions, batch, progress| {
            let logits = classifier.logits(batch)?;
            for (&position, logits) in positions.iter().zip(logits.data().chunks_exact(classes)) {
                let input = &inputs.pictures[position];
                match classifier.rank(logits) {
                    Ok(predictions) => {
                        let text = layout.format(input, &predictions, position == 0);
                        progress.aside(|| anstream::stdout().write_all(text.as_bytes()))?;
                    }
                    Err(error) => {
                        unanswered += 1;
                        progress.error(format_args!("{input}: {error}"));
                    }
                }
            }
            Ok(())
        },
    )?;
    Ok(Outcome::of(inputs.failed + unread + unanswered))
}

fn classifier(options: &Options) -> Result<Classifier, Failure> {
    let mut loader = options.model.loader().top_k(options.top_k);
    if let Some(path) = &options.labels {
        loader = loader.labels(Labels::read(path)?);
    }
    let classifier = loader.classifier()?;
    options.model.note_assumptions(classifier.network(), classifier.assumptions());
    Ok(classifier)
}

/// How a picture's predictions are printed.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Json,
    /// One line a picture, its path padded to a width.
    Lines {
        path_width: usize,
    },
    /// The path, then a line a prediction.
    Blocks,
}

impl Layout {
    fn new(options: &Options, pictures: &[Input]) -> Self {
        if options.json {
            Self::Json
        } else if options.top_k == 1 {
            let widths = pictures.iter().map(|input| input.to_string().chars().count());
            Self::Lines { path_width: widths.max().unwrap_or(0) }
        } else {
            Self::Blocks
        }
    }

    fn format(self, input: &Input, predictions: &[Prediction], is_first: bool) -> String {
        match self {
            Self::Json => json(input, predictions) + "\n",
            Self::Lines { path_width } => {
                let [Prediction { label, probability, .. }] = predictions else { return String::new() };
                let path = input.to_string();
                format!("{STRONG}{path:path_width$}{STRONG:#}  {:5.1} %  {label}\n", 100.0 * probability)
            }
            Self::Blocks => {
                let line = |Prediction { label, probability, .. }: &Prediction| {
                    let bar = bar(f64::from(*probability), 20);
                    format!("  {:5.1} %  {BAR}{bar}{BAR:#}  {label}\n", 100.0 * probability)
                };
                let lines: String = predictions.iter().map(line).collect();
                let gap = if is_first { "" } else { "\n" };
                format!("{gap}{STRONG}{input}{STRONG:#}\n{lines}")
            }
        }
    }
}

/// The contract with programs: `{"path", "predictions": [{"class_index", "label", "probability"}]}`.
fn json(input: &Input, predictions: &[Prediction]) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        path: String,
        predictions: Vec<Answer<'a>>,
    }
    #[derive(Serialize)]
    struct Answer<'a> {
        class_index: usize,
        label: &'a str,
        probability: f32,
    }
    let answers = predictions.iter().map(|Prediction { class_index, label, probability }| Answer {
        class_index: *class_index,
        label,
        probability: *probability,
    });
    let line = Line { path: input.to_string(), predictions: answers.collect() };
    serde_json::to_string(&line).expect("text and finite numbers are always valid JSON")
}
