//! What a run begins with: the network for its data, its parameters, and which of them are trained.

use std::collections::HashSet;
use std::path::Path;

use effigy_arch::{Anchors, EfficientDet, EfficientNet, Network, Normalisation, Preprocessing};
use effigy_weights::{LoadOptions, Loaded};

use crate::init::{self, Part, initial, norms, part, transfer};
use crate::{Config, Freeze, Parameters, Size, TrainError};

/// Gives published weights by a network's name.
pub type Fetch<'a> = dyn FnMut(&str) -> Result<Loaded, String> + 'a;

/// A network that is about to be trained.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) network: Network,
    pub(crate) parameters: Parameters,
    /// Where the parameters come from, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// The network that `config` asks for, with so many classes, and its first parameters.
pub(crate) fn begin(config: &Config, classes: usize, fetch: &mut Fetch<'_>) -> Result<Begun, TrainError> {
    let asked = Network::from_name(&config.model)?;
    let fetched = |name: &str, fetch: &mut Fetch<'_>| {
        fetch(name).map_err(|reason| TrainError::Fetch { model: name.to_owned(), reason })
    };
    let loaded = match (config.weights.as_str(), &asked) {
        ("scratch", _) => None,
        ("pretrained", _) | ("backbone", Network::EfficientNet(_)) => Some(fetched(&config.model, fetch)?),
        ("backbone", Network::EfficientDet(detector)) => Some(fetched(&detector.backbone.name, fetch)?),
        (file, _) => {
            // The name settles what no tensor tells, unless it is that of the other kind.
            let own = LoadOptions { model: Some(config.model.clone()), ..LoadOptions::default() };
            let path = Path::new(file);
            let loaded = effigy_weights::load(path, &own)
                .or_else(|_| effigy_weights::load(path, &LoadOptions::default()))?;
            Some(loaded)
        }
    };
    let from = if config.weights == "pretrained" || config.weights == "backbone" {
        "published weights".to_owned()
    } else {
        config.weights.clone()
    };
    let network = adapted(&asked, loaded.as_ref(), config, classes)?;
    let mut parameters = initial(&network, config.seed);
    let mut notes = Vec::new();
    match &loaded {
        None => notes.push(format!("{}: from scratch", network.name())),
        Some(loaded) => {
            let same_kind = matches!(
                (&network, &loaded.network),
                (Network::EfficientNet(_), Network::EfficientNet(_))
                    | (Network::EfficientDet(_), Network::EfficientDet(_))
            );
            let detector = matches!(network, Network::EfficientDet(_));
            let may_differ = |name: &str| match part(name) {
                Part::Backbone => false,
                Part::Pyramid => !same_kind,
                Part::Head => !same_kind || !detector || name.contains(".predict."),
            };
            let new = transfer(&mut parameters, &loaded.weights, may_differ)?;
            notes.push(format!("{} from {from}", loaded.network.name()));
            notes.extend(loaded.assumptions.iter().cloned());
            if !new.is_empty() {
                notes.push(format!("{} parameters are new: {}", new.len(), summary(&new)));
            }
        }
    }
    Ok(Begun { network, parameters, notes })
}

/// The first parts of names, each once.
fn summary(names: &[String]) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for name in names {
        let short = name.strip_suffix(".weight").or(name.strip_suffix(".bias")).unwrap_or(name);
        let part = short.split('.').next().unwrap_or_default();
        let part = if part == "head" { short } else { part };
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts.join(", ")
}

/// The network as its weights know it and the options want it.
fn adapted(
    asked: &Network,
    loaded: Option<&Loaded>,
    config: &Config,
    classes: usize,
) -> Result<Network, TrainError> {
    let other = |found: &str| {
        TrainError::conflict(format!(
            "{}: these weights are of {found}, and the model is {}",
            config.weights,
            asked.name()
        ))
    };
    match (asked, loaded.map(|loaded| &loaded.network)) {
        (Network::EfficientNet(network), None) => Ok(classifier(network.clone(), config, classes).into()),
        (Network::EfficientNet(network), Some(Network::EfficientNet(known)))
            if known.name == network.name =>
        {
            Ok(classifier(known.clone().with_top(network.top), config, classes).into())
        }
        (Network::EfficientDet(network), None) => Ok(detector(network.clone(), config, classes).into()),
        (Network::EfficientDet(network), Some(Network::EfficientDet(known)))
            if known.name == network.name =>
        {
            Ok(detector(known.clone(), config, classes).into())
        }
        (Network::EfficientDet(network), Some(Network::EfficientNet(known)))
            if known.name == network.backbone.name =>
        {
            // Pictures must be normalised as the backbone has learnt them.
            let Preprocessing { mean, std, .. } = known.preprocessing;
            let letterbox = network.letterbox.clone().with_normalisation(Normalisation { mean, std });
            let network = network.clone().with_backbone(known.clone()).with_letterbox(letterbox);
            Ok(detector(network, config, classes).into())
        }
        (_, Some(known)) => Err(other(known.name())),
    }
}

fn rates(network: EfficientNet, config: &Config) -> EfficientNet {
    EfficientNet {
        dropout: config.dropout.unwrap_or(network.dropout),
        drop_connect: config.drop_connect.unwrap_or(network.drop_connect),
        ..network
    }
}

fn classifier(network: EfficientNet, config: &Config, classes: usize) -> EfficientNet {
    let known = &network.preprocessing;
    let preprocessing = Preprocessing {
        size: config.size.map_or(known.size, |Size(size)| size),
        crop_pct: config.crop_pct.unwrap_or(known.crop_pct),
        ..known.clone()
    };
    rates(network, config).with_classes(classes).with_preprocessing(preprocessing)
}

/// The network as it is judged and saved, from the one that learns.
pub(crate) fn judged(network: Network, config: &Config) -> Result<Network, TrainError> {
    match (network, config.eval_size) {
        (network, None) => Ok(network),
        (Network::EfficientNet(network), Some(Size(size))) => {
            let preprocessing = Preprocessing { size, ..network.preprocessing.clone() };
            Ok(network.with_preprocessing(preprocessing).into())
        }
        (Network::EfficientDet(_), Some(_)) => Err(TrainError::conflict(
            "eval_size is a classifier's; a detector learns from whole pictures, too",
        )),
    }
}

fn detector(network: EfficientDet, config: &Config, classes: usize) -> EfficientDet {
    let Anchors { base, scales, ratios } = network.anchors.clone();
    let anchors = Anchors {
        base: config.anchor_base.unwrap_or(base),
        scales: config.anchor_scales.clone().unwrap_or(scales),
        ratios: config.anchor_ratios.clone().unwrap_or(ratios),
    };
    let backbone = rates(network.backbone.clone(), config);
    let network = network.with_classes(classes).with_anchors(anchors).with_backbone(backbone);
    match config.size {
        Some(Size([height, width])) => network.with_size(height, width),
        None => network,
    }
}

/// The names of parameters that stay as they are, BatchNorm's statistics among them.
pub(crate) fn frozen(config: &Config, network: &Network, parameters: &Parameters) -> HashSet<String> {
    let backbone = match network {
        Network::EfficientNet(network) => network,
        Network::EfficientDet(network) => &network.backbone,
    };
    let blocks = backbone.blocks();
    // The first part is the stem, the second the first stage.
    let stage = |name: &str| {
        let mut parts = name.split('.');
        match (parts.next(), parts.next().and_then(|index| index.parse::<usize>().ok())) {
            (Some("stem"), _) => Some(0),
            (Some("blocks"), Some(index)) => blocks.get(index).map(|block| block.stage + 1),
            _ => None,
        }
    };
    let is_frozen = |name: &str| {
        let whole = match config.freeze {
            Freeze::Nothing => false,
            Freeze::Backbone => init::part(name) == Part::Backbone,
            Freeze::AllButHead => init::part(name) != Part::Head,
        };
        whole || stage(name).is_some_and(|stage| stage < config.frozen_stages)
    };
    let names = parameters.slots().iter().map(|slot| slot.spec.name.clone());
    let mut frozen: HashSet<String> = names.filter(|name| is_frozen(name)).collect();
    if config.freeze_batch_norm {
        frozen.extend(norms(&network.graph()));
    }
    frozen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(name: &str) -> Result<Loaded, String> {
        Err(format!("{name} is not here"))
    }

    fn begun(options: &[(&str, &str)]) -> Begun {
        let mut config = Config { weights: "scratch".to_owned(), ..Config::default() };
        options.iter().for_each(|(name, text)| config.set_text(name, text).unwrap());
        begin(&config, 3, &mut none).unwrap()
    }

    #[test]
    fn options_change_the_network() {
        let options = [("size", "64x96"), ("dropout", "0.5"), ("drop_connect", "0"), ("crop_pct", "1")];
        let Network::EfficientNet(network) = begun(&options).network else { panic!("a classifier") };
        assert_eq!((network.classes, network.preprocessing.size), (3, [64, 96]));
        assert_eq!((network.dropout, network.drop_connect, network.preprocessing.crop_pct), (0.5, 0.0, 1.0));

        let config = |text: &str| {
            let mut config = Config::default();
            config.set_text("eval_size", text).unwrap();
            config
        };
        let judged = judged(Network::from(network), &config("72")).unwrap();
        assert_eq!(judged.size(), [72, 72]);

        let options = [("model", "efficientdet-d0"), ("anchor_base", "3"), ("anchor_ratios", "1,2")];
        let Network::EfficientDet(network) = begun(&options).network else { panic!("a detector") };
        assert_eq!((network.classes, network.anchors.base, network.anchors.per_cell()), (3, 3.0, 6));
        assert!(super::judged(network.into(), &config("72")).is_err());
    }

    #[test]
    fn parts_are_frozen_by_name() {
        let begun = begun(&[("model", "efficientdet-lite0")]);
        let frozen = |options: &[(&str, &str)]| {
            let mut config = Config::default();
            options.iter().for_each(|(name, text)| config.set_text(name, text).unwrap());
            super::frozen(&config, &begun.network, &begun.parameters)
        };
        let has = |frozen: &HashSet<String>, name: &str| frozen.contains(name);
        assert!(frozen(&[]).is_empty());
        let backbone = frozen(&[("freeze", "backbone")]);
        assert!(has(&backbone, "stem.bn.running_mean") && has(&backbone, "blocks.15.project.conv.weight"));
        assert!(!has(&backbone, "bifpn.0.0.bn.weight"));
        let head = frozen(&[("freeze", "all-but-head")]);
        assert!(has(&head, "bifpn.0.0.bn.weight") && !has(&head, "box.0.p3.bn.weight"));
        let stages = frozen(&[("frozen_stages", "2")]);
        assert!(
            has(&stages, "blocks.0.depthwise.conv.weight") && !has(&stages, "blocks.1.expand.conv.weight")
        );
        let norms = frozen(&[("freeze_batch_norm", "true")]);
        assert!(has(&norms, "class.0.p3.bn.running_var") && has(&norms, "stem.bn.weight"));
        assert!(!has(&norms, "stem.conv.weight"));
    }

    #[test]
    fn weights_of_another_network_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b0.safetensors");
        let from = begun(&[("model", "efficientnet-b0")]);
        crate::checkpoint::save(&path, &from.network, &from.parameters, &["a", "b", "c"].map(str::to_owned))
            .unwrap();
        let config = |model: &str| Config {
            model: model.to_owned(),
            weights: path.to_string_lossy().into_owned(),
            ..Config::default()
        };
        // As a classifier of other classes, and as the backbone of a detector.
        let classifier = begin(&config("efficientnet-b0"), 5, &mut none).unwrap();
        assert!(classifier.parameters.get("head.classifier.weight").unwrap().iter().all(|&w| w == 0.0));
        let detector = begin(&config("efficientdet-d0"), 5, &mut none).unwrap();
        let stem = "stem.conv.weight";
        assert_eq!(detector.parameters.get(stem), from.parameters.get(stem));
        assert!(detector.notes.iter().any(|note| note.ends_with("are new: resample, bifpn, class, box")));
        for model in ["efficientnet-b1", "efficientdet-d1"] {
            let error = begin(&config(model), 5, &mut none).unwrap_err().to_string();
            assert!(error.contains("efficientnet-b0") || error.contains("tensors"), "{error}");
        }
        let error = begin(&Config::default(), 5, &mut none).unwrap_err().to_string();
        assert_eq!(error, "efficientnet-lite0: efficientnet-lite0 is not here");
    }
}
