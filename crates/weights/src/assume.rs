//! Which network a checkpoint holds, and what has to be assumed because no tensor tells.

use std::path::Path;

use effigy_arch::{Convention, EfficientNet, Network, Normalisation, UnknownModel};

use crate::card::{self, BadCard};
use crate::check::Differences;
use crate::detect::{self, Found};
use crate::hint::{self, Hint};
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
        "no published variant has these tensors; the nearest is {name}, which differs by{differences}\n(name the model if it is not a published one: `efficientnet-w1.2-d1.4-r300`)"
    )]
    NoVariant {
        /// The variant that differs least.
        name: String,
        /// How it differs.
        differences: Differences,
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
    asked: Option<&str>,
) -> Result<Assumed, NoModel> {
    if let Some(name) = asked {
        let model = EfficientNet::from_name(name)?;
        let reason = format!("model {}: asked for as `{name}`", model.name);
        let hint = Hint { name: name.to_owned(), model: model.clone(), advprop: false };
        let (model, reasons) = conventions(found, &model, Some(&hint), "as asked for");
        return Ok(Assumed { network: model.into(), reasons: prepend(reason, reasons), labels: None });
    }
    if found.family == Family::Effigy
        && let Some(json) = state.metadata().get(card::KEY)
    {
        let (network, labels) = card::parse(json)?;
        let reasons = vec![format!("model {}: the file says so, and its preprocessing too", network.name())];
        return Ok(Assumed { network, reasons, labels });
    }
    let (model, differences) = detect::variant(state, found).ok_or(NoModel::NoneComparable)?;
    if !differences.is_empty() {
        return Err(NoModel::NoVariant { name: model.name, differences });
    }
    let reason = format!("model {}: all shapes are those of this variant", model.name);
    let hint = hint::from_path(path);
    let fitting = hint.as_ref().filter(|hint| hint.model.name == model.name);
    let (model, mut reasons) = conventions(found, &model, fitting, "from the file's name");
    if let Some(hint) = hint.filter(|hint| hint.model.name != model.name) {
        reasons
            .push(format!("the file's name says `{}`, which its tensors contradict; they decide", hint.name));
    }
    Ok(Assumed { network: model.into(), reasons: prepend(reason, reasons), labels: None })
}

fn prepend(first: String, mut rest: Vec<String>) -> Vec<String> {
    rest.insert(0, first);
    rest
}

/// ε, padding and preprocessing of a family's network. `origin` says where the hint comes from.
fn conventions(
    found: &Found,
    model: &EfficientNet,
    hint: Option<&Hint>,
    origin: &str,
) -> (EfficientNet, Vec<String>) {
    let plain = EfficientNet::from_name(&model.name).unwrap_or_else(|_| model.clone());
    match (found.family, hint) {
        (Family::Timm | Family::Effigy, Some(hint)) => {
            let reason = format!("ε, padding and preprocessing: those of `{}`, {origin}", hint.name);
            (hint.model.clone(), vec![reason])
        }
        (Family::Timm, None) => {
            // What timm's port of TensorFlow's weights does is what its name without a tag says.
            let ported = EfficientNet::from_name(&timm_ported(&model.name)).unwrap_or(plain);
            let reason = "ε 1e-3, SAME padding and preprocessing: those of timm's `tf_` weights, assumed because \
                          neither the tensors nor the file's name tell them from natively trained ones (ε 1e-5, \
                          symmetric padding); name the model, such as `efficientnet_b0`, if they are";
            (ported, vec![reason.to_owned()])
        }
        (Family::Torchvision, _) => {
            let name = format!("torchvision/{}", model.name.replace('-', "_").replace("tv2_", "t_v2_"));
            let reason = format!("ε, padding and preprocessing: torchvision's for {}", model.name);
            let model = EfficientNet::from_name(&name)
                .unwrap_or_else(|_| plain.with_convention(Convention::TORCHVISION_V2));
            (model, vec![reason])
        }
        (Family::Lukemelas, Some(hint)) if hint.advprop => {
            let preprocessing = plain.preprocessing.clone().with_normalisation(Normalisation::HALF);
            let reason = format!("preprocessing: AdvProp's (2x − 1), {origin}");
            (plain.with_preprocessing(preprocessing), vec![reason])
        }
        (Family::Lukemelas, _) => {
            let reason = "ε 1e-3 and SAME padding: lukemelas' code always; preprocessing: the variant's usual one, \
                          assumed because the file is not named like an AdvProp checkpoint (`adv-…`)";
            (plain, vec![reason.to_owned()])
        }
        (Family::Effigy, None) => {
            let reason = "ε, padding and preprocessing: TensorFlow's, assumed because the file does not say";
            (plain, vec![reason.to_owned()])
        }
    }
}

/// `efficientnet-edgetpu-s` → `tf_efficientnet_es`, `efficientnetv2-s` → `tf_efficientnetv2_s`
fn timm_ported(canonical: &str) -> String {
    format!("tf_{}", canonical.replace("edgetpu-", "e").replace('-', "_"))
}
