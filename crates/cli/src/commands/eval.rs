//! `effigy eval`: how often a network is right.

mod detection;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use effigy::{Classifier, Labels};
use effigy_data::Dataset;
use effigy_eval::{Accuracy, top_k};
use serde_json::json;

use crate::anchors::AnchorOptions;
use crate::datasets::holds_boxes;
use crate::failure::{Failure, Outcome};
use crate::inputs::Input;
use crate::npy::{beside, keep};
use crate::options::{ModelOptions, positive};
use crate::pipeline::{self, Pace};
use crate::progress::Progress;
use crate::report;

/// Measure accuracy on labelled pictures: top-1 and top-5, or COCO's AP of boxes
#[derive(Args, Debug)]
#[command(
    after_help = "DATA of a classifier is a folder with a file labels.tsv (columns `file` and `class_index`), or a
folder of class folders. DATA of a detector is COCO's JSON, with --images, or a Pascal VOC folder.

Class folders stand for the model's classes by their names, if all are labels
of the model; otherwise by their sorted order, if there are as many as classes.

Examples:
  effigy eval imagenet-val/
  effigy eval flowers/ --weights flowers.pth --labels flowers.txt --predictions answers.tsv
  effigy eval instances_val2017.json --images val2017/ --model tf_efficientdet_d0
  effigy eval VOC2007/ --split test --weights voc.pth --per-class
  effigy eval instances.json --images val/ --detections results.json"
)]
pub(crate) struct Options {
    /// A folder of labelled pictures, or COCO's JSON
    data: PathBuf,
    /// Names of the classes, one a line
    #[arg(long, short, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Also write what was answered: file, class_index, predicted, top5 (comma-separated)
    #[arg(long, value_name = "FILE.tsv")]
    predictions: Option<PathBuf>,
    /// The pictures of COCO's JSON
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Pascal VOC's split, such as test [default: all pictures]
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// AP of every class, too
    #[arg(long)]
    per_class: bool,
    /// Also write what a detector found, in COCO's result format
    #[arg(long, value_name = "FILE.json")]
    results: Option<PathBuf>,
    /// Judge what this file holds, in COCO's result format, instead of running a network
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["results", "weights", "model"])]
    detections: Option<PathBuf>,
    /// Pictures that the network gets at a time
    #[arg(long, short, value_name = "N", default_value = "8", value_parser = positive)]
    batch: usize,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// Show progress even where standard error is no terminal
    #[arg(long)]
    progress: bool,
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    anchors: AnchorOptions,
}

pub(crate) fn run(options: &Options) -> Result<Outcome, Failure> {
    if holds_boxes(&options.data) { detection::run(options) } else { classify(options) }
}

fn classify(options: &Options) -> Result<Outcome, Failure> {
    let data = Dataset::open(&options.data)?;
    let mut loader = options.model.loader();
    if let Some(path) = &options.labels {
        loader = loader.labels(Labels::read(path)?);
    }
    let classifier = loader.classifier()?;
    options.model.note_assumptions(classifier.network(), classifier.assumptions());
    let classes = classifier.network().classes;
    let truth = truth(&data, &classifier)?;
    let pictures: Vec<Input> = data.samples.iter().map(|sample| Input::File(sample.path.clone())).collect();

    let pace = Pace::new(options.batch.min(pictures.len()), classifier.model().threads());
    let mut progress = Progress::new(pictures.len(), "pictures", options.progress);
    let mut accuracy = Accuracy::default();
    let mut answers = String::from("file\tclass_index\tpredicted\ttop5\n");
    let mut unanswered = 0;
    let prepare = |picture: &effigy::Picture| classifier.prepare(picture);
    let unread = pipeline::joined(&pictures, pace, &mut progress, prepare, |positions, batch, progress| {
        let logits = classifier.logits(batch)?;
        for (&position, logits) in positions.iter().zip(logits.data().chunks_exact(classes)) {
            if let Err(error) = classifier.rank(logits) {
                unanswered += 1;
                progress.error(format_args!("{}: {error}", pictures[position]));
                continue;
            }
            accuracy.add(logits, truth[position]);
            answers += &answer(&data, position, truth[position], logits);
        }
        Ok(())
    })?;
    drop(progress);

    if let Some(path) = &options.predictions {
        let written = beside(path).and_then(|mut file| {
            file.write_all(answers.as_bytes())?;
            keep(file, path)
        });
        written.map_err(|source| Failure::Write { path: path.clone(), source })?;
    }
    let text = if options.json {
        let value = json!({"images": accuracy.images(), "top1": accuracy.top1(), "top5": accuracy.top5()});
        format!("{value}\n")
    } else {
        let (top1, top5) = (accuracy.top1(), accuracy.top5());
        format!("{} pictures  top-1 {top1:.1} %  top-5 {top5:.1} %\n", accuracy.images())
    };
    anstream::stdout().write_all(text.as_bytes())?;
    let failed = unread + unanswered;
    if failed > 0 {
        report::error(format_args!("{failed} pictures are not counted"));
    }
    Ok(Outcome::of(failed))
}

/// Each picture's class in the model's numbering.
fn truth(data: &Dataset, classifier: &Classifier) -> Result<Vec<usize>, Failure> {
    let classes = classifier.network().classes;
    let mut numbers: Vec<usize> = data.samples.iter().map(|sample| sample.class_index).collect();
    if let Some(names) = &data.class_names {
        let labels = classifier.labels().as_slice();
        let by_name: Option<Vec<usize>> =
            names.iter().map(|name| labels.iter().position(|label| label == name)).collect();
        match by_name {
            Some(by_name) => numbers.iter_mut().for_each(|number| *number = by_name[*number]),
            None if names.len() == classes => (),
            None => {
                return Err(Failure::Usage(format!(
                    "{}: {} class folders, but the model has {classes} classes, and not all folders are named \
                     as its labels are; give --weights of a model of these classes, or a labels.tsv",
                    data.root.display(),
                    names.len()
                )));
            }
        }
    }
    match numbers.iter().zip(&data.samples).find(|(number, _)| **number >= classes) {
        Some((number, sample)) => Err(Failure::Usage(format!(
            "{}: class_index {number}, but the model has {classes} classes, counted from 0",
            sample.path.display()
        ))),
        None => Ok(numbers),
    }
}

/// A line of `--predictions`.
fn answer(data: &Dataset, position: usize, class: usize, logits: &[f32]) -> String {
    let path = &data.samples[position].path;
    let file = path.strip_prefix(&data.root).unwrap_or(path).display();
    let best = top_k(logits, 5);
    let five: Vec<String> = best.iter().map(usize::to_string).collect();
    format!("{file}\t{class}\t{}\t{}\n", best[0], five.join(","))
}
