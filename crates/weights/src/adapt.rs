//! Changes to a network as it was asked for: its convention and sizes before loading; afterwards another
//! classifier, other input channels.

use effigy_arch::{EfficientDet, EfficientNet, Network, Preprocessing, Top};
use effigy_tensor::Tensor;

use crate::load::{ClassifierPolicy, LoadOptions, Loaded};
use crate::weights::{self, Param, Weights};

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
        /// Classes, input channels or pixels.
        what: &'static str,
    },
    /// Something that only classifiers have was to be changed.
    #[error("this is a detector; {what} can be changed only on a classifier")]
    Detector {
        /// What was to be changed.
        what: &'static str,
    },
    /// Something that only detectors have was to be changed.
    #[error("this is a classifier; {what} can be changed only on a detector")]
    Classifier {
        /// What was to be changed.
        what: &'static str,
    },
}

const CLASSIFIER: [&str; 2] = ["head.classifier.weight", "head.classifier.bias"];
const CLASS_HEAD: [&str; 2] = ["class.predict.pointwise.weight", "class.predict.pointwise.bias"];
const STEM: &str = "stem.conv.weight";

/// `network` with what the options settle before any tensor is compared.
pub(crate) fn as_asked(
    network: Network,
    options: &LoadOptions,
    reasons: &mut Vec<String>,
) -> Result<Network, CannotAdapt> {
    let mut note = |what: &str| reasons.push(format!("{what}: as asked for"));
    if options.size.is_some_and(|size| size.contains(&0)) {
        return Err(CannotAdapt::Zero { what: "pixels on a side" });
    }
    let network = match network {
        Network::EfficientNet(_) if options.anchors.is_some() => {
            return Err(CannotAdapt::Classifier { what: "anchors" });
        }
        Network::EfficientDet(_) if options.convention.is_some() => {
            return Err(CannotAdapt::Detector { what: "ε and padding" });
        }
        Network::EfficientDet(_) if options.preprocessing.is_some() => {
            return Err(CannotAdapt::Detector { what: "preprocessing" });
        }
        Network::EfficientNet(mut network) => {
            if let Some(convention) = options.convention {
                note("ε and padding");
                network = network.with_convention(convention);
            }
            if let Some(preprocessing) = &options.preprocessing {
                note("preprocessing");
                network = network.with_preprocessing(preprocessing.clone());
            }
            network.into()
        }
        Network::EfficientDet(mut network) => {
            if let Some(anchors) = &options.anchors {
                note("anchors");
                network = network.with_anchors(anchors.clone());
            }
            network.into()
        }
    };
    let Some([height, width]) = options.size else { return Ok(network) };
    note("input size");
    Ok(match network {
        Network::EfficientNet(network) => {
            let preprocessing = Preprocessing { size: [height, width], ..network.preprocessing.clone() };
            network.with_preprocessing(preprocessing).into()
        }
        Network::EfficientDet(network) => network.with_size(height, width).into(),
    })
}

/// Carries out a [`ClassifierPolicy`].
pub(crate) fn classifier(loaded: Loaded, policy: ClassifierPolicy) -> Result<Loaded, CannotAdapt> {
    let Loaded { network, weights, mut assumptions, labels, .. } = loaded;
    let changed = Changed { weights, labels };
    let (network, Changed { weights, labels }) = match network {
        Network::EfficientNet(network) => {
            let (network, changed) = of_classifier(network, changed, policy, &mut assumptions)?;
            (network.into(), changed)
        }
        Network::EfficientDet(network) => {
            let (network, changed) = of_detector(network, changed, policy, &mut assumptions)?;
            (network.into(), changed)
        }
    };
    Ok(Loaded { network, weights, assumptions, labels, ..loaded })
}

/// What depends on the classes, the network apart.
struct Changed {
    weights: Weights,
    labels: Option<Vec<String>>,
}

fn of_classifier(
    network: EfficientNet,
    before: Changed,
    policy: ClassifierPolicy,
    assumptions: &mut Vec<String>,
) -> Result<(EfficientNet, Changed), CannotAdapt> {
    let has_classifier = network.top == Top::Classifier;
    let classes = if has_classifier { network.classes } else { 0 };
    let Changed { weights, labels } = before;
    Ok(match policy {
        ClassifierPolicy::Keep => (network, Changed { weights, labels }),
        ClassifierPolicy::Drop => {
            assumptions.push("classifier: dropped, as asked for".to_owned());
            let weights = CLASSIFIER.iter().fold(weights, |weights, name| weights.without(name));
            (network.with_top(Top::Pooled), Changed { weights, labels: None })
        }
        ClassifierPolicy::Replace(0) => return Err(CannotAdapt::Zero { what: "classes" }),
        ClassifierPolicy::Replace(n) if n == classes => {
            assumptions.push(kept(n));
            (network, Changed { weights, labels })
        }
        ClassifierPolicy::Replace(n) => {
            let before =
                if has_classifier { format!("of {classes} classes") } else { "(there was none)".into() };
            assumptions.push(replaced(&before, n));
            let network = network.with_classes(n).with_top(Top::Classifier);
            let weights = with_initial(weights, &network.clone().into(), &CLASSIFIER);
            (network, Changed { weights, labels: None })
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
            (network.with_classes(classes - 1), Changed { weights, labels })
        }
    })
}

fn of_detector(
    network: EfficientDet,
    before: Changed,
    policy: ClassifierPolicy,
    assumptions: &mut Vec<String>,
) -> Result<(EfficientDet, Changed), CannotAdapt> {
    let classes = network.classes;
    match policy {
        ClassifierPolicy::Keep => Ok((network, before)),
        ClassifierPolicy::Drop => Err(CannotAdapt::Detector { what: "whether there is a classifier" }),
        ClassifierPolicy::DropBackground => Err(CannotAdapt::Detector { what: "the background class" }),
        ClassifierPolicy::Replace(0) => Err(CannotAdapt::Zero { what: "classes" }),
        ClassifierPolicy::Replace(n) if n == classes => {
            assumptions.push(kept(n));
            Ok((network, before))
        }
        ClassifierPolicy::Replace(n) => {
            assumptions.push(replaced(&format!("of {classes} classes"), n));
            let network = network.with_classes(n);
            let weights = with_initial(before.weights, &network.clone().into(), &CLASS_HEAD);
            Ok((network, Changed { weights, labels: None }))
        }
    }
}

fn kept(classes: usize) -> String {
    format!("classifier: kept, since it has the {classes} classes that were asked for")
}

fn replaced(before: &str, classes: usize) -> String {
    format!(
        "classifier: the one {before} is replaced by one of zeros for {classes}, which must be trained before use"
    )
}

/// `weights` with initial values for some parameters of `network`.
fn with_initial(weights: Weights, network: &Network, names: &[&str]) -> Weights {
    let specs = network.graph().param_specs().into_iter();
    let specs = specs.filter(|spec| names.contains(&spec.name.as_str()));
    specs.fold(weights, |weights, spec| weights.with(&spec.name, weights::initial(&spec.shape, spec.role)))
}

/// Carries out [`LoadOptions::in_channels`](crate::LoadOptions::in_channels).
pub(crate) fn stem(loaded: Loaded, channels: Option<usize>) -> Result<Loaded, CannotAdapt> {
    let before = loaded.network.in_channels();
    let Some(channels) = channels.filter(|&channels| channels != before) else { return Ok(loaded) };
    if channels == 0 {
        return Err(CannotAdapt::Zero { what: "input channels" });
    }
    let Loaded { network, weights, mut assumptions, .. } = loaded;
    assumptions.push(match channels {
        1 => format!("stem: the filters of its {before} channels are summed to 1"),
        _ => format!("stem: the filters of its {before} channels are repeated for {channels} and scaled by {before}/{channels}"),
    });
    let adapted = weights.get(STEM).map(|stem| stem_for(&stem, channels));
    let weights = match adapted {
        Some(tensor) => weights.with(STEM, tensor),
        None => weights,
    };
    let network = match network {
        Network::EfficientNet(network) => network.with_in_channels(channels).into(),
        Network::EfficientDet(network) => {
            let backbone = network.backbone.clone().with_in_channels(channels);
            network.with_backbone(backbone).into()
        }
    };
    Ok(Loaded { network, weights, assumptions, ..loaded })
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
