//! A run, from options to checkpoints.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use effigy_arch::{Graph, Network, Op, Preprocessing};
use effigy_data::augment::{ClassificationRecipe, DetectionRecipe, Recipe};
use effigy_data::loader::{ClassificationSource, DetectionSource, LoaderOptions};
use effigy_data::{Problem, Sample};
use serde::de::DeserializeOwned;

use crate::begin::{Begun, Fetch, begin, frozen, judged};
use crate::dataset::{Pictures, Split};
use crate::loss::{BoxLoss, CrossEntropy, DetectionLoss, LossRecipe};
use crate::record::History;
use crate::run::{Parts, run};
use crate::task::{Classification, Detection};
use crate::{
    Alone, ClassWeights, Config, DetectionLossKind, Device, Groups, Observer, Parameters, Reduce, TrainError,
};

/// Trains a network.
///
/// [`Trainer::new`] opens the data and the weights, so that everything about the run can be asked before it
/// begins; [`run`](Trainer::run) trains on a device and writes, into the folder [`Config::out`]:
///
/// | file | what it is |
/// |---|---|
/// | `best.safetensors`, `last.safetensors` | the network, for every command of effigy: its moving average, where there is one |
/// | `state.safetensors` | what is needed to go on |
/// | `config.toml` | all options |
/// | `metrics.csv`, `events.out.tfevents.…` | figures of every epoch; for TensorBoard, of every step |
/// | `report.html` | curves, and pictures with answers |
pub struct Trainer {
    config: Config,
    pictures: Pictures,
    /// As it is judged and saved.
    network: Network,
    /// Height and width of what it learns from, in pixels.
    size: [usize; 2],
    graph: Graph,
    parameters: Parameters,
    frozen: HashSet<String>,
    notes: Vec<String>,
    resume: bool,
    reduce: Box<dyn Reduce>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Its figures.
    pub history: History,
    /// Whether it was stopped before its end.
    pub stopped: bool,
    /// The best checkpoint, where any network was judged.
    pub best: Option<PathBuf>,
    /// The report.
    pub report: PathBuf,
}

impl std::fmt::Debug for Trainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer").field("model", &self.network.name()).finish_non_exhaustive()
    }
}

impl Trainer {
    /// Prepares a run: opens its data and gets the weights that it begins with, published ones by `fetch`.
    ///
    /// # Errors
    /// Options that cannot be used, data that cannot be opened, weights that cannot be had or are another
    /// network's.
    pub fn new(config: Config, fetch: &mut Fetch<'_>) -> Result<Self, TrainError> {
        config.check()?;
        let detector = matches!(Network::from_name(&config.model)?, Network::EfficientDet(_));
        if detector {
            recipe::<DetectionRecipe>(&config)?;
            loss_recipe(&config)?;
        } else {
            recipe::<ClassificationRecipe>(&config)?;
        }
        let pictures = Pictures::open(&config, detector)?;
        let Begun { network, parameters, notes } = begin(&config, pictures.labels().len(), fetch)?;
        let frozen = frozen(&config, &network, &parameters);
        let graph = graph(&network, &config);
        let size = network.size();
        let network = judged(network, &config)?;
        let reduce = Box::new(Alone);
        Ok(Self { config, pictures, network, size, graph, parameters, frozen, notes, resume: false, reduce })
    }

    /// Whether to go on where the run in the same folder stopped, if there is one. A run that is gone on with ends
    /// with the very parameters of one that never stopped.
    #[must_use]
    pub fn resume(self, resume: bool) -> Self {
        Self { resume, ..self }
    }

    /// Sums gradients with those of other processes.
    #[must_use]
    pub fn reduce(self, reduce: impl Reduce + 'static) -> Self {
        Self { reduce: Box::new(reduce), ..self }
    }

    /// The network that is trained, as it is judged and saved.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Height and width of what it learns from, in pixels.
    #[must_use]
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// The network's graph, for a device.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The parameters that are not trained, for a device: a BatchNorm whose statistics are among them uses them in
    /// training, too.
    #[must_use]
    pub fn frozen(&self) -> &HashSet<String> {
        &self.frozen
    }

    /// Where the weights come from and what was assumed about them, a sentence each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The classes' names.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        self.pictures.labels()
    }

    /// How many pictures there are to learn from, and to judge by.
    #[must_use]
    pub fn pictures(&self) -> [usize; 2] {
        self.pictures.counts()
    }

    /// What of the data was left out.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        self.pictures.problems()
    }

    /// How many values are trained, and how many there are.
    #[must_use]
    pub fn parameter_counts(&self) -> [usize; 2] {
        [self.groups().count(), self.parameters.values().len()]
    }

    /// Bytes that the run will take on `device`: what a batch needs, the parameters, their gradients, moments and
    /// average.
    #[must_use]
    pub fn memory_needed(&self, device: &dyn Device) -> u64 {
        let [height, width] = self.size;
        let shape = [self.config.batch, height, width, self.network.in_channels()];
        let copies = 2 + self.config.moments() + usize::from(self.config.ema_decay.is_some());
        let input = shape.iter().product::<usize>() * 4;
        // Each thread of the loader holds up to two batches.
        let batches = input * 2 * self.config.loader_threads.max(1);
        device.memory_needed(shape) + (4 * copies * self.parameters.values().len() + batches) as u64
    }

    /// Trains.
    ///
    /// # Errors
    /// [`TrainError`]; what was saved before can be gone on with. [`TrainError::NotFinite`] where the loss or a
    /// gradient is not finite.
    pub fn run(self, device: &mut dyn Device, observer: &mut dyn Observer) -> Result<Summary, TrainError> {
        let groups = self.groups();
        let Self { config, pictures, network, size, graph, parameters, resume, reduce, .. } = self;
        let fingerprint = pictures.fingerprint();
        let labels = pictures.labels().to_vec();
        let counts = pictures.counts();
        let parts = Parts {
            config: &config,
            network: &network,
            size,
            graph: &graph,
            labels: &labels,
            counts,
            groups,
            fingerprint,
            resume,
            reduce,
        };
        match (&network, pictures) {
            (Network::EfficientNet(classifier), Pictures::Classification(split)) => {
                let task = classification(&config, classifier, size, split)?;
                run(&task, parts, parameters, device, observer)
            }
            (Network::EfficientDet(detector), Pictures::Detection(split)) => {
                let task = detection(&config, detector, split)?;
                run(&task, parts, parameters, device, observer)
            }
            _ => unreachable!("the data was opened for this kind of network"),
        }
    }

    fn groups(&self) -> Groups {
        Groups::new(&self.parameters, self.config.weight_decay, |slot| !self.frozen.contains(&slot.spec.name))
    }
}

fn loading(config: &Config) -> [LoaderOptions; 2] {
    let threads = config.loader_threads.max(1);
    [
        LoaderOptions { threads, ..LoaderOptions::training(config.batch, config.seed) },
        LoaderOptions { threads, ..LoaderOptions::evaluation(config.eval_batch) },
    ]
}

/// The recipe by which pictures are varied, from the options `augment.…`.
fn recipe<T: DeserializeOwned + Recipe>(config: &Config) -> Result<T, TrainError> {
    let recipe = config.augment.clone().try_into();
    let recipe: T = recipe
        .map_err(|error: toml::de::Error| TrainError::conflict(format!("augment: {}", error.message())))?;
    recipe.check().map_err(|error| TrainError::conflict(format!("augment.{error}")))?;
    Ok(recipe)
}

fn classification(
    config: &Config,
    network: &effigy_arch::EfficientNet,
    size: [usize; 2],
    split: Split<Sample>,
) -> Result<Classification, TrainError> {
    let classes = split.labels.len();
    let class_weights = match &config.class_weights {
        ClassWeights::Equal => None,
        ClassWeights::Balanced => Some(balanced(&split.train, classes)),
        ClassWeights::Given(weights) if weights.len() == classes => Some(weights.clone()),
        ClassWeights::Given(weights) => {
            let given = weights.len();
            return Err(TrainError::conflict(format!(
                "class_weights has {given} numbers for {classes} classes"
            )));
        }
    };
    let preprocessing = network.preprocessing.clone();
    let [loading, judging] = loading(config);
    let learnt_from = Preprocessing { size, ..preprocessing.clone() };
    let source = ClassificationSource::new(&split.train, classes, learnt_from);
    Ok(Classification {
        train: source.varied(recipe(config)?).on_problem(config.on_problem),
        val: split.val,
        preprocessing,
        labels: split.labels,
        loss: CrossEntropy { label_smoothing: config.label_smoothing, class_weights },
        on_problem: config.on_problem,
        loading,
        judging,
    })
}

/// The mean count of all classes over each one's own.
fn balanced(samples: &[Sample], classes: usize) -> Vec<f32> {
    let mut counts = vec![0_usize; classes];
    samples.iter().for_each(|sample| counts[sample.class_index] += 1);
    let mean = samples.len() as f32 / classes as f32;
    counts.into_iter().map(|count| mean / count.max(1) as f32).collect()
}

/// The loss of a detector, from the options.
fn loss_recipe(config: &Config) -> Result<LossRecipe, TrainError> {
    let mut loss = match config.detection_loss {
        DetectionLossKind::Official => LossRecipe::OFFICIAL,
        DetectionLossKind::Zylo117 => LossRecipe::ZYLO117,
    };
    loss.alpha = config.focal_alpha.unwrap_or(loss.alpha);
    loss.gamma = config.focal_gamma.unwrap_or(loss.gamma);
    loss.box_weight = config.box_weight.unwrap_or(loss.box_weight);
    loss.matching.positive = config.positive_iou.unwrap_or(loss.matching.positive);
    loss.matching.negative = config.negative_iou.unwrap_or(loss.matching.negative);
    let (positive, negative) = (loss.matching.positive, loss.matching.negative);
    if negative > positive {
        return Err(TrainError::conflict(format!(
            "negative_iou, {negative}, must not be above positive_iou, {positive}"
        )));
    }
    let (BoxLoss::Huber { delta } | BoxLoss::SmoothL1 { beta: delta }) = &mut loss.box_loss;
    *delta = config.box_delta.unwrap_or(*delta);
    Ok(loss)
}

fn detection(
    config: &Config,
    network: &effigy_arch::EfficientDet,
    split: Split<effigy_data::AnnotatedPicture>,
) -> Result<Detection, TrainError> {
    let [height, width] = network.letterbox.size;
    let anchors = network.anchor_boxes(height, width);
    let loss = DetectionLoss::new(loss_recipe(config)?, split.labels.len(), anchors.clone());
    let [loading, judging] = loading(config);
    let source = DetectionSource::new(&split.train, network.letterbox.clone());
    Ok(Detection {
        train: source.varied(recipe(config)?).on_problem(config.on_problem),
        val: split.val,
        letterbox: network.letterbox.clone(),
        loss,
        anchors,
        labels: split.labels,
        on_problem: config.on_problem,
        loading,
        judging,
    })
}

/// The network's graph as this run wants it.
fn graph(network: &Network, config: &Config) -> Graph {
    let mut graph = network.graph();
    for node in &mut graph.nodes {
        if let (Op::BatchNorm { momentum, .. }, Some(wanted)) = (&mut node.op, config.batch_norm_momentum) {
            *momentum = wanted;
        }
    }
    graph
}

/// The folder in which a run can be gone on with, as [`Trainer::resume`] would.
#[must_use]
pub fn can_resume(out: &Path) -> bool {
    out.join(crate::folder::STATE).is_file()
}
