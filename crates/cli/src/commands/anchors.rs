//! `effigy anchors`: anchors that fit the boxes of a data set.

mod picture;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use effigy::arch::Anchors;
use effigy_data::OnProblem;
use effigy_data::anchors::{Figures, FitOptions, all_boxes, figures, fit};
use serde_json::{Value, json};

use crate::datasets::{DataOptions, DetectorOptions};
use crate::failure::{Failure, Outcome};
use crate::npy::{beside, keep};
use crate::report::{self, STRONG};
use crate::table::{Table, grouped};

/// Fit a detector's anchors to the boxes of a data set
#[derive(Args, Debug)]
#[command(
    after_help = "Tells the share of boxes that some anchor overlaps by half or more, and the mean of every box's best
overlap, before and after, and prints the lines for a training file. The fit is made on the first
split (train) and judged on all. A detector has as many anchors as before, so that its weights fit.

Examples:
  effigy anchors VOC2007/
  effigy anchors train.json --images train/ --model efficientdet-d0 --size 640 --picture anchors.svg"
)]
pub(crate) struct Options {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    detector: DetectorOptions,
    /// Changes that are tried
    #[arg(long, value_name = "N", default_value_t = FitOptions::default().tries)]
    tries: usize,
    /// What the changes are drawn from
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Also draw the boxes' sizes and the anchors
    #[arg(long, value_name = "FILE.svg")]
    picture: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// A split and how anchors fit its boxes.
struct Judged {
    split: String,
    before: Figures,
    after: Figures,
}

pub(crate) fn run(options: &Options) -> Result<Outcome, Failure> {
    if !options.data.holds_boxes() {
        return Err(Failure::Usage(format!(
            "{}: no boxes; anchors are fitted to COCO's JSON or a Pascal VOC folder",
            options.data.data.display()
        )));
    }
    let detector = options.detector.network()?;
    let (splits, _) = options.data.boxes(OnProblem::Skip)?;
    let mut problems: Vec<String> =
        splits.iter().flat_map(|split| &split.data.problems).map(ToString::to_string).collect();
    problems.sort();
    problems.dedup();
    problems.iter().for_each(report::error);

    let boxes = all_boxes(&splits[0].data, &detector);
    let search = FitOptions { tries: options.tries, seed: options.seed, ..FitOptions::default() };
    let fitted = fit(&detector, &boxes, search);
    let judge = |split: &effigy_data::Split<effigy_data::DetectionDataset>| {
        let boxes = all_boxes(&split.data, &detector);
        let of = |anchors: &Anchors| figures(anchors, detector.levels(), detector.letterbox.size, &boxes);
        Judged { split: split.name.clone(), before: of(&detector.anchors), after: of(&fitted.anchors) }
    };
    let judged: Vec<Judged> = splits.iter().map(judge).collect();

    if let Some(path) = &options.picture {
        let drawn = picture::draw(&detector, &fitted.anchors, &boxes);
        let written = beside(path).and_then(|mut file| {
            file.write_all(drawn.as_bytes())?;
            keep(file, path)
        });
        written.map_err(|source| Failure::Write { path: path.clone(), source })?;
    }
    let text = if options.json {
        format!("{}\n", as_json(&detector.name, detector.letterbox.size, &fitted.anchors, &judged))
    } else {
        table(&detector.name, detector.letterbox.size, &fitted.anchors, &judged)
    };
    anstream::stdout().write_all(text.as_bytes())?;
    Ok(Outcome::of(problems.len()))
}

fn table(model: &str, [height, width]: [usize; 2], anchors: &Anchors, judged: &[Judged]) -> String {
    let mut text = format!("{STRONG}{model} at {height}×{width}{STRONG:#}\n");
    let heads = ["split", ">boxes", ">IoU ≥ .5 before", ">after", ">mean best IoU before", ">after"];
    let mut table = Table::new(&heads);
    for Judged { split, before, after } in judged {
        let percent = |figures: &Figures| format!("{:.1} %", 100.0 * figures.rate());
        table.row([
            split.clone(),
            grouped(before.boxes as u64),
            percent(before),
            percent(after),
            format!("{:.3}", before.mean_best),
            format!("{:.3}", after.mean_best),
        ]);
    }
    text += &table.format();
    text += "\nfor the training file:\n\n";
    text + &toml(anchors)
}

/// The lines of a training file.
fn toml(anchors: &Anchors) -> String {
    let scales: Vec<String> = anchors.scales.iter().map(|scale| decimal(*scale)).collect();
    let ratio = |ratio: &effigy::arch::AspectRatio| format!("\"{}x{}\"", ratio.width, ratio.height);
    let ratios: Vec<String> = anchors.ratios.iter().map(ratio).collect();
    format!(
        "anchor_base = {}\nanchor_scales = [{}]\nanchor_ratios = [{}]  # factors on width and height\n",
        decimal(anchors.base),
        scales.join(", "),
        ratios.join(", ")
    )
}

/// A number that reads as itself and, in TOML, is no whole number.
fn decimal(number: f64) -> String {
    format!("{number:?}")
}

fn as_json(model: &str, input: [usize; 2], anchors: &Anchors, judged: &[Judged]) -> Value {
    let figures = |figures: &Figures| json!({"matched": figures.matched, "match_rate": figures.rate(), "mean_best_iou": figures.mean_best});
    let split = |judged: &Judged| {
        json!({"split": judged.split, "boxes": judged.before.boxes, "before": figures(&judged.before),
               "after": figures(&judged.after)})
    };
    let ratios: Vec<[f64; 2]> = anchors.ratios.iter().map(|ratio| [ratio.width, ratio.height]).collect();
    json!({
        "model": model,
        "input": input,
        "splits": judged.iter().map(split).collect::<Vec<_>>(),
        "anchors": {"base": anchors.base, "scales": anchors.scales, "ratios": ratios},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use effigy::arch::AspectRatio;

    #[test]
    fn lines_for_a_training_file() {
        let anchors =
            Anchors { base: 3.0, scales: vec![1.0, 1.26], ratios: vec![AspectRatio::new(1.4, 0.7)] };
        let lines: Vec<String> = toml(&anchors).lines().map(str::to_owned).collect();
        assert_eq!(lines[..2], ["anchor_base = 3.0", "anchor_scales = [1.0, 1.26]"]);
        assert!(lines[2].starts_with("anchor_ratios = [\"1.4x0.7\"]  #"));
    }
}
