//! Learning to tell where in a picture things are.

use std::path::PathBuf;

use effigy_arch::{AnchorBox, Interpolation, Letterbox};
use effigy_data::loader::{DetectionBatch, DetectionSource, Loader, LoaderOptions};
use effigy_data::{AnnotatedPicture, OnProblem};
use effigy_engine::Model;
use effigy_eval::{CocoAp, ScoredBox as Found, TrueBox};
use effigy_tensor::Tensor;
use effigy_vision::{
    Level, Limits, Mark, PixelBox, Placement, PostProcessing, ScoredBox, Workers, decode_file,
    detections_shared, draw, letterbox, resize,
};

use super::{Judgement, Losses, Sample, Task, spread};
use crate::TrainError;
use crate::loss::{DetectionLoss, TargetBox};

/// The longer side of a picture in the report, in pixels.
const SIDE: usize = 360;
/// Boxes below this score change no figure that anybody reads.
const SCORE: f32 = 0.001;
/// Boxes above this score are shown.
const SHOWN: f32 = 0.3;

/// A detector's pictures and loss.
pub(crate) struct Detection {
    pub(crate) train: DetectionSource,
    pub(crate) val: Vec<AnnotatedPicture>,
    pub(crate) letterbox: Letterbox,
    pub(crate) anchors: Vec<AnchorBox>,
    pub(crate) labels: Vec<String>,
    pub(crate) loss: DetectionLoss,
    pub(crate) on_problem: OnProblem,
    pub(crate) loading: LoaderOptions,
    pub(crate) judging: LoaderOptions,
}

impl Detection {
    /// The boxes of one picture of a batch of `pictures`.
    fn find(
        &self,
        model: &Model,
        outputs: &[Tensor],
        [picture, pictures]: [usize; 2],
        placement: &Placement,
        score: f32,
    ) -> Result<Vec<ScoredBox>, TrainError> {
        let levels = Level::of_picture(outputs.iter().map(Tensor::data), pictures, picture);
        let options = PostProcessing { score, drop_empty: true, ..PostProcessing::EFFDET };
        let workers = Workers { threads: model.threads(), share: &|tasks, task| model.share(tasks, task) };
        Ok(detections_shared(&levels, &self.anchors, self.labels.len(), placement, &options, workers)?)
    }

    fn targets(batch: &DetectionBatch) -> Vec<Vec<TargetBox>> {
        let targets = batch.objects.iter().map(|objects| {
            let target = objects
                .iter()
                .map(|object| TargetBox { bounds: object.bounds, class_index: object.class_index });
            target.collect()
        });
        targets.collect()
    }
}

impl Task for Detection {
    type Batch = DetectionBatch;

    fn loader(&self) -> Loader<DetectionBatch> {
        Loader::new(self.train.clone(), self.loading)
    }

    fn input<'a>(&self, batch: &'a DetectionBatch) -> &'a Tensor {
        &batch.input
    }

    fn files(&self, batch: &DetectionBatch) -> Vec<PathBuf> {
        batch.files.iter().flatten().cloned().collect()
    }

    fn loss(&self, outputs: &[Tensor], batch: &DetectionBatch) -> (Losses, Vec<Tensor>) {
        let (value, gradients) = self.loss.loss(outputs, &Self::targets(batch));
        let losses =
            vec![("loss", value.total), ("class_loss", value.class_loss), ("box_loss", value.box_loss)];
        (losses, gradients)
    }

    fn judge(&self, model: &Model, progress: &mut dyn FnMut(usize)) -> Result<Judgement, TrainError> {
        let source = DetectionSource::new(&self.val, self.letterbox.clone());
        let mut loader = Loader::new(source.on_problem(self.on_problem), self.judging);
        let mut metric = CocoAp::new(self.labels.len());
        let mut found: Vec<Vec<Found>> = vec![Vec::new(); self.val.len()];
        let (mut loss, mut done) = (0.0, 0);
        while let Some(batch) = loader.next()? {
            let outputs = model.run(&batch.input)?;
            let count = batch.samples.len();
            loss += count as f64 * self.loss.loss(&outputs, &Self::targets(&batch)).0.total;
            for (index, (&sample, placement)) in batch.samples.iter().zip(&batch.placements).enumerate() {
                let boxes = self.find(model, &outputs, [index, count], placement, SCORE)?;
                found[sample] = boxes
                    .into_iter()
                    .map(|found| Found {
                        bounds: found.bounds.into(),
                        class_index: found.class_index,
                        score: f64::from(found.score),
                    })
                    .collect();
            }
            done += count;
            progress(done);
        }
        for (index, (picture, found)) in self.val.iter().zip(&found).enumerate() {
            let truths: Vec<TrueBox> = picture
                .objects
                .iter()
                .map(|object| TrueBox {
                    bounds: object.bounds,
                    class_index: object.class_index,
                    area: object.area,
                    crowd: object.is_ignored(),
                })
                .collect();
            metric.add(index as u64, &truths, found);
        }
        let figures = metric.report().overall;
        let scores = vec![
            ("ap", figures.ap.unwrap_or(0.0)),
            ("ap50", figures.ap50.unwrap_or(0.0)),
            ("ap75", figures.ap75.unwrap_or(0.0)),
            ("ar100", figures.ar100.unwrap_or(0.0)),
            ("val_loss", loss / done.max(1) as f64),
        ];
        Ok(Judgement { scores, problems: loader.problems().to_vec() })
    }

    fn samples(&self, model: &Model, count: usize) -> Result<Vec<Sample>, TrainError> {
        let mut samples = Vec::new();
        for index in spread(self.val.len(), count) {
            let annotated = &self.val[index];
            // What cannot be read has been named while it was judged.
            let Ok(picture) = decode_file(&annotated.path, &Limits::default()) else { continue };
            let [height, width] = self.letterbox.size;
            let (values, placement) = letterbox(&picture, &self.letterbox);
            let input = Tensor::new(&[1, height, width, 3], values)
                .expect("a picture is prepared to the network's size");
            let boxes = self.find(model, &model.run(&input)?, [0, 1], &placement, SHOWN)?;

            let scale = (SIDE as f32 / picture.width().max(picture.height()) as f32).min(1.0);
            let side = |side: usize| ((side as f32 * scale).round() as usize).max(1);
            let (width, height) = (side(picture.width()), side(picture.height()));
            let small = resize(&picture, width, height, Interpolation::Bilinear);
            let marks = boxes.iter().map(|found| {
                let PixelBox { x1, y1, x2, y2 } = found.bounds;
                let bounds = PixelBox { x1: x1 * scale, y1: y1 * scale, x2: x2 * scale, y2: y2 * scale };
                let label = &self.labels[found.class_index];
                let caption = format!("{label} {:.0} %", 100.0 * found.score);
                Mark { bounds, class_index: found.class_index, caption }
            });
            let name = annotated.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            samples.push(Sample {
                picture: draw(small, &marks.collect::<Vec<_>>()),
                title: name,
                caption: format!(
                    "{} found above {:.0} %, {} annotated",
                    boxes.len(),
                    100.0 * SHOWN,
                    annotated.objects.len()
                ),
                right: None,
            });
        }
        Ok(samples)
    }
}
