//! What a run is told: one table of options, from which files are read, flags are made and help is printed.

mod bounds;
mod error;
mod field;
mod file;
mod options;

use std::path::PathBuf;

use effigy_arch::AspectRatio;
use effigy_data::OnProblem;

use crate::TrainingPrecision;

pub use error::ConfigError;
pub use field::Size;
pub use options::{OPTIONS, Opt, flag, names};

/// What a run does. Every field is a row of [`OPTIONS`], which tells its meaning.
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub model: String,
    pub weights: String,
    pub size: Option<Size>,
    pub eval_size: Option<Size>,
    pub crop_pct: Option<f32>,
    pub freeze: Freeze,
    pub frozen_stages: usize,
    pub freeze_batch_norm: bool,
    pub batch_norm_momentum: Option<f32>,
    pub dropout: Option<f32>,
    pub drop_connect: Option<f32>,

    pub data: PathBuf,
    pub images: Option<PathBuf>,
    pub split: Option<String>,
    pub val_data: Option<PathBuf>,
    pub val_images: Option<PathBuf>,
    pub val_split: Option<String>,
    pub val_share: f64,
    pub on_problem: OnProblem,
    pub augment: toml::Table,

    pub batch: usize,
    pub accumulate: usize,
    pub epochs: usize,
    pub optimiser: OptimiserKind,
    pub learning_rate: f64,
    pub learning_rate_batch: Option<usize>,
    pub momentum: f32,
    pub nesterov: bool,
    pub rmsprop_decay: f32,
    pub betas: Vec<f64>,
    pub epsilon: Option<f32>,
    pub weight_decay: f32,
    pub clip_norm: Option<f64>,
    pub schedule: ScheduleKind,
    pub warm_up_epochs: f64,
    pub warm_up_from: f64,
    pub decay_factor: f64,
    pub decay_epochs: f64,
    pub staircase: bool,
    pub cosine_floor: f64,
    pub ema_decay: Option<f64>,

    pub label_smoothing: f32,
    pub class_weights: ClassWeights,

    pub detection_loss: DetectionLossKind,
    pub focal_alpha: Option<f32>,
    pub focal_gamma: Option<f32>,
    pub box_weight: Option<f32>,
    pub box_delta: Option<f32>,
    pub positive_iou: Option<f32>,
    pub negative_iou: Option<f32>,
    pub anchor_base: Option<f64>,
    pub anchor_scales: Option<Vec<f64>>,
    pub anchor_ratios: Option<Vec<AspectRatio>>,

    pub out: PathBuf,
    pub seed: u64,
    pub precision: TrainingPrecision,
    pub threads: Option<usize>,
    pub loader_threads: usize,
    pub eval_every: usize,
    pub eval_batch: usize,
    pub save_minutes: f64,
    pub samples: usize,
    pub tensorboard: bool,
}

/// Which parameters are trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freeze {
    /// All.
    #[default]
    Nothing,
    /// All but a detector's backbone.
    Backbone,
    /// Those of the classifier, or of a detector's two heads, alone.
    AllButHead,
}

/// How parameters move along their gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OptimiserKind {
    /// [`Sgd`](crate::optimiser::Sgd).
    #[default]
    Sgd,
    /// [`RmsProp`](crate::optimiser::RmsProp).
    RmsProp,
    /// [`AdamW`](crate::optimiser::AdamW).
    AdamW,
}

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScheduleKind {
    /// Not at all.
    Constant,
    /// By a factor again and again.
    Exponential,
    /// As half a cosine.
    #[default]
    Cosine,
}

/// Whose loss a detector is trained with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DetectionLossKind {
    /// [`LossRecipe::OFFICIAL`](crate::loss::LossRecipe::OFFICIAL).
    #[default]
    Official,
    /// [`LossRecipe::ZYLO117`](crate::loss::LossRecipe::ZYLO117).
    Zylo117,
}

/// What each class counts in a classifier's loss.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ClassWeights {
    /// The same.
    #[default]
    Equal,
    /// The rarer the more: the mean count of all classes over its own.
    Balanced,
    /// These, in the classes' order.
    Given(Vec<f32>),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model: "efficientnet-lite0".to_owned(),
            weights: "pretrained".to_owned(),
            size: None,
            eval_size: None,
            crop_pct: None,
            freeze: Freeze::default(),
            frozen_stages: 0,
            freeze_batch_norm: false,
            batch_norm_momentum: None,
            dropout: None,
            drop_connect: None,

            data: PathBuf::new(),
            images: None,
            split: None,
            val_data: None,
            val_images: None,
            val_split: None,
            val_share: 0.1,
            on_problem: OnProblem::Skip,
            augment: toml::Table::new(),

            batch: 16,
            accumulate: 1,
            epochs: 10,
            optimiser: OptimiserKind::default(),
            learning_rate: 0.01,
            learning_rate_batch: None,
            momentum: 0.9,
            nesterov: false,
            rmsprop_decay: 0.9,
            betas: vec![0.9, 0.999],
            epsilon: None,
            weight_decay: 4e-5,
            clip_norm: Some(10.0),
            schedule: ScheduleKind::default(),
            warm_up_epochs: 0.5,
            warm_up_from: 0.0,
            decay_factor: 0.97,
            decay_epochs: 2.4,
            staircase: true,
            cosine_floor: 0.0,
            ema_decay: Some(0.999),

            label_smoothing: 0.1,
            class_weights: ClassWeights::default(),

            detection_loss: DetectionLossKind::default(),
            focal_alpha: None,
            focal_gamma: None,
            box_weight: None,
            box_delta: None,
            positive_iou: None,
            negative_iou: None,
            anchor_base: None,
            anchor_scales: None,
            anchor_ratios: None,

            out: PathBuf::from("run"),
            seed: 1,
            precision: TrainingPrecision::Fp32,
            threads: None,
            loader_threads: 2,
            eval_every: 1,
            eval_batch: 8,
            save_minutes: 10.0,
            samples: 12,
            tensorboard: true,
        }
    }
}
