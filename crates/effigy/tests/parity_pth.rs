//! effigy against PyTorch on whole tensors, layer by layer, through a real .pth file.
//!
//! `scripts/parity/run.py` makes the files and calls this test once per network. `EFFIGY_PARITY_MODEL`
//! is the network's name, `EFFIGY_PARITY` a folder with `weights.pth` and `expected.safetensors`. That
//! holds `0.input` and `0.logits` (and 1, 2), `layers.input`, and for the k-th layer with parameters
//! `layer.k`, or `layer.k.act` where PyTorch's BatchNorm includes the activation.

mod whole;

use std::env;
use std::path::Path;

use effigy_arch::{Graph, Node, Op};
use effigy_engine::{Model, Options};
use effigy_weights::{LoadOptions, StoredTensor};
use whole::{TOLERANCE, difference, tensor};

/// The node of the layer called `layer.k` or `layer.k.act`.
fn node<'g>(graph: &'g Graph, layer: &str) -> &'g Node {
    let place = layer.trim_start_matches("layer.").trim_end_matches(".act");
    let place: usize = place.parse().expect("a layer's number");
    let mut with_parameters = graph.iter().filter(|(_, node)| !node.param_specs().is_empty());
    let (id, found) = with_parameters.nth(place).expect("as many layers as PyTorch's");
    let activates = |node: &&Node| matches!(node.op, Op::Activation(_)) && node.inputs == [id];
    match layer.ends_with(".act") {
        true => graph.nodes.iter().find(activates).expect("an activation after this BatchNorm"),
        false => found,
    }
}

#[test]
fn a_checkpoint_computes_what_pytorch_computes() {
    let (Ok(folder), Ok(name)) = (env::var("EFFIGY_PARITY"), env::var("EFFIGY_PARITY_MODEL")) else {
        println!("skipped: scripts/parity/run.py sets EFFIGY_PARITY and EFFIGY_PARITY_MODEL");
        return;
    };
    let folder = Path::new(&folder);
    let options = LoadOptions { model: Some(name), ..LoadOptions::default() };
    let loaded = effigy_weights::load(&folder.join("weights.pth"), &options).expect("loads");
    let expected = effigy_weights::read(&folder.join("expected.safetensors")).expect("reads");
    let (graph, weights) = (loaded.network.graph(), loaded.weights.to_tensors());
    let mut failures = Vec::new();
    let mut compare = |what: &str, share: f32| {
        if share.is_nan() || share > TOLERANCE {
            failures.push(format!("{what}: {share:.1e}"));
        }
        share
    };

    let model = Model::new(&graph, &weights, &Options::default()).expect("compiles");
    let mut logits = 0.0_f32;
    for case in 0..3 {
        let results = model.run(&tensor(&expected, &format!("{case}.input"))).expect("runs");
        let name = format!("{case}.logits");
        logits = logits.max(compare(&name, difference(&tensor(&expected, &name), &results[0])));
    }

    let names: Vec<&str> =
        expected.tensors().iter().map(StoredTensor::name).filter(|name| name.starts_with("layer.")).collect();
    let count = graph.nodes.iter().filter(|node| !node.param_specs().is_empty()).count();
    assert_eq!(names.len(), count, "every layer with parameters is compared");
    let taps: Vec<String> = names.iter().map(|name| node(&graph, name).name.clone()).collect();
    let model = Model::new(&graph, &weights, &Options { taps: taps.clone(), ..Options::default() });
    let results = model.expect("compiles").run(&tensor(&expected, "layers.input")).expect("runs");
    let mut layers = 0.0_f32;
    for ((name, tap), result) in names.iter().zip(&taps).zip(&results[graph.outputs.len()..]) {
        layers = layers.max(compare(tap, difference(&tensor(&expected, name), result)));
    }
    println!("logits {logits:.1e}, {count} layers {layers:.1e} of the range at most");
    assert!(failures.is_empty(), "differ by more than {TOLERANCE:e}:\n{}", failures.join("\n"));
}

#[test]
fn layers_are_nodes() {
    let graph = effigy_arch::EfficientNet::from_name("tf_efficientnet_b0").expect("known").graph();
    assert_eq!(node(&graph, "layer.0").name, "stem.conv");
    assert_eq!(node(&graph, "layer.1.act").name, "stem.act");
}
