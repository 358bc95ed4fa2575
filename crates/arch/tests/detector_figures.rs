//! Parameters, operations and anchors of every published detector, against what is published.

use std::collections::HashSet;

use effigy_arch::{Activation, EfficientDet, Fusion, Graph, Node, Op, ParamRole, detector_variants};

fn detector(name: &str) -> EfficientDet {
    EfficientDet::from_name(name).unwrap_or_else(|error| panic!("{error}"))
}

/// google/automl's `efficientdet_arch_test.py` for all but D7x, whose README says 77.0M; effdet's D7x has
/// our count to the last digit.
#[test]
fn every_variant_has_its_published_parameters() {
    for variant in detector_variants() {
        let graph = EfficientDet::from_variant(variant).graph();
        assert_eq!(graph.param_count(), variant.published.params, "{}", variant.name);
    }
}

/// effdet's counts: its native models have no spare biases, and its Lite0 weighs what it fuses.
#[test]
fn effdet_counts() {
    let figures = [
        ("efficientdet_d0", 3_877_763),
        ("efficientdet_d1", 6_622_026),
        ("efficientdet_d2", 8_091_215),
        ("efficientdet_d3", 12_022_376),
        ("efficientdet_d4", 20_723_675),
        ("efficientdet_d5", 33_653_315),
        ("efficientdet_lite0", 3_241_223),
    ];
    for (name, params) in figures {
        assert_eq!(detector(name).graph().param_count(), params, "{name}");
    }
    assert_eq!(detector("tf_efficientdet_d0").with_classes(7).graph().param_count(), 3_831_512);
}

/// What TensorFlow's profiler counts of a node, in single operations. It knows convolutions, biases, means,
/// maxima, products, quotients and sums of lists, but no BatchNorm, no sigmoid, no ReLU and (as `AddV2`) no
/// sum of two. Swish has two products there: β · x and the gate.
fn profiled(node: &Node, read: u64, written: u64) -> u64 {
    match node.op {
        Op::Conv(conv) => {
            let taps = conv.inputs / conv.groups * conv.kernel * conv.kernel;
            written * (2 * taps as u64 + u64::from(conv.bias))
        }
        Op::Activation(Activation::Swish) => 2 * written,
        Op::GlobalAveragePool => read,
        Op::Scale => written,
        Op::MaxPool { kernel, .. } => (kernel * kernel) as u64 * written,
        Op::WeightedSum { inputs, fusion: Fusion::Sum } => (inputs as u64 - 1) * written,
        Op::WeightedSum { inputs, fusion: Fusion::FastAttention { .. } } => {
            // A product and a quotient for each input, their sum, and that of the weights.
            let inputs = inputs as u64;
            (3 * inputs - 1) * written + inputs - 1
        }
        _ => 0,
    }
}

/// google/automl's `num_params_flops`: half of what the profiler counts, which also finds the graph that
/// initialises the kernels: one product a value, and one difference a kernel drawn from a uniform
/// distribution (those between backbone and heads).
fn official_operations(graph: &Graph, height: usize, width: usize) -> u64 {
    let extents = graph.extents(height, width);
    let values = |id: usize| (extents[id].height * extents[id].width * extents[id].channels) as u64;
    let mut kernels = HashSet::new();
    let mut count = 0;
    for (id, node) in graph.iter() {
        count += profiled(node, node.inputs.first().map_or(0, |input| values(input.0)), values(id.0));
        if matches!(node.op, Op::Conv(_)) && kernels.insert(&node.params) {
            let specs = node.param_specs();
            let kernel = specs.iter().find(|spec| spec.role == ParamRole::Weight).expect("a kernel");
            count += kernel.shape.iter().product::<usize>() as u64;
            count += u64::from(node.name.starts_with("resample.") || node.name.starts_with("bifpn."));
        }
    }
    count / 2
}

#[test]
fn operations_equal_the_official_count() {
    for variant in detector_variants() {
        let graph = EfficientDet::from_variant(variant).graph();
        let operations = official_operations(&graph, variant.size, variant.size);
        match variant.published.operations {
            Some(published) => assert_eq!(operations, published, "{}", variant.name),
            // Its README, which printed D0's as 2.54B, has 410B.
            None => assert_eq!(operations, 411_024_006_551, "{}", variant.name),
        }
    }
}

#[test]
fn operations_of_odd_and_rectangular_inputs_equal_the_official_count() {
    assert_eq!(official_operations(&detector("efficientdet-d0").graph(), 511, 513), 2_628_615_337);
    assert_eq!(official_operations(&detector("efficientdet-d1").graph(), 640, 1280), 12_263_120_287);
}

/// The multiply-accumulates alone, as they are summed over effdet's modules.
#[test]
fn multiply_accumulates_equal_effdets() {
    let figures = [
        ("tf_efficientdet_d0", 512, 512, 2_492_331_520),
        ("tf_efficientdet_d0", 511, 513, 2_569_214_720),
        ("tf_efficientdet_d1", 640, 640, 6_003_416_880),
        ("tf_efficientdet_d6", 1280, 1280, 224_121_477_984),
        ("tf_efficientdet_lite0", 320, 320, 973_589_696),
    ];
    for (name, height, width, macs) in figures {
        assert_eq!(detector(name).graph().macs(height, width), macs, "{name} at {height}×{width}");
    }
}

#[test]
fn anchors_are_counted_as_published() {
    let figures = [
        ("efficientdet-d0", 49_104),
        ("efficientdet-d1", 76_725),
        ("efficientdet-d2", 110_484),
        ("efficientdet-d3", 150_381),
        ("efficientdet-d4", 196_416),
        ("efficientdet-d5", 306_900),
        ("efficientdet-d6", 306_900),
        ("efficientdet-d7", 441_936),
        ("efficientdet-d7x", 442_260),
    ];
    for (name, count) in figures {
        let detector = detector(name);
        let [height, width] = detector.letterbox.size;
        assert_eq!(detector.anchor_boxes(height, width).len(), count, "{name}");
        assert_eq!(detector.anchors.count(detector.levels(), height, width), count, "{name}");
    }
}
