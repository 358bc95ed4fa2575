//! What holds for every graph, and the rules that graphs are built by.

use std::collections::HashSet;

use effigy_arch::{
    BlockKind, Conv, Convention, EfficientNet, Family, Graph, Op, Padding, ParamRole, Top, variants,
};

fn every_network() -> impl Iterator<Item = EfficientNet> {
    let published = variants().iter().map(EfficientNet::from_variant);
    published.chain([-2.0, 0.0, 1.7].map(EfficientNet::compound)).flat_map(|network| {
        [Top::Classifier, Top::Pooled, Top::Features].map(|top| network.clone().with_top(top))
    })
}

#[test]
fn graphs_are_topological_with_unique_names_and_one_input() {
    for network in every_network() {
        let graph = network.graph();
        let mut names = HashSet::new();
        let mut read = HashSet::new();
        for (id, node) in graph.iter() {
            assert!(names.insert(&node.name), "{}: {} twice", network.name, node.name);
            assert!(node.inputs.iter().all(|input| *input < id), "{}: {}", network.name, node.name);
            assert_eq!(matches!(node.op, Op::Input { .. }), id.0 == 0, "{}", node.name);
            read.extend(node.inputs.iter().copied());
        }
        let unread: Vec<_> = graph.iter().map(|(id, _)| id).filter(|id| !read.contains(id)).collect();
        assert_eq!(unread, graph.outputs, "{}: nothing is computed in vain", network.name);
    }
}

/// Every operation's own channel counts are those of what it reads.
#[test]
fn channels_agree_from_node_to_node() {
    for network in every_network() {
        let graph = network.graph();
        let extents = graph.extents(65, 97);
        for node in &graph.nodes {
            let read: Vec<_> = node.inputs.iter().map(|id| extents[id.0]).collect();
            match node.op {
                Op::Conv(Conv { inputs, .. }) | Op::Linear { inputs, .. } => {
                    assert_eq!(read[0].channels, inputs, "{}", node.name);
                }
                Op::BatchNorm { channels, .. } => assert_eq!(read[0].channels, channels, "{}", node.name),
                Op::Add => assert_eq!(read[0], read[1], "{}", node.name),
                Op::Scale => {
                    assert_eq!(read[0].channels, read[1].channels, "{}", node.name);
                    assert_eq!((read[1].height, read[1].width), (1, 1), "{}", node.name);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn tops_end_where_they_say() {
    let last = |top| {
        let graph = EfficientNet::from_name("efficientnet-b0").expect("known").with_top(top).graph();
        graph.node(graph.outputs[0]).name.clone()
    };
    assert_eq!(last(Top::Classifier), "head.classifier");
    assert_eq!(last(Top::Pooled), "head.pool");
    assert_eq!(last(Top::Features), "head.act");
}

#[test]
fn parameters_have_canonical_names_and_pytorch_shapes() {
    let graph = EfficientNet::from_name("efficientnet-b0").expect("known").graph();
    let specs = graph.param_specs();
    let shape = |name: &str| {
        let spec = specs.iter().find(|spec| spec.name == name);
        spec.unwrap_or_else(|| panic!("no {name}")).shape.clone()
    };
    assert_eq!(shape("stem.conv.weight"), [32, 3, 3, 3]);
    assert_eq!(shape("blocks.0.depthwise.conv.weight"), [32, 1, 3, 3]);
    assert_eq!(shape("blocks.0.se.reduce.weight"), [8, 32, 1, 1]);
    assert_eq!(shape("blocks.0.se.expand.bias"), [32]);
    assert_eq!(shape("blocks.1.expand.conv.weight"), [96, 16, 1, 1]);
    assert_eq!(shape("blocks.1.se.reduce.weight"), [4, 96, 1, 1]); // a quarter of 16, not of 96
    assert_eq!(shape("blocks.15.project.bn.running_var"), [320]);
    assert_eq!(shape("head.classifier.weight"), [1000, 1280]);
    assert!(!specs.iter().any(|spec| spec.name.starts_with("blocks.0.expand")));
    // 360 tensors in lukemelas' checkpoint, 49 of which are `num_batches_tracked`.
    assert_eq!(specs.len(), 360 - 49);
    assert_eq!(specs.iter().filter(|spec| spec.role == ParamRole::RunningMean).count(), 49);
}

/// TensorFlow's SAME for (kernel, stride, input): zeros before, after, and the output.
#[test]
fn same_padding() {
    let conv = |kernel, stride, padding| Conv {
        inputs: 1,
        outputs: 1,
        kernel,
        stride,
        groups: 1,
        padding,
        bias: false,
    };
    let cases = [
        ((3, 1, 7), (1, 1), 7),
        ((3, 2, 224), (0, 1), 112), // the odd zero comes after
        ((3, 2, 225), (1, 1), 113),
        ((5, 2, 56), (1, 2), 28),
        ((5, 2, 57), (2, 2), 29),
        ((5, 1, 3), (2, 2), 3),
        ((1, 1, 9), (0, 0), 9),
        ((1, 2, 8), (0, 0), 4), // never negative
        ((5, 2, 1), (2, 2), 1),
    ];
    for ((kernel, stride, input), pads, output) in cases {
        let conv = conv(kernel, stride, Padding::Same);
        assert_eq!((conv.pads(input), conv.output(input)), (pads, output), "{kernel} {stride} {input}");
    }
    let symmetric = conv(3, 2, Padding::Symmetric);
    assert_eq!((symmetric.pads(224), symmetric.output(224)), ((1, 1), 112));
}

#[test]
fn b0_is_its_table() {
    let blocks = EfficientNet::from_name("efficientnet-b0").expect("known").blocks();
    assert_eq!(blocks.len(), 16);
    let strides: Vec<_> = blocks.iter().map(|b| b.stride).collect();
    assert_eq!(strides, [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]);
    let residual: Vec<_> = blocks.iter().filter(|b| b.residual).map(|b| b.index).collect();
    assert_eq!(residual, [2, 4, 6, 7, 9, 10, 12, 13, 14]);
    assert_eq!(blocks[8].drop_connect, 0.1); // .2 · 8 / 16
}

#[test]
fn stages_are_timms() {
    let lengths = |name: &str| -> Vec<usize> {
        let stages = EfficientNet::from_name(name).expect("known").stages();
        stages.iter().map(Vec::len).collect()
    };
    assert_eq!(lengths("efficientnet-b0"), [1, 2, 2, 3, 3, 4, 1]);
    assert_eq!(lengths("efficientnet-b7"), [4, 7, 7, 10, 10, 13, 4]);
    assert_eq!(lengths("efficientnet-lite4"), [1, 4, 4, 6, 6, 8, 1]);
    assert_eq!(lengths("efficientnetv2-s"), [2, 4, 4, 6, 9, 15]);
    let edge = EfficientNet::from_name("efficientnet-edgetpu-s").expect("known").stages();
    let kinds: Vec<_> = edge.iter().map(|stage| stage[0].kind).collect();
    use BlockKind::{Fused, InvertedResidual};
    assert_eq!(kinds, [Fused, Fused, Fused, InvertedResidual, InvertedResidual, InvertedResidual]);
    assert_eq!(edge[0][0].expanded, 96); // 4 · 24, though 32 channels come in
    let v2 = EfficientNet::from_name("efficientnetv2-s").expect("known").stages();
    assert!(v2[0].iter().all(|block| block.kind == BlockKind::FusedExpand1));
    let b0 = EfficientNet::from_name("efficientnet-b0").expect("known").stages();
    assert_eq!(b0[0][0].kind, BlockKind::DepthwiseSeparable);
}

#[test]
fn a_convention_changes_every_normalisation_and_padding_and_no_parameter() {
    let describe = |graph: &Graph| -> Vec<_> {
        let specs = graph.param_specs().into_iter();
        specs.map(|spec| (spec.name, spec.shape)).collect()
    };
    let tensorflow = EfficientNet::scaled(Family::V1, 1.0, 1.0, 224);
    let native = tensorflow.clone().with_convention(Convention::TIMM_NATIVE).graph();
    for node in &native.nodes {
        match node.op {
            Op::Conv(conv) => assert_eq!(conv.padding, Padding::Symmetric, "{}", node.name),
            Op::BatchNorm { epsilon, .. } => assert_eq!(epsilon, 1e-5, "{}", node.name),
            _ => {}
        }
    }
    assert_eq!(describe(&tensorflow.graph()), describe(&native));
}
