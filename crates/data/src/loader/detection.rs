//! Batches of a detection data set.

use std::borrow::Cow;
use std::sync::Arc;

use effigy_arch::Letterbox;
use effigy_tensor::Tensor;
use effigy_vision::{Picture, Placement, fill_into, letterbox_into, place_into};

use super::sources::{Cache, usable};
use super::{DetectionBatch, InputObject, Made, Request, Source};
use crate::augment::DetectionRecipe;
use crate::random::{Purpose, Random};
use crate::{AnnotatedPicture, DataError, Object, OnProblem, Problem, ProblemKind};

/// The pictures of a detection data set, prepared for a network.
#[derive(Clone, Debug)]
pub struct DetectionSource {
    pictures: Arc<[AnnotatedPicture]>,
    letterbox: Letterbox,
    recipe: Option<DetectionRecipe>,
    policy: OnProblem,
    cache: Arc<Cache>,
}

impl DetectionSource {
    /// Whole pictures, as the network sees them when it is evaluated.
    #[must_use]
    pub fn new(pictures: &[AnnotatedPicture], letterbox: Letterbox) -> Self {
        let (cache, policy) = (Arc::new(Cache::new(0, 0)), OnProblem::Refuse);
        Self { pictures: pictures.into(), letterbox, recipe: None, policy, cache }
    }

    /// The same, with decoded pictures kept in memory, up to so many bytes: three a pixel.
    #[must_use]
    pub fn cached(self, bytes: usize) -> Self {
        Self { cache: Arc::new(Cache::new(self.pictures.len(), bytes)), ..self }
    }

    /// The same, varied for training.
    #[must_use]
    pub fn varied(self, recipe: DetectionRecipe) -> Self {
        Self { recipe: Some(recipe), ..self }
    }

    /// The same, with this done about pictures that cannot be read or are not of the size that is annotated;
    /// refused, if nothing is said.
    #[must_use]
    pub fn on_problem(self, policy: OnProblem) -> Self {
        Self { policy, ..self }
    }
}

impl DetectionSource {
    fn read(&self, sample: usize) -> Result<Cow<'_, Picture>, Problem> {
        let AnnotatedPicture { path, width, height, .. } = &self.pictures[sample];
        let picture = self.cache.read(sample, path)?;
        let found = [picture.width(), picture.height()];
        if found == [*width, *height] {
            return Ok(picture);
        }
        let kind = ProblemKind::OtherSize { found, annotated: [*width, *height] };
        Err(Problem { path: path.clone(), place: String::new(), kind })
    }

    /// A whole picture, and where it lies.
    fn plain(&self, sample: usize, input: &mut [f32]) -> Result<(Vec<InputObject>, Placement), Problem> {
        let picture = self.read(sample)?;
        let placement = letterbox_into(&picture, &self.letterbox, input);
        let objects = learnable(&self.pictures[sample]);
        let objects = objects.map(|object| InputObject {
            bounds: placement.to_input(object.corners().clip(placement.picture[1], placement.picture[0])),
            class_index: object.class_index,
            difficult: object.difficult,
        });
        Ok((objects.collect(), placement))
    }

    /// A varied picture: its objects and the samples that it is made of.
    fn vary(
        &self,
        recipe: &DetectionRecipe,
        sample: usize,
        random: &mut Random,
        input: &mut [f32],
    ) -> Result<(Vec<InputObject>, Vec<usize>), Problem> {
        let others = self.pictures.len();
        let size_of = |sample: usize| [self.pictures[sample].height, self.pictures[sample].width];
        let parts = recipe.arrange(sample, others, size_of, self.letterbox.size, random);
        fill_into(&self.letterbox, input);
        let mut objects = Vec::new();
        for part in &parts {
            let picture = self.read(part.sample)?;
            let (width, height) = (picture.width(), picture.height());
            let picture = part.cut(&picture);
            let picture = recipe.jitter.apply(picture, random);
            place_into(&picture, &self.letterbox, part.at, part.size, input);
            objects.extend(learnable(&self.pictures[part.sample]).filter_map(|object| {
                let bounds = object.corners().clip(width, height);
                let bounds = part.place(bounds, recipe.keep, recipe.smallest)?;
                Some(InputObject { bounds, class_index: object.class_index, difficult: object.difficult })
            }));
        }
        Ok((objects, parts.into_iter().map(|part| part.sample).collect()))
    }
}

/// Crowds are neither right nor wrong to find, so there is nothing to learn from them.
fn learnable(picture: &AnnotatedPicture) -> impl Iterator<Item = &Object> {
    picture.objects.iter().filter(|object| !object.crowd)
}

impl Source for DetectionSource {
    type Batch = DetectionBatch;

    fn pictures(&self) -> usize {
        self.pictures.len()
    }

    fn batch(&self, request: &Request) -> Result<Made<DetectionBatch>, DataError> {
        let [height, width] = self.letterbox.size;
        let [count, pixels] = [request.samples.len(), height * width * 3];
        let (mut input, mut problems) = (vec![0.0; count * pixels], Vec::new());
        let mut batch = DetectionBatch {
            place: request.place,
            input: Tensor::zeros(&[0, height, width, 3]),
            objects: Vec::with_capacity(count),
            placements: Vec::new(),
            samples: Vec::with_capacity(count),
            files: Vec::with_capacity(count),
        };
        for index in 0..count {
            let filled = batch.samples.len();
            let part = &mut input[filled * pixels..(filled + 1) * pixels];
            let make = |sample: usize| {
                let Some(recipe) = &self.recipe else {
                    let (objects, placement) = self.plain(sample, part)?;
                    return Ok((objects, vec![sample], Some(placement)));
                };
                let key = [request.seed, request.place.epoch, sample as u64];
                let random = &mut Random::new(Purpose::Picture, key);
                let (objects, samples) = self.vary(recipe, sample, random, part)?;
                Ok((objects, samples, None))
            };
            let made = usable(request, index, self.pictures.len(), self.policy, &mut problems, make)?;
            let Some((sample, (objects, samples, placement))) = made else { continue };
            let file = |sample: usize| self.pictures[sample].path.clone();
            batch.objects.push(objects);
            batch.placements.extend(placement);
            batch.samples.push(sample);
            batch.files.push(samples.into_iter().map(file).collect());
        }
        let filled = batch.samples.len();
        if filled == 0 {
            return Ok(Made { batch: None, problems });
        }
        input.truncate(filled * pixels);
        batch.input = Tensor::new(&[filled, height, width, 3], input).expect("as many values as pictures");
        Ok(Made { batch: Some(batch), problems })
    }
}
