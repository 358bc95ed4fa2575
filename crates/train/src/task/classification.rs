//! Learning to tell what a picture shows.

use std::path::PathBuf;

use effigy_arch::{Interpolation, Preprocessing};
use effigy_data::loader::{ClassificationBatch, ClassificationSource, Loader, LoaderOptions};
use effigy_data::{OnProblem, Sample as Labelled};
use effigy_engine::Model;
use effigy_eval::{Accuracy, softmax, top_k};
use effigy_tensor::Tensor;
use effigy_vision::{Limits, decode_file, preprocess, resize};

use super::{Judgement, Losses, Sample, Task, spread};
use crate::TrainError;
use crate::loss::CrossEntropy;

/// The longer side of a picture in the report, in pixels.
const SIDE: usize = 160;

/// A classifier's pictures and loss.
pub(crate) struct Classification {
    pub(crate) train: ClassificationSource,
    pub(crate) val: Vec<Labelled>,
    pub(crate) preprocessing: Preprocessing,
    pub(crate) labels: Vec<String>,
    pub(crate) loss: CrossEntropy,
    pub(crate) on_problem: OnProblem,
    pub(crate) loading: LoaderOptions,
    pub(crate) judging: LoaderOptions,
}

impl Task for Classification {
    type Batch = ClassificationBatch;

    fn loader(&self) -> Loader<ClassificationBatch> {
        Loader::new(self.train.clone(), self.loading)
    }

    fn input<'a>(&self, batch: &'a ClassificationBatch) -> &'a Tensor {
        &batch.input
    }

    fn files(&self, batch: &ClassificationBatch) -> Vec<PathBuf> {
        batch.files.clone()
    }

    fn loss(&self, outputs: &[Tensor], batch: &ClassificationBatch) -> (Losses, Vec<Tensor>) {
        let (loss, gradient) = self.loss.loss(&outputs[0], &batch.targets);
        (vec![("loss", loss)], vec![gradient])
    }

    fn judge(&self, model: &Model, progress: &mut dyn FnMut(usize)) -> Result<Judgement, TrainError> {
        let source = ClassificationSource::new(&self.val, self.labels.len(), self.preprocessing.clone());
        let mut loader = Loader::new(source.on_problem(self.on_problem), self.judging);
        let (mut accuracy, mut loss) = (Accuracy::default(), 0.0);
        while let Some(batch) = loader.next()? {
            let logits = model.run(&batch.input)?.swap_remove(0);
            for (logits, &class) in logits.data().chunks_exact(self.labels.len()).zip(&batch.classes) {
                accuracy.add(logits, class);
            }
            loss += batch.classes.len() as f64 * CrossEntropy::default().loss(&logits, &batch.targets).0;
            progress(accuracy.images() as usize);
        }
        let scores = vec![
            ("top1", accuracy.top1()),
            ("top5", accuracy.top5()),
            ("val_loss", loss / accuracy.images().max(1) as f64),
        ];
        Ok(Judgement { scores, problems: loader.problems().to_vec() })
    }

    fn samples(&self, model: &Model, count: usize) -> Result<Vec<Sample>, TrainError> {
        let mut samples = Vec::new();
        for index in spread(self.val.len(), count) {
            let Labelled { path, class_index } = &self.val[index];
            // What cannot be read has been named while it was judged.
            let Ok(picture) = decode_file(path, &Limits::default()) else { continue };
            let [height, width] = self.preprocessing.size;
            let input = Tensor::new(&[1, height, width, 3], preprocess(&picture, &self.preprocessing))
                .expect("a picture is prepared to the network's size");
            let logits = model.run(&input)?.swap_remove(0);
            let probabilities = softmax(logits.data());
            let best = top_k(logits.data(), 3);
            let line =
                |&class: &usize| format!("{} {:.1} %", self.labels[class], 100.0 * probabilities[class]);
            let scale = SIDE as f64 / picture.width().max(picture.height()) as f64;
            let side = |side: usize| ((side as f64 * scale).round() as usize).max(1);
            let (width, height) = (side(picture.width()), side(picture.height()));
            samples.push(Sample {
                picture: resize(&picture, width, height, Interpolation::Bilinear),
                title: self.labels[*class_index].clone(),
                caption: best.iter().map(line).collect::<Vec<_>>().join("\n"),
                right: Some(best.first() == Some(class_index)),
            });
        }
        Ok(samples)
    }
}
