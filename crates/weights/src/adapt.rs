//! Changes to a loaded network: another classifier, other input channels.

use effigy_arch::Top;
use effigy_tensor::Tensor;

use crate::load::{ClassifierPolicy, Loaded};
use crate::weights::{self, Param};

/// Why a checkpoint could not be changed as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotAdapt {
    /// There is no class to drop.
    #[error(
        "there is no background class to drop: the checkpoint has {classes} classes, and needs at least 2"
    )]
    NoBackground {
        /// The checkpoint's classes.
        classes: usize,
    },
    /// A number that no network can have.
    #[error("a network cannot have 0 {what}")]
    Zero {
        /// Classes or input channels.
        what: &'static str,
    },
}

const CLASSIFIER: [&str; 2] = ["head.classifier.weight", "head.classifier.bias"];
const STEM: &str = "stem.conv.weight";

/// Carries out a [`ClassifierPolicy`].
pub(crate) fn classifier(loaded: Loaded, policy: ClassifierPolicy) -> Result<Loaded, CannotAdapt> {
    let has_classifier = loaded.model.top == Top::Classifier;
    let classes = if has_classifier { loaded.model.classes } else { 0 };
    let Loaded { model, weights, mut assumptions, labels, .. } = loaded;
    let (model, weights, labels) = match policy {
        ClassifierPolicy::Keep => (model, weights, labels),
        ClassifierPolicy::Drop => {
            assumptions.push("classifier: dropped, as asked for".to_owned());
            let weights = CLASSIFIER.iter().fold(weights, |weights, name| weights.without(name));
            (model.with_top(Top::Pooled), weights, None)
        }
        ClassifierPolicy::Replace(0) => return Err(CannotAdapt::Zero { what: "classes" }),
        ClassifierPolicy::Replace(n) if n == classes => {
            assumptions.push(format!("classifier: kept, since it has the {n} classes that were asked for"));
            (model, weights, labels)
        }
        ClassifierPolicy::Replace(n) => {
            let before =
                if has_classifier { format!("of {classes} classes") } else { "(there was none)".into() };
            assumptions.push(format!(
                "classifier: the one {before} is replaced by one of zeros for {n}, which must be trained before use"
            ));
            let model = model.with_classes(n).with_top(Top::Classifier);
            let specs = model.graph().param_specs().into_iter();
            let specs = specs.filter(|spec| CLASSIFIER.contains(&spec.name.as_str()));
            let weights = specs.fold(weights, |weights, spec| {
                let tensor = weights::initial(&spec.shape, spec.role);
                weights.with(&spec.name, tensor)
            });
            (model, weights, None)
        }
        ClassifierPolicy::DropBackground if classes < 2 => return Err(CannotAdapt::NoBackground { classes }),
        ClassifierPolicy::DropBackground => {
            assumptions
                .push(format!("classifier: class 0 of {classes} is dropped as background, as asked for"));
            let shorter =
                CLASSIFIER.map(|name| (name, weights.get(name).map(|param| without_first_row(&param))));
            let weights = shorter.into_iter().fold(weights, |weights, (name, tensor)| match tensor {
                Some(tensor) => weights.with(name, tensor),
                None => weights,
            });
            let labels = labels.map(|labels| labels.into_iter().skip(1).collect());
            (model.with_classes(classes - 1), weights, labels)
        }
    };
    Ok(Loaded { model, weights, assumptions, labels, ..loaded })
}

/// Carries out [`LoadOptions::in_channels`](crate::LoadOptions::in_channels).
pub(crate) fn stem(loaded: Loaded, channels: Option<usize>) -> Result<Loaded, CannotAdapt> {
    let before = loaded.model.in_channels;
    let Some(channels) = channels.filter(|&channels| channels != before) else { return Ok(loaded) };
    if channels == 0 {
        return Err(CannotAdapt::Zero { what: "input channels" });
    }
    let Loaded { model, weights, mut assumptions, .. } = loaded;
    assumptions.push(match channels {
        1 => format!("stem: the filters of its {before} channels are summed to 1"),
        _ => format!("stem: the filters of its {before} channels are repeated for {channels} and scaled by {before}/{channels}"),
    });
    let adapted = weights.get(STEM).map(|stem| stem_for(&stem, channels));
    let weights = match adapted {
        Some(tensor) => weights.with(STEM, tensor),
        None => weights,
    };
    Ok(Loaded { model: model.with_in_channels(channels), weights, assumptions, ..loaded })
}

/// The stem's weight `[O, I, k, k]` for `channels` input channels instead of I.
///
/// One channel gets the sum of all filters, which equals feeding it as grey R = G = B. More get the
/// filters in turn, scaled by I / channels so that the activations keep their size; timm does the
/// same (`adapt_input_conv`).
fn stem_for(weight: &Param<'_>, channels: usize) -> Tensor {
    let [outputs, inputs, height, width] = weight.shape[..] else {
        unreachable!("the stem's weight has four axes, or detection would not have found it")
    };
    let area = height * width;
    let scale = inputs as f32 / channels as f32;
    let mut values = Vec::with_capacity(outputs * channels * area);
    for filter in weight.values.chunks_exact((inputs * area).max(1)) {
        if channels == 1 {
            values.extend((0..area).map(|i| filter.iter().skip(i).step_by(area).sum::<f32>()));
            continue;
        }
        for channel in 0..channels {
            let start = channel % inputs * area;
            values.extend(filter[start..start + area].iter().map(|value| value * scale));
        }
    }
    Tensor::new(&[outputs, channels, height, width], values)
        .expect("every filter gives channels · area values")
}

/// Rows 1.. of a classifier's weight or bias: TensorFlow's networks of 1001 classes have
/// «background» first.
fn without_first_row(param: &Param<'_>) -> Tensor {
    let rows = param.shape[0];
    let row = param.values.len() / rows.max(1);
    let mut shape = param.shape.to_vec();
    shape[0] = rows - 1;
    Tensor::new(&shape, param.values[row..].to_vec()).expect("one row fewer")
}
