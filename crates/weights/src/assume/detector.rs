//! What a detector's tensors do not tell: ports' conventions, anchors, input size.

use effigy_arch::{Anchors, EfficientDet, Network, Padding};

use super::NoModel;
use crate::detect::Found;
use crate::hint::Hint;
use crate::names::Family;
use crate::state_dict::StateDict;

/// The detector of a name, as the checkpoint's family has it.
pub(super) fn named(state: &StateDict, found: &Found, hint: &Hint, origin: &str) -> (Network, Vec<String>) {
    let Network::EfficientDet(detector) = &hint.network else { return (hint.network.clone(), Vec::new()) };
    let ports = found.ports(&hint.name, detector);
    let fitting = ports.iter().find(|port| found.is(state, &Network::from((*port).clone())));
    let detector = fitting.or(ports.first()).unwrap_or(detector);
    let reasons =
        vec![convention(found, detector), taken(detector, &format!("those of `{}`, {origin}", hint.name))];
    (found.fit(detector.clone().into()), reasons)
}

/// The first of the detectors that the checkpoint could be.
pub(super) fn unnamed(found: &Found, exact: &[Network]) -> (Network, Vec<String>) {
    let Network::EfficientDet(detector) = &exact[0] else { return (exact[0].clone(), Vec::new()) };
    let mut reasons = vec![convention(found, detector)];
    let mut others: Vec<&str> =
        exact.iter().map(Network::name).filter(|name| *name != detector.name).collect();
    others.dedup();
    if !others.is_empty() {
        reasons.push(format!(
            "{} is assumed, since {} has the same tensors and the file's name does not tell; name the model if it is not",
            detector.name,
            others.join(" and ")
        ));
    }
    reasons.push(taken(detector, "the variant's, assumed because no tensor tells"));
    (exact[0].clone(), reasons)
}

/// What the family does, and how that is known.
fn convention(found: &Found, detector: &EfficientDet) -> String {
    match found.place.family() {
        Family::Zylo117 => {
            "convention: zylo117's code always pools over zeros and pads like TensorFlow".to_owned()
        }
        Family::Effdet if detector.convention.spare_bias => {
            "convention: effdet's `tf_` models (SAME padding), told by the biases before BatchNorm".to_owned()
        }
        Family::Effdet => {
            let padding = match detector.convention.padding {
                Padding::Same => "SAME",
                Padding::Symmetric => "symmetric",
            };
            format!(
                "convention: effdet's natively trained models ({padding} padding), told by the lack of biases before BatchNorm"
            )
        }
        Family::TensorFlow => "convention: google/automl's code's".to_owned(),
        family => format!("convention: google/automl's, assumed since {family} names do not tell"),
    }
}

/// Input and anchors, and where they come from.
fn taken(detector: &EfficientDet, origin: &str) -> String {
    let [height, width] = detector.letterbox.size;
    let mean = detector.letterbox.normalisation.mean[0];
    format!(
        "input of {height}×{width} with mean {mean}, anchors from {} strides: {origin}; say so if it was trained with others",
        detector.anchors.base
    )
}

/// Whether it is known which anchors stand on every cell.
pub(super) fn check_anchors(network: &Network, found: usize, asked: Option<&Anchors>) -> Result<(), NoModel> {
    let usual = EfficientDet::from_name(network.name()).map_or(found, |detector| detector.anchors.per_cell());
    match asked.map(Anchors::per_cell) {
        Some(asked) if asked != found => Err(NoModel::AnchorCount { asked, found }),
        None if usual != found => {
            Err(NoModel::UnknownAnchors { model: network.name().to_owned(), found, usual })
        }
        _ => Ok(()),
    }
}
