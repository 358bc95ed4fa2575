//! Names: canonical ones, and what effdet and zylo117 call the same detectors.

use super::{Anchors, DetectorConvention, EfficientDet, detector_variants};
use crate::names::near;
use crate::{Convention, Family, Fill, Letterbox, Normalisation, Padding, UnknownModel};

/// The detector called `name`; see [`EfficientDet::from_name`].
pub(super) fn resolve(name: &str) -> Result<EfficientDet, UnknownModel> {
    let found = canonical(name).or_else(|| zylo117(name)).or_else(|| effdet(name));
    found.ok_or_else(|| {
        let canonical = detector_variants().iter().map(|variant| variant.name.to_owned());
        let effdet =
            detector_variants().iter().map(|variant| format!("tf_{}", variant.name.replace('-', "_")));
        UnknownModel::Name { name: name.to_owned(), suggestions: near(name, canonical.chain(effdet)) }
    })
}

fn canonical(name: &str) -> Option<EfficientDet> {
    let variant = detector_variants().iter().find(|variant| variant.name == name)?;
    Some(EfficientDet::from_variant(variant))
}

/// `zylo117/efficientdet-d0`; its d8 is D7x.
fn zylo117(name: &str) -> Option<EfficientDet> {
    let name = match name.strip_prefix("zylo117/")? {
        "efficientdet-d8" => "efficientdet-d7x",
        name => name,
    };
    let detector = canonical(name).filter(|detector| detector.backbone.family == Family::V1)?;
    let letterbox = detector.letterbox.clone().as_zylo117();
    Some(detector.with_convention(DetectorConvention::ZYLO117).with_letterbox(letterbox))
}

/// effdet's names, but for the detectors on other backbones and of other topologies.
fn effdet(name: &str) -> Option<EfficientDet> {
    match name.strip_prefix("tf_") {
        Some(ported) => effdet_ported(ported),
        None => effdet_native(name),
    }
}

/// `efficientdet_d0` → D0, with effdet's letterbox
fn effdet_architecture(architecture: &str) -> Option<EfficientDet> {
    if architecture.contains('-') {
        return None;
    }
    let detector = canonical(&architecture.replace('_', "-"))?;
    let letterbox = detector.letterbox.clone().as_effdet();
    Some(detector.with_letterbox(letterbox))
}

/// TensorFlow's weights: effdet's `tf_` models, named without the `tf_`.
fn effdet_ported(name: &str) -> Option<EfficientDet> {
    let (architecture, adversarial) = match name.strip_suffix("_ap") {
        Some(architecture) => (architecture, true),
        None => (name, false),
    };
    let detector = effdet_architecture(architecture)?.with_convention(DetectorConvention::EFFDET_PORTED);
    let letterbox = detector.letterbox.clone().with_normalisation(Normalisation::HALF);
    let letterbox = match (detector.name.as_str(), adversarial) {
        (_, false) if detector.backbone.family == Family::Lite => letterbox,
        (_, false) => return Some(detector),
        ("efficientdet-d6" | "efficientdet-d7" | "efficientdet-d7x", true) => return None,
        (_, true) if detector.backbone.family == Family::V1 => Letterbox { fill: Fill::Black, ..letterbox },
        _ => return None,
    };
    Some(detector.with_letterbox(letterbox))
}

/// The models of effdet's own on timm's native backbones, as its `model_config.py` has them: D0 … D3 by
/// its native convention; D4, D5 and Lite0 keep part of TensorFlow's, and have no published weights.
fn effdet_native(name: &str) -> Option<EfficientDet> {
    let detector = effdet_architecture(name)?;
    let backbone = detector.backbone.clone().with_convention(Convention::TIMM_NATIVE);
    let detector = detector.with_backbone(backbone);
    match name {
        "efficientdet_d0" | "efficientdet_d1" | "efficientdet_d2" | "efficientdet_d3" => {
            Some(detector.with_convention(DetectorConvention::EFFDET_NATIVE))
        }
        "efficientdet_d4" | "efficientdet_d5" => {
            Some(detector.with_convention(DetectorConvention::EFFDET_PORTED))
        }
        "efficientdet_lite0" => {
            let convention =
                DetectorConvention { padding: Padding::Same, ..DetectorConvention::EFFDET_NATIVE };
            let anchors = Anchors { base: 4.0, ..detector.anchors.clone() };
            let letterbox = Letterbox::square(384, Normalisation::IMAGENET).as_effdet();
            let detector = detector.with_anchors(anchors).with_letterbox(letterbox);
            Some(EfficientDet {
                fusion: EfficientDet::FAST_ATTENTION,
                ..detector.with_convention(convention)
            })
        }
        _ => None,
    }
}
