//! Batches of a classification data set.

use std::sync::Arc;

use effigy_arch::{Normalisation, Preprocessing};
use effigy_tensor::Tensor;
use effigy_vision::{normalise_into, preprocess_into};

use super::sources::{Cache, usable};
use super::{ClassificationBatch, Made, Request, Source};
use crate::augment::ClassificationRecipe;
use crate::random::{Purpose, Random};
use crate::{DataError, OnProblem, Sample};

/// The pictures of a classification data set, prepared for a network.
#[derive(Clone, Debug)]
pub struct ClassificationSource {
    samples: Arc<[Sample]>,
    classes: usize,
    preprocessing: Preprocessing,
    recipe: Option<ClassificationRecipe>,
    policy: OnProblem,
    cache: Arc<Cache>,
}

impl ClassificationSource {
    /// Pictures as the network sees them when it is evaluated.
    ///
    /// # Panics
    /// Where a sample's class is not below `classes`.
    #[must_use]
    pub fn new(samples: &[Sample], classes: usize, preprocessing: Preprocessing) -> Self {
        let largest = samples.iter().map(|sample| sample.class_index).max();
        assert!(largest.is_none_or(|largest| largest < classes), "a class beyond the {classes}");
        let (cache, policy) = (Arc::new(Cache::new(0, 0)), OnProblem::Refuse);
        Self { samples: samples.into(), classes, preprocessing, recipe: None, policy, cache }
    }

    /// The same, with decoded pictures kept in memory, up to so many bytes: three a pixel.
    #[must_use]
    pub fn cached(self, bytes: usize) -> Self {
        Self { cache: Arc::new(Cache::new(self.samples.len(), bytes)), ..self }
    }

    /// The same, varied for training. Of the preprocessing the size and the normalisation count.
    #[must_use]
    pub fn varied(self, recipe: ClassificationRecipe) -> Self {
        Self { recipe: Some(recipe), ..self }
    }

    /// The same, with this done about pictures that cannot be read; refused, if nothing is said.
    #[must_use]
    pub fn on_problem(self, policy: OnProblem) -> Self {
        Self { policy, ..self }
    }
}

impl Source for ClassificationSource {
    type Batch = ClassificationBatch;

    fn pictures(&self) -> usize {
        self.samples.len()
    }

    fn batch(&self, request: &Request) -> Result<Made<ClassificationBatch>, DataError> {
        let [height, width] = self.preprocessing.size;
        let [count, pixels] = [request.samples.len(), height * width * 3];
        let (mut input, mut problems) = (vec![0.0; count * pixels], Vec::new());
        let (mut samples, mut filled) = (Vec::with_capacity(count), 0);
        for index in 0..count {
            let part = &mut input[filled * pixels..(filled + 1) * pixels];
            let make = |sample: usize| {
                let picture = self.cache.read(sample, &self.samples[sample].path)?;
                match &self.recipe {
                    None => preprocess_into(&picture, &self.preprocessing, part),
                    Some(recipe) => {
                        let key = [request.seed, request.place.epoch, sample as u64];
                        let random = &mut Random::new(Purpose::Picture, key);
                        let varied = recipe.vary(&picture, &self.preprocessing, random);
                        let Preprocessing { mean, std, .. } = self.preprocessing;
                        normalise_into(&varied, Normalisation { mean, std }, part);
                    }
                }
                Ok(())
            };
            let made = usable(request, index, self.samples.len(), self.policy, &mut problems, make)?;
            if let Some((sample, ())) = made {
                samples.push(sample);
                filled += 1;
            }
        }
        if filled == 0 {
            return Ok(Made { batch: None, problems });
        }
        input.truncate(filled * pixels);
        let classes: Vec<usize> = samples.iter().map(|&sample| self.samples[sample].class_index).collect();
        let mut targets = Tensor::zeros(&[filled, self.classes]);
        for (row, &class) in targets.data_mut().chunks_exact_mut(self.classes).zip(&classes) {
            row[class] = 1.0;
        }
        let input = Tensor::new(&[filled, height, width, 3], input).expect("as many values as pictures");
        let files = samples.iter().map(|&sample| self.samples[sample].path.clone()).collect();
        let mut batch = ClassificationBatch { place: request.place, input, targets, classes, samples, files };
        if let Some(recipe) = &self.recipe {
            let key = [request.seed, request.place.epoch, request.place.batch];
            recipe.mix(&mut batch, &mut Random::new(Purpose::Batch, key));
        }
        Ok(Made { batch: Some(batch), problems })
    }
}
