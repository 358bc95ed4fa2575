//! Names and shapes against those that each project's own code builds.

use effigy_arch::Network;

use super::{Family, Place, SCHEMES};
use crate::hub;

/// 64-bit FNV-1a.
fn fnv1a(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Every name with its shape, sorted, one a line; and how many there are.
fn listing(place: &Place, network: &Network) -> (usize, String) {
    let names = place.names(network).expect("the family has the network");
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    for spec in network.graph().param_specs() {
        let stored = names.get(&spec.name).expect("every parameter has a name");
        let shape: Vec<String> =
            stored.layout.stored_shape(&spec.shape).iter().map(usize::to_string).collect();
        lines.extend(stored.names.iter().map(|name| (name.clone(), shape.clone())));
    }
    lines.sort();
    let text = lines.iter().map(|(name, shape)| format!("{name} {}\n", shape.join("x"))).collect();
    (lines.len(), text)
}

/// Every tensor of every published model, by name and shape: `names.tsv` has what the projects' own code
/// builds, without what [`Scheme::ignores`](super::Scheme).
#[test]
fn names_and_shapes_are_those_of_each_project() {
    let table = include_str!("../../tests/golden/names.tsv");
    let mut differ = String::new();
    for line in table.lines() {
        let [family, name, count, hash] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("four columns expected: {line}")
        };
        let network = Network::from_name(&match family {
            "torchvision" | "zylo117" => format!("{family}/{name}"),
            _ => name.to_owned(),
        });
        let schemes = SCHEMES.into_iter().filter(|scheme| scheme.family.to_string() == family);
        let found = schemes.map(|scheme| listing(&Place::whole(scheme), network.as_ref().unwrap()));
        let expected = (count.parse::<usize>().unwrap(), hash.to_owned());
        if !found.into_iter().any(|(count, text)| (count, format!("{:016x}", fnv1a(&text))) == expected) {
            differ += &format!("{line}\n");
        }
    }
    assert!(differ.is_empty(), "{differ}");
    assert_eq!(table.lines().count(), 74 + 9 + 25);
}

/// The same for TensorFlow's, whose names start with the network's: `scripts/parity/make_tensorflow.py`
/// wrote the table.
#[test]
fn names_and_shapes_are_those_of_tensorflow() {
    let table = include_str!("../../tests/golden/tensorflow/names.tsv");
    for line in table.lines() {
        let [name, count, hash] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("three columns expected: {line}")
        };
        let network = match Network::from_name(&name.to_lowercase()).unwrap() {
            // The only ones with a class for the background.
            Network::EfficientNet(model) if name.contains("edgetpu") => model.with_classes(1001).into(),
            network => network,
        };
        let scope = match &network {
            Network::EfficientNet(_) => name,
            Network::EfficientDet(detector) => &detector.backbone.name,
        };
        let found = SCHEMES.into_iter().filter(|scheme| scheme.family == Family::TensorFlow).map(|scheme| {
            let (count, text) =
                listing(&Place { backbone: format!("{scope}/"), ..Place::whole(scheme) }, &network);
            (count, format!("{:016x}", fnv1a(&text)))
        });
        let expected = (count.parse::<usize>().unwrap(), hash.to_owned());
        assert!(found.into_iter().any(|found| found == expected), "{line}");
    }
    assert_eq!(table.lines().count(), 9);
}

#[test]
fn every_published_checkpoint_has_its_network() {
    for checkpoint in hub::checkpoints() {
        let network = checkpoint.network();
        if let Network::EfficientNet(network) = network
            && checkpoint.name.ends_with("advprop")
        {
            assert_eq!(network.preprocessing.mean[0], 0.5, "{}", checkpoint.name);
        }
    }
}
