//! Which network a checkpoint holds, and what has to be assumed because no tensor tells.

mod detector;

use std::path::Path;

use effigy_arch::{Convention, EfficientNet, Network, Normalisation, UnknownModel};

use crate::card::{self, BadCard};
use crate::check::Differences;
use crate::detect::{self, Found, FoundTop, Variants};
use crate::hint::{self, Hint};
use crate::load::LoadOptions;
use crate::names::Family;
use crate::state_dict::StateDict;

/// A network, why it was taken to be that one, and the labels that the file has for its classes.
#[derive(Debug)]
pub(crate) struct Assumed {
    pub(crate) network: Network,
    pub(crate) reasons: Vec<String>,
    pub(crate) labels: Option<Vec<String>>,
}

/// Why no network was settled on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NoModel {
    /// The name that was asked for is none.
    #[error(transparent)]
    Unknown(#[from] UnknownModel),
    /// effigy's own description of the network is damaged or too new.
    #[error(transparent)]
    Card(#[from] BadCard),
    /// No published variant fits.
    #[error(
        "no published variant has these tensors; the nearest is {name}, which differs by{differences}\n({advice})"
    )]
    NoVariant {
        /// The variant that differs least.
        name: String,
        /// How it differs.
        differences: Box<Differences>,
        /// What can be done.
        advice: &'static str,
    },
    /// The boxes' prediction tells how many anchors there are on every cell, but not which.
    #[error(
        "every cell has {found} anchors, where {model} has {usual}; give the scales and the ratios with which the \
         detector was trained"
    )]
    UnknownAnchors {
        /// The network.
        model: String,
        /// The checkpoint's anchors on every cell.
        found: usize,
        /// The network's.
        usual: usize,
    },
    /// The anchors that were asked for are not as many as the checkpoint's.
    #[error("{asked} anchors on every cell were asked for, but the checkpoint has {found}")]
    AnchorCount {
        /// Scales times ratios that were asked for.
        asked: usize,
        /// The checkpoint's anchors on every cell.
        found: usize,
    },
    /// The family has no networks that could be compared.
    #[error("no network that effigy knows has names like these")]
    NoneComparable,
}

/// Settles on the network: the one asked for, else the one that effigy wrote down in the file, else
/// the published variant with these shapes. What shapes cannot tell comes from the file's name, or
/// is what the family does by default; `reasons` says which.
pub(crate) fn network(
    state: &StateDict,
    found: &Found,
    path: &Path,
    options: &LoadOptions,
) -> Result<Assumed, NoModel> {
    let assumed = match &options.model {
        Some(name) => asked(state, found, name)?,
        None => match state.metadata().get(card::KEY).filter(|_| found.place.family() == Family::Effigy) {
            Some(json) => return described(json),
            None => recognised(state, found, path)?,
        },
    };
    if let FoundTop::Heads { anchors_per_cell: Some(found), .. } = found.top {
        detector::check_anchors(&assumed.network, found, options.anchors.as_ref())?;
    }
    Ok(assumed)
}

/// The network of a name that was asked for.
fn asked(state: &StateDict, found: &Found, name: &str) -> Result<Assumed, NoModel> {
    let network = Network::from_name(name)?;
    let reason = format!("model {}: asked for as `{name}`", network.name());
    let hint = Hint { name: name.to_owned(), network, advprop: false };
    let (network, reasons) = match &hint.network {
        Network::EfficientNet(model) => conventions(found, model, Some((&hint, model)), "as asked for"),
        Network::EfficientDet(_) => detector::named(state, found, &hint, "as asked for"),
    };
    Ok(Assumed { network, reasons: prepend(reason, reasons), labels: None })
}

/// The network that the file's card describes.
fn described(json: &str) -> Result<Assumed, NoModel> {
    let (network, labels) = card::parse(json)?;
    let reasons = vec![format!("model {}: the file says so, and its preprocessing too", network.name())];
    Ok(Assumed { network, reasons, labels })
}

/// The published variant with the file's names and shapes.
fn recognised(state: &StateDict, found: &Found, path: &Path) -> Result<Assumed, NoModel> {
    let exact = match detect::published(state, found).ok_or(NoModel::NoneComparable)? {
        Variants::Exact(networks) => networks,
        Variants::Nearest(nearest) => {
            let (network, differences) = *nearest;
            return Err(NoModel::NoVariant {
                advice: advice(&network),
                name: network.name().to_owned(),
                differences: Box::new(differences),
            });
        }
    };
    let hint = hint::from_path(path);
    let fitting =
        hint.as_ref().filter(|hint| exact.iter().any(|network| network.name() == hint.network.name()));
    let (network, mut reasons) = match (&exact[0], fitting.map(|hint| (hint, &hint.network))) {
        (Network::EfficientNet(model), Some((hint, Network::EfficientNet(hinted)))) => {
            conventions(found, model, Some((hint, hinted)), "from the file's name")
        }
        (Network::EfficientNet(model), _) => conventions(found, model, None, ""),
        (Network::EfficientDet(_), Some((hint, _))) => {
            detector::named(state, found, hint, "from the file's name")
        }
        (Network::EfficientDet(_), None) => detector::unnamed(found, &exact),
    };
    if let Some(hint) = hint.as_ref().filter(|_| fitting.is_none()) {
        reasons
            .push(format!("the file's name says `{}`, which its tensors contradict; they decide", hint.name));
    }
    let reason = format!("model {}: all shapes are those of this variant", network.name());
    Ok(Assumed { network, reasons: prepend(reason, reasons), labels: None })
}

/// What can be done where no variant fits.
fn advice(network: &Network) -> &'static str {
    match network {
        Network::EfficientNet(_) => {
            "name the model if it is not a published one: `efficientnet-w1.2-d1.4-r300`"
        }
        Network::EfficientDet(_) => {
            "EfficientDet D0 to D7x and Lite0 to Lite4 are known, with any classes, anchors and input size"
        }
    }
}

fn prepend(first: String, mut rest: Vec<String>) -> Vec<String> {
    rest.insert(0, first);
    rest
}

/// ε, padding and preprocessing of a family's network. `origin` says where the hint comes from.
fn conventions(
    found: &Found,
    model: &EfficientNet,
    hint: Option<(&Hint, &EfficientNet)>,
    origin: &str,
) -> (Network, Vec<String>) {
    let plain = EfficientNet::from_name(&model.name).unwrap_or_else(|_| model.clone());
    let (model, reason) = match (found.place.family(), hint) {
        (Family::Timm | Family::Effigy, Some((hint, hinted))) => {
            let reason = format!("ε, padding and preprocessing: those of `{}`, {origin}", hint.name);
            (hinted.clone(), reason)
        }
        (Family::Timm, None) => {
            // What timm's port of TensorFlow's weights does is what its name without a tag says.
            let ported = EfficientNet::from_name(&timm_ported(&model.name)).unwrap_or(plain);
            let reason = "ε 1e-3, SAME padding and preprocessing: those of timm's `tf_` weights, assumed because \
                          neither the tensors nor the file's name tell them from natively trained ones (ε 1e-5, \
                          symmetric padding); name the model, such as `efficientnet_b0`, if they are";
            (ported, reason.to_owned())
        }
        (Family::Torchvision, _) => {
            let name = format!("torchvision/{}", model.name.replace('-', "_").replace("tv2_", "t_v2_"));
            let reason = format!("ε, padding and preprocessing: torchvision's for {}", model.name);
            let model = EfficientNet::from_name(&name)
                .unwrap_or_else(|_| plain.with_convention(Convention::TORCHVISION_V2));
            (model, reason)
        }
        (Family::Lukemelas, Some((hint, _))) if hint.advprop => {
            let preprocessing = plain.preprocessing.clone().with_normalisation(Normalisation::HALF);
            let reason = format!("preprocessing: AdvProp's (2x − 1), {origin}");
            (plain.with_preprocessing(preprocessing), reason)
        }
        (Family::TensorFlow, hint) => {
            let advprop = hint.filter(|(hint, _)| hint.advprop);
            let normalisation = advprop.map(|_| Normalisation::HALF);
            let preprocessing = plain.preprocessing.clone();
            let preprocessing = match normalisation {
                Some(half) => preprocessing.with_normalisation(half),
                None => preprocessing,
            };
            let whose = if advprop.is_some() {
                "AdvProp's (2x − 1), from the file's path"
            } else {
                "the variant's usual one"
            };
            let reason = format!("ε 1e-3 and SAME padding: TensorFlow's code always; preprocessing: {whose}");
            (plain.with_preprocessing(preprocessing), reason)
        }
        // zylo117's and effdet's files hold detectors only, so that no network of this kind gets here.
        (Family::Lukemelas | Family::Zylo117 | Family::Effdet, _) => {
            let reason = "ε 1e-3 and SAME padding: lukemelas' code always; preprocessing: the variant's usual one, \
                          assumed because the file is not named like an AdvProp checkpoint (`adv-…`)";
            (plain, reason.to_owned())
        }
        (Family::Effigy, None) => {
            let reason = "ε, padding and preprocessing: TensorFlow's, assumed because the file does not say";
            (plain, reason.to_owned())
        }
    };
    (model.into(), vec![reason])
}

/// `efficientnet-edgetpu-s` → `tf_efficientnet_es`, `efficientnetv2-s` → `tf_efficientnetv2_s`
fn timm_ported(canonical: &str) -> String {
    format!("tf_{}", canonical.replace("edgetpu-", "e").replace('-', "_"))
}
