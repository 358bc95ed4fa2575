//! `effigy doctor`: what is wrong with a data set.

mod text;

use std::io::Write;

use clap::Args;
use effigy::EfficientDet;
use effigy_data::doctor::{AnchorSummary, Diagnosis, Examination, Finding, Severity, SplitSummary};
use effigy_data::{Dataset, OnProblem, doctor};
use serde_json::{Value, json};

use crate::datasets::{DataOptions, DetectorOptions};
use crate::failure::{Failure, Outcome};
use crate::options::positive;
use crate::progress::Progress;
use crate::report;

/// Find what is wrong with a data set before training on it
#[derive(Args, Debug)]
#[command(
    after_help = "Every picture is read. What is found is told with its file and its line or number, and what to do;
the exit code is 1 where there are errors or warnings, 0 where there are only notes.

Examples:
  effigy doctor VOC2007/
  effigy doctor train.json --images train/ --val val.json --val-images val/ --model efficientdet-d0
  effigy doctor flowers/
  effigy doctor flowers.csv --json"
)]
pub(crate) struct Options {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    detector: DetectorOptions,
    /// Name every place, however many there are
    #[arg(long)]
    all: bool,
    /// Threads that read pictures [default: all]
    #[arg(long, short, value_name = "N", env = "EFFIGY_THREADS", value_parser = positive)]
    threads: Option<usize>,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// Show progress even where standard error is no terminal
    #[arg(long)]
    progress: bool,
}

pub(crate) fn run(options: &Options) -> Result<Outcome, Failure> {
    let detector = options.detector.network()?;
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = options.threads.unwrap_or_else(cores);
    let progress = |pictures: usize| Progress::new(pictures, "pictures", options.progress);
    let diagnosis = if options.data.holds_boxes() {
        let (splits, folders) = options.data.boxes(OnProblem::Skip)?;
        let mut progress = progress(splits.iter().map(|split| split.data.pictures.len()).sum());
        let examination = Examination { detector: Some(detector.clone()), threads };
        doctor::detection(&splits, &folders, &examination, || progress.advance(1))?
    } else {
        let splits = Dataset::open_splits(&options.data.data, OnProblem::Skip, None)?;
        let mut progress = progress(splits.iter().map(|split| split.data.samples.len()).sum());
        let examination = Examination { detector: None, threads };
        doctor::classification(&splits, &examination, || progress.advance(1))?
    };
    let text = if options.json {
        format!("{}\n", as_json(&diagnosis, &detector))
    } else {
        text::describe(&diagnosis, &detector, options.all)
    };
    anstream::stdout().write_all(text.as_bytes())?;
    if !diagnosis.has_problems() {
        return Ok(Outcome::Done);
    }
    report::error(format_args!("{}: {}", options.data.data.display(), counted(&diagnosis)));
    Ok(Outcome::SomeFailed)
}

/// `2 errors, 1 warning`
fn counted(diagnosis: &Diagnosis) -> String {
    let words = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")];
    let counts = words.map(|(severity, word)| {
        let count = diagnosis.findings.iter().filter(|finding| finding.severity() == severity).count();
        (count > 0).then(|| format!("{count} {word}{}", if count == 1 { "" } else { "s" }))
    });
    counts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn as_json(diagnosis: &Diagnosis, detector: &EfficientDet) -> Value {
    let split = |split: &SplitSummary| {
        json!({"name": split.name, "pictures": split.pictures, "objects": split.objects,
               "per_class": split.per_class})
    };
    let finding = |finding: &Finding| {
        json!({"check": finding.check.name(), "severity": severity(finding.severity()), "split": finding.split,
               "path": finding.path.display().to_string(), "place": finding.place, "message": finding.message,
               "advice": finding.check.advice()})
    };
    let anchors = |summary: &AnchorSummary| {
        json!({"split": summary.split, "model": detector.name, "input": detector.letterbox.size,
               "boxes": summary.boxes, "matched": summary.matched, "forced": summary.forced,
               "without_anchor": summary.lost, "mean_best_iou": summary.mean_best,
               "boxes_by_anchors": summary.by_anchors})
    };
    json!({
        "splits": diagnosis.splits.iter().map(split).collect::<Vec<_>>(),
        "classes": diagnosis.classes,
        "problems": diagnosis.findings.iter().map(finding).collect::<Vec<_>>(),
        "anchors": diagnosis.anchors.iter().map(anchors).collect::<Vec<_>>(),
    })
}
