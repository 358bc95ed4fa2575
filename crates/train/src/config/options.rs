//! The table of options.

use effigy_data::augment::{ClassificationRecipe, DetectionRecipe};
use serde::Serialize;

use super::field::Field;
use super::{Config, ConfigError};

/// An option: a key of a run's file, and a flag.
#[derive(Clone, Copy)]
pub struct Opt {
    /// Its key, such as `learning_rate`; the flag is `--learning-rate`.
    pub name: &'static str,
    /// What stands for its value in the help.
    pub value: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Under which heading the help lists it.
    pub heading: &'static str,
    /// Whether a run that is resumed may be told something else.
    pub free: bool,
    pub(super) field: fn(&mut Config) -> &mut dyn Field,
}

impl std::fmt::Debug for Opt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opt({})", self.name)
    }
}

const MODEL: &str = "Model";
const DATA: &str = "Data";
const STEPS: &str = "Steps";
const LOSS: &str = "Loss of a classifier";
const BOXES: &str = "Loss and anchors of a detector";
const RUN: &str = "Run";

const fn row(
    heading: &'static str,
    name: &'static str,
    value: &'static str,
    help: &'static str,
    field: fn(&mut Config) -> &mut dyn Field,
) -> Opt {
    Opt { name, value, help, heading, free: false, field }
}

const fn free(opt: Opt) -> Opt {
    Opt { free: true, ..opt }
}

/// Every option but those of [`names`]' last part, which say how pictures are varied.
pub const OPTIONS: &[Opt] = &[
    row(MODEL, "model", "NAME", "What is trained: see `effigy models`", |c| &mut c.model),
    row(
        MODEL,
        "weights",
        "WHERE",
        "Where it begins: pretrained (published weights of the model), backbone (of a detector: the published classifier, under a new pyramid and heads), scratch, or a checkpoint FILE of the model or its backbone",
        |c| &mut c.weights,
    ),
    row(MODEL, "size", "HxW", "Input size in pixels, such as 224 or 192x256 [the model's]", |c| &mut c.size),
    row(
        MODEL,
        "eval_size",
        "HxW",
        "Input size by which a classifier is judged, and with which it is saved: random crops show things larger than whole pictures do, which an eighth to a quarter more makes up for; multiples of 32 suit the networks' strides [that of learning]",
        |c| &mut c.eval_size,
    ),
    row(
        MODEL,
        "crop_pct",
        "SHARE",
        "Of a picture's side, what a classifier is judged by [the model's]",
        |c| &mut c.crop_pct,
    ),
    row(MODEL, "freeze", "WHAT", "What is not trained: nothing, backbone or all-but-head", |c| &mut c.freeze),
    row(
        MODEL,
        "frozen_stages",
        "N",
        "So many of the backbone's first parts are not trained: 1 is the stem, 2 the first stage too, and so on",
        |c| &mut c.frozen_stages,
    ),
    row(
        MODEL,
        "freeze_batch_norm",
        "BOOL",
        "BatchNorm keeps its statistics, scales and shifts, as small batches want it",
        |c| &mut c.freeze_batch_norm,
    ),
    row(
        MODEL,
        "batch_norm_momentum",
        "SHARE",
        "What a batch counts in BatchNorm's moving statistics; short runs want more than the published 0.01 [the model's]",
        |c| &mut c.batch_norm_momentum,
    ),
    row(MODEL, "dropout", "RATE", "Share of the last features that are dropped [the model's]", |c| {
        &mut c.dropout
    }),
    row(MODEL, "drop_connect", "RATE", "Share of pictures that skip the last block [the model's]", |c| {
        &mut c.drop_connect
    }),
    // Folders may be moved; whether the pictures are the same is seen by themselves.
    free(row(
        DATA,
        "data",
        "PATH",
        "Pictures to learn from: class folders (below train/ and val/, where there are splits), a list of files and classes, Pascal VOC's folder, or COCO's JSON",
        |c| &mut c.data,
    )),
    free(row(DATA, "images", "DIR", "The pictures of COCO's JSON", |c| &mut c.images)),
    row(DATA, "split", "NAME", "Pascal VOC's split, such as train [all]", |c| &mut c.split),
    free(row(DATA, "val_data", "PATH", "Pictures to judge by [a share of the others]", |c| &mut c.val_data)),
    free(row(
        DATA,
        "val_images",
        "DIR",
        "The pictures of COCO's JSON to judge by [those of `images`]",
        |c| &mut c.val_images,
    )),
    row(DATA, "val_split", "NAME", "Pascal VOC's split to judge by, such as val", |c| &mut c.val_split),
    row(
        DATA,
        "val_share",
        "SHARE",
        "Where there are no pictures to judge by: the share that is kept from learning",
        |c| &mut c.val_share,
    ),
    row(
        DATA,
        "on_problem",
        "WHAT",
        "About what cannot be used: skip (and name it), or refuse the data",
        |c| &mut c.on_problem,
    ),
    row(STEPS, "batch", "N", "Pictures that the network gets at a time", |c| &mut c.batch),
    row(STEPS, "accumulate", "N", "Batches whose gradients are summed up to a step", |c| &mut c.accumulate),
    row(STEPS, "epochs", "N", "How often every picture is seen", |c| &mut c.epochs),
    row(STEPS, "optimiser", "NAME", "sgd, rmsprop (TensorFlow's) or adamw", |c| &mut c.optimiser),
    row(STEPS, "learning_rate", "RATE", "The highest learning rate", |c| &mut c.learning_rate),
    row(
        STEPS,
        "learning_rate_batch",
        "N",
        "The rate is meant for so many pictures a step, and is scaled to this run's [as it is]",
        |c| &mut c.learning_rate_batch,
    ),
    row(STEPS, "momentum", "SHARE", "Of sgd and rmsprop", |c| &mut c.momentum),
    row(STEPS, "nesterov", "BOOL", "Nesterov's momentum, of sgd", |c| &mut c.nesterov),
    row(STEPS, "rmsprop_decay", "SHARE", "How much of the mean square is kept a step", |c| {
        &mut c.rmsprop_decay
    }),
    row(STEPS, "betas", "A,B", "adamw's shares that are kept of both moments", |c| &mut c.betas),
    row(STEPS, "epsilon", "NUMBER", "rmsprop's (inside the root) [1e-3] or adamw's [1e-8]", |c| {
        &mut c.epsilon
    }),
    row(STEPS, "weight_decay", "NUMBER", "Of the weights of convolutions and linear layers", |c| {
        &mut c.weight_decay
    }),
    row(STEPS, "clip_norm", "NORM", "The highest norm of a step's gradients, or none", |c| &mut c.clip_norm),
    row(STEPS, "schedule", "NAME", "How the learning rate falls: constant, exponential or cosine", |c| {
        &mut c.schedule
    }),
    row(STEPS, "warm_up_epochs", "N", "Epochs over which the learning rate grows", |c| &mut c.warm_up_epochs),
    row(STEPS, "warm_up_from", "RATE", "Where it begins to grow; scaled as the learning rate", |c| {
        &mut c.warm_up_from
    }),
    row(STEPS, "decay_factor", "NUMBER", "exponential: by what the rate is multiplied", |c| {
        &mut c.decay_factor
    }),
    row(STEPS, "decay_epochs", "N", "exponential: how many epochs lie between", |c| &mut c.decay_epochs),
    row(STEPS, "staircase", "BOOL", "exponential: at once, rather than a little every step", |c| {
        &mut c.staircase
    }),
    row(STEPS, "cosine_floor", "SHARE", "cosine: where it ends, of the highest rate", |c| {
        &mut c.cosine_floor
    }),
    row(
        STEPS,
        "ema_decay",
        "SHARE",
        "What is kept a step of the moving average, which is judged and saved; or none",
        |c| &mut c.ema_decay,
    ),
    row(LOSS, "label_smoothing", "SHARE", "Share of every target that goes to all classes", |c| {
        &mut c.label_smoothing
    }),
    row(LOSS, "class_weights", "WEIGHTS", "What classes count: equal, balanced, or a number for each", |c| {
        &mut c.class_weights
    }),
    row(BOXES, "detection_loss", "WHOSE", "official or zylo117; the next six change parts of it", |c| {
        &mut c.detection_loss
    }),
    row(BOXES, "focal_alpha", "SHARE", "What objects count beside background", |c| &mut c.focal_alpha),
    row(BOXES, "focal_gamma", "NUMBER", "The focal loss's exponent", |c| &mut c.focal_gamma),
    row(BOXES, "box_weight", "NUMBER", "What boxes count beside classes", |c| &mut c.box_weight),
    row(BOXES, "box_delta", "NUMBER", "Error of an offset from which on its loss grows as a line", |c| {
        &mut c.box_delta
    }),
    row(BOXES, "positive_iou", "SHARE", "Overlap from which an anchor answers for a box", |c| {
        &mut c.positive_iou
    }),
    row(BOXES, "negative_iou", "SHARE", "Overlap below which it answers for background", |c| {
        &mut c.negative_iou
    }),
    row(BOXES, "anchor_base", "STRIDES", "Side of the smallest square anchor [the model's]", |c| {
        &mut c.anchor_base
    }),
    row(
        BOXES,
        "anchor_scales",
        "FACTOR,…",
        "Factors on it [the model's]; `effigy anchors` fits them",
        |c| &mut c.anchor_scales,
    ),
    row(BOXES, "anchor_ratios", "WxH,…", "Shapes: factors on width and height [the model's]", |c| {
        &mut c.anchor_ratios
    }),
    free(row(RUN, "out", "DIR", "Where checkpoints, figures and the report go", |c| &mut c.out)),
    row(RUN, "seed", "N", "What everything random is drawn from", |c| &mut c.seed),
    row(
        RUN,
        "precision",
        "NAME",
        "In what numbers convolutions are multiplied: fp32 or bf16, where the processor is fast with those",
        |c| &mut c.precision,
    ),
    // Results do not depend on the number of threads.
    free(row(RUN, "threads", "N", "Threads of the network [all]", |c| &mut c.threads)),
    free(row(RUN, "loader_threads", "N", "Threads that make batches", |c| &mut c.loader_threads)),
    row(RUN, "eval_every", "N", "Epochs from one evaluation to the next", |c| &mut c.eval_every),
    free(row(RUN, "eval_batch", "N", "Pictures at a time while judging", |c| &mut c.eval_batch)),
    free(row(RUN, "save_minutes", "MINUTES", "How often a run saves what it needs to be resumed", |c| {
        &mut c.save_minutes
    })),
    free(row(RUN, "samples", "N", "Pictures that the report shows with answers", |c| &mut c.samples)),
    free(row(RUN, "tensorboard", "BOOL", "Whether files for TensorBoard are written", |c| {
        &mut c.tensorboard
    })),
];

/// The prefix of options that say how pictures are varied.
const AUGMENT: &str = "augment.";

/// Every option's name: the table's, then `augment.…`, a name for each field of the recipes in
/// [`effigy_data::augment`].
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = OPTIONS.iter().map(|option| option.name.to_owned()).collect();
    fields(&table(&ClassificationRecipe::default()), AUGMENT, &mut names);
    fields(&table(&DetectionRecipe::default()), AUGMENT, &mut names);
    names
}

/// Adds the names of a table's fields, those of tables within by their parts.
fn fields(table: &toml::Table, prefix: &str, names: &mut Vec<String>) {
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        match value {
            toml::Value::Table(inner) => fields(inner, &format!("{name}."), names),
            _ if names.contains(&name) => (),
            _ => names.push(name),
        }
    }
}

/// A recipe's fields.
fn table(recipe: &impl Serialize) -> toml::Table {
    toml::Table::try_from(recipe).expect("recipes are plain structures")
}

/// The flag of an option's name: `--learning-rate` of `learning_rate`.
pub fn flag(name: &str) -> String {
    name.replace(['_', '.'], "-")
}

impl Config {
    /// Sets an option to a value of a file.
    ///
    /// # Errors
    /// [`ConfigError`] where nothing has that name, or it cannot have that value.
    pub fn set(&mut self, name: &str, value: &toml::Value) -> Result<(), ConfigError> {
        if let Some(key) = name.strip_prefix(AUGMENT) {
            if !names().iter().any(|known| known == name) {
                return Err(ConfigError::unknown(name));
            }
            let (mut table, mut rest) = (&mut self.augment, key);
            while let Some((outer, inner)) = rest.split_once('.') {
                let within = table.entry(outer).or_insert_with(|| toml::Table::new().into());
                let toml::Value::Table(within) = within else { return Err(ConfigError::unknown(name)) };
                (table, rest) = (within, inner);
            }
            table.insert(rest.to_owned(), value.clone());
            return Ok(());
        }
        let wrong = |wanted| ConfigError::Value { name: name.to_owned(), value: value.to_string(), wanted };
        self.field(name)?.set(value).map_err(wrong)
    }

    /// Sets an option to a flag's value.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn set_text(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        if name.starts_with(AUGMENT) {
            return self.set(name, &super::field::value_of(text));
        }
        let wrong = |wanted| ConfigError::Value { name: name.to_owned(), value: text.to_owned(), wanted };
        self.field(name)?.set_text(text).map_err(wrong)
    }

    /// An option's value as a file would have it; `None` where it is not set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<toml::Value> {
        match name.strip_prefix(AUGMENT) {
            Some(key) => {
                let (mut table, mut rest) = (&self.augment, key);
                while let Some((outer, inner)) = rest.split_once('.') {
                    (table, rest) = (table.get(outer)?.as_table()?, inner);
                }
                table.get(rest).cloned()
            }
            None => self.clone().field(name).ok()?.get(),
        }
    }

    fn field(&mut self, name: &str) -> Result<&mut dyn Field, ConfigError> {
        let option = OPTIONS.iter().find(|option| option.name == name);
        let option = option.ok_or_else(|| ConfigError::unknown(name))?;
        Ok((option.field)(self))
    }

    /// The names of options that differ, those apart that may differ in a run that is resumed.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let may = |name: &str| OPTIONS.iter().any(|option| option.name == name && option.free);
        names().into_iter().filter(|name| !may(name) && self.get(name) != other.get(name)).collect()
    }
}
