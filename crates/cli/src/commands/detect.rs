//! `effigy detect`: what is where in pictures and videos.

mod clip;
mod found;
mod out;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use effigy::{Detector, Labels, Picture, PostProcessing, Prepared, Suppression};

use crate::anchors::AnchorOptions;
use crate::failure::{Failure, Outcome};
use crate::inputs::Inputs;
use crate::interrupt;
use crate::options::{ModelOptions, positive};
use crate::pipeline::{self, Pace};
use crate::progress::Progress;
use crate::video::is_video;
use found::Found;
use out::Folder;

/// Spread of the Gaussian by which `--soft-nms` lowers scores: Bodla et al. 2017 (arXiv 1704.04503).
const SIGMA: f32 = 0.5;

/// Say what is where in pictures and videos, and draw it
#[derive(Args, Debug)]
#[command(
    after_help = "A video is told by its extension, or by its content where it has none. A folder stands for the
pictures in it and below it.

Examples:
  effigy detect --out drawn/ blood.jpg
  effigy detect --model tf_efficientdet_d0 street.jpg
  effigy detect --weights cells.pth --labels cells.txt --out drawn/ slides/
  effigy detect --model tf_efficientdet_lite0 --classes person,car --out drawn/ crossing.mp4"
)]
pub(crate) struct Options {
    /// Pictures, folders of pictures, videos, or - for a picture on standard input
    #[arg(required = true, value_name = "IMAGE|DIR|VIDEO")]
    inputs: Vec<PathBuf>,
    /// Names of the classes, one a line
    #[arg(long, short, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Least score of an object, 0..1
    #[arg(long, short, value_name = "SCORE", default_value = "0.3", value_parser = share)]
    score: f32,
    /// Overlap (intersection over union) from which on two boxes of a class are taken for one object
    #[arg(long, value_name = "IOU", default_value = "0.5", value_parser = share)]
    iou: f32,
    /// Lower the scores of overlapping boxes instead of dropping them
    #[arg(long)]
    soft_nms: bool,
    /// Most objects of a picture
    #[arg(long, value_name = "N", default_value = "100", value_parser = positive)]
    max_detections: usize,
    /// Only these classes: labels or class indices
    #[arg(long, value_name = "CLASS,…", value_delimiter = ',')]
    classes: Vec<String>,
    /// Write the pictures and videos with the objects drawn into this folder
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Pictures that the network gets at a time
    #[arg(long, short, value_name = "N", default_value = "1", value_parser = positive)]
    batch: usize,
    /// One JSON object a picture or frame
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
    let (videos, pictures): (Vec<PathBuf>, Vec<PathBuf>) =
        options.inputs.iter().cloned().partition(|path| is_video(path));
    let inputs = Inputs::list(&pictures)?;
    let folder = options.out.as_deref().map(|out| Folder::new(out, &inputs, &videos)).transpose()?;
    if inputs.pictures.is_empty() && videos.is_empty() {
        return Ok(Outcome::of(inputs.failed));
    }
    let finder = Finder::new(options)?;
    interrupt::watch();
    let mut failed = inputs.failed + detect_pictures(options, &finder, &inputs, folder.as_ref())?;
    for video in &videos {
        if let Err(failure) = clip::run(options, &finder, video, folder.as_ref()) {
            match failure {
                Failure::Video(error) => crate::report::error(error),
                fatal => return Err(fatal),
            }
            failed += 1;
        }
    }
    Ok(Outcome::of(failed))
}

/// A detector as it was asked for.
struct Finder {
    detector: Detector,
}

/// A picture on its way through the network.
struct Work {
    prepared: Prepared,
    width: usize,
    height: usize,
    /// Where it will be drawn into.
    picture: Option<Picture>,
}

impl Finder {
    fn new(options: &Options) -> Result<Self, Failure> {
        let suppression = match options.soft_nms {
            true => Suppression::Soft { sigma: SIGMA, iou: 1.0 },
            false => Suppression::Hard { iou: options.iou },
        };
        let loader = options.anchors.apply(options.model.detector_loader()?);
        let mut loader = loader.post_processing(PostProcessing {
            score: options.score,
            suppression,
            max_detections: options.max_detections,
            ..Detector::POST_PROCESSING
        });
        if let Some(path) = &options.labels {
            loader = loader.labels(Labels::read(path)?);
        }
        let detector = loader.detector()?;
        options.model.note_detector(&detector);
        if options.classes.is_empty() {
            return Ok(Self { detector });
        }
        let classes = options.classes.iter().map(|class| class_index(&detector, class));
        let classes = Some(classes.collect::<Result<_, _>>()?);
        let post_processing = PostProcessing { classes, ..detector.post_processing().clone() };
        Ok(Self { detector: detector.with_post_processing(post_processing) })
    }

    fn prepare(&self, picture: Picture, keep: bool) -> Work {
        let (width, height) = (picture.width(), picture.height());
        Work { prepared: self.detector.prepare(&picture), width, height, picture: keep.then_some(picture) }
    }
}

/// A class by its label or its index.
fn class_index(detector: &Detector, class: &str) -> Result<usize, Failure> {
    let class = class.trim();
    let (labels, classes) = (detector.labels(), detector.network().classes);
    let index = labels.find(class).or_else(|| class.parse().ok());
    index.filter(|&index| index < classes).ok_or_else(|| {
        let known: Vec<&str> =
            labels.as_slice().iter().map(String::as_str).filter(|label| !label.is_empty()).collect();
        Failure::Usage(format!(
            "--classes: no class {class:?}; 0 to {}, or {}",
            classes - 1,
            known.join(", ")
        ))
    })
}

/// Returns how many pictures failed.
fn detect_pictures(
    options: &Options,
    finder: &Finder,
    inputs: &Inputs,
    folder: Option<&Folder>,
) -> Result<usize, Failure> {
    if inputs.pictures.is_empty() {
        return Ok(0);
    }
    let pace = Pace::new(options.batch.min(inputs.pictures.len()), finder.detector.model().threads());
    let mut progress = Progress::new(inputs.pictures.len(), "pictures", options.progress);
    let mut failed = 0;
    let prepare = |picture| Ok(finder.prepare(picture, folder.is_some()));
    let unread = pipeline::batches(&inputs.pictures, pace, &mut progress, prepare, |batch, progress| {
        interrupt::check()?;
        let (places, prepared): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|(position, Work { prepared, width, height, picture })| {
                ((position, width, height, picture), prepared)
            })
            .unzip();
        for ((position, width, height, picture), answer) in
            places.into_iter().zip(finder.detector.detect_prepared(prepared))
        {
            let input = &inputs.pictures[position];
            let detections = match answer {
                Ok(detections) => detections,
                Err(error) => {
                    failed += 1;
                    progress.error(format_args!("{input}: {error}"));
                    continue;
                }
            };
            let found =
                Found { path: input.to_string(), frame: None, width, height, detections: &detections };
            let gap = if position == 0 { "" } else { "\n" };
            let text = if options.json { found.json() } else { format!("{gap}{}", found.block()) };
            progress.aside(|| anstream::stdout().write_all(text.as_bytes()))?;
            if let (Some(folder), Some(picture)) = (folder, picture)
                && let Err(failure) = folder.write(&inputs.names[position], &found.draw(picture))
            {
                failed += 1;
                progress.error(failure);
            }
        }
        Ok(())
    })?;
    Ok(unread + failed)
}

fn share(text: &str) -> Result<f32, String> {
    let value = text.parse().ok().filter(|value: &f32| (0.0..=1.0).contains(value));
    value.ok_or_else(|| "a number from 0 to 1 is wanted".to_owned())
}
