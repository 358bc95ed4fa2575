//! What holds for every detector's graph, and the names and conventions they come by.

use std::collections::HashSet;

use effigy_arch::{
    Activation, AnchorBox, Anchors, AspectRatio, Border, Conv, Convention, DetectorConvention, EfficientDet,
    EfficientNet, Extent, Fill, Fit, Fusion, Graph, Interpolation, Letterbox, Normalisation, Op, Padding,
    detector_variants,
};

fn detector(name: &str) -> EfficientDet {
    EfficientDet::from_name(name).unwrap_or_else(|error| panic!("{error}"))
}

fn backbone(name: &str) -> EfficientNet {
    EfficientNet::from_name(name).unwrap_or_else(|error| panic!("{error}"))
}

/// The published ones, other ports' and other backbones'.
fn every_detector() -> Vec<EfficientDet> {
    let mut detectors: Vec<_> = detector_variants().iter().map(EfficientDet::from_variant).collect();
    detectors.push(detector("efficientdet_d0"));
    detectors.push(detector("zylo117/efficientdet-d8"));
    for name in
        ["efficientnetv2-s", "efficientnet-edgetpu-m", "efficientnet-b7", "efficientnet-w0.3-d0.3-r64"]
    {
        detectors.push(detector("efficientdet-d0").with_backbone(backbone(name).with_in_channels(1)));
    }
    detectors
}

#[test]
fn graphs_are_topological_with_unique_names_and_nothing_in_vain() {
    for detector in every_detector() {
        let graph = detector.graph();
        let mut names = HashSet::new();
        let mut read = HashSet::new();
        for (id, node) in graph.iter() {
            assert!(names.insert(&node.name), "{}: {} twice", detector.name, node.name);
            assert!(node.inputs.iter().all(|input| *input < id), "{}: {}", detector.name, node.name);
            assert_eq!(matches!(node.op, Op::Input { .. }), id.0 == 0, "{}", node.name);
            read.extend(node.inputs.iter().copied());
        }
        let unread: Vec<_> = graph.iter().map(|(id, _)| id).filter(|id| !read.contains(id)).collect();
        assert_eq!(unread, graph.outputs, "{}", detector.name);
    }
}

/// Every operation reads the shapes it needs, whatever the size of the picture.
#[test]
fn shapes_agree_from_node_to_node_at_any_size() {
    for detector in every_detector() {
        let graph = detector.graph();
        for (height, width) in [(1, 1), (1, 300), (65, 97), (127, 640), (128, 128), (511, 513)] {
            let extents = graph.extents(height, width);
            for (id, node) in graph.iter() {
                let read: Vec<Extent> = node.inputs.iter().map(|input| extents[input.0]).collect();
                let at = format!("{} {} at {height}×{width}", detector.name, node.name);
                match node.op {
                    Op::Conv(Conv { inputs, .. }) => assert_eq!(read[0].channels, inputs, "{at}"),
                    Op::BatchNorm { channels, .. } => assert_eq!(read[0].channels, channels, "{at}"),
                    Op::WeightedSum { inputs, .. } => {
                        assert_eq!(read.len(), inputs, "{at}");
                        assert!(read.iter().all(|extent| *extent == read[0]), "{at}: {read:?}");
                    }
                    Op::Upsample => {
                        assert_eq!(read.len(), 2, "{at}");
                        let like = Extent { channels: read[0].channels, ..read[1] };
                        assert_eq!(extents[id.0], like, "{at}");
                    }
                    _ => {}
                }
            }
        }
    }
}

#[test]
fn outputs_hold_a_value_for_every_anchor() {
    for detector in every_detector() {
        let detector = detector.with_classes(7);
        let graph = detector.graph();
        for (height, width) in [(1, 1), (333, 777), (640, 1280)] {
            let extents = graph.extents(height, width);
            let values = |first: usize| -> usize {
                let outputs = graph.outputs.iter().skip(first).step_by(2).map(|id| extents[id.0]);
                outputs.map(|e| e.height * e.width * e.channels).sum()
            };
            let anchors = detector.anchors.count(detector.levels(), height, width);
            assert_eq!(anchors, detector.anchor_boxes(height, width).len());
            assert_eq!((values(0), values(1)), (anchors * 7, anchors * 4), "{}", detector.name);
        }
    }
}

/// The maps of effdet's models for an odd rectangle: (height, width) from level 3 on.
#[test]
fn levels_of_an_odd_rectangle() {
    let sides = [(42, 98), (21, 49), (11, 25), (6, 13), (3, 7)];
    for name in ["tf_efficientdet_d0", "efficientdet_d0", "zylo117/efficientdet-d0"] {
        let graph = detector(name).graph();
        let extents = graph.extents(333, 777);
        for (i, (height, width)) in sides.into_iter().enumerate() {
            let level = i + 3;
            let endpoint = |name: String| extents[graph.find(&name).expect("an endpoint").0];
            assert_eq!(endpoint(format!("p{level}")), Extent { height, width, channels: 64 }, "{name}");
            assert_eq!(
                endpoint(format!("class.p{level}")),
                Extent { height, width, channels: 810 },
                "{name}"
            );
            assert_eq!(endpoint(format!("box.p{level}")), Extent { height, width, channels: 36 }, "{name}");
        }
    }
}

#[test]
fn nodes_and_parameters_have_canonical_names() {
    let graph = detector("efficientdet-d0").graph();
    let specs = graph.param_specs();
    let shape = |name: &str| {
        let spec = specs.iter().find(|spec| spec.name == name);
        spec.unwrap_or_else(|| panic!("no {name}")).shape.clone()
    };
    assert_eq!(shape("blocks.15.project.conv.weight"), [320, 1152, 1, 1]);
    assert_eq!(shape("resample.p6.conv.weight"), [64, 320, 1, 1]);
    assert_eq!(shape("resample.p6.bn.running_var"), [64]);
    assert_eq!(shape("bifpn.0.2.resample.0.conv.weight"), [64, 112, 1, 1]); // P4, going down
    assert_eq!(shape("bifpn.0.4.resample.0.conv.bias"), [64]); // P4 again, going up
    assert_eq!(shape("bifpn.0.3.combine.weight"), [2]);
    assert_eq!(shape("bifpn.2.6.combine.weight"), [3]);
    assert_eq!(shape("bifpn.2.7.depthwise.weight"), [64, 1, 3, 3]);
    assert_eq!(shape("bifpn.2.7.pointwise.bias"), [64]);
    assert_eq!(shape("class.2.pointwise.weight"), [64, 64, 1, 1]);
    assert_eq!(shape("class.2.p7.bn.weight"), [64]);
    assert_eq!(shape("class.predict.pointwise.weight"), [810, 64, 1, 1]);
    assert_eq!(shape("box.predict.pointwise.bias"), [36]);
    let starts = |prefix: &str| specs.iter().any(|spec| spec.name.starts_with(prefix));
    assert!(!starts("head."), "the backbone ends before its head");
    assert!(!starts("bifpn.1.0.resample"), "later cells change no channels");
    assert!(!starts("resample.p7"), "level 7 is pooled only");

    let names: Vec<_> = graph.outputs.iter().map(|id| graph.node(*id).name.as_str()).collect();
    assert_eq!(
        names[..3],
        ["class.predict.p3.pointwise", "box.predict.p3.pointwise", "class.predict.p4.pointwise"]
    );
    assert_eq!(names.len(), 10);
    assert!(graph.find("bifpn.0.0.resample.1.up").is_some(), "the coarser level is enlarged");
    assert!(graph.find("bifpn.0.7.resample.1.pool").is_some(), "the finer level is pooled");
    // Parameters beside the backbone's in effdet's checkpoint.
    let backbone = |name: &str| name.starts_with("stem.") || name.starts_with("blocks.");
    assert_eq!(specs.iter().filter(|spec| !backbone(&spec.name)).count(), 372);
}

#[test]
fn heads_share_their_convolutions_and_not_their_normalisations() {
    let graph = detector("efficientdet-d3").graph();
    let params = |name: String| graph.node(graph.find(&name).expect("a node")).params.clone();
    for level in 3..=7 {
        assert_eq!(params(format!("box.3.p{level}.pointwise")), "box.3.pointwise");
        assert_eq!(params(format!("class.predict.p{level}.depthwise")), "class.predict.depthwise");
        assert_eq!(params(format!("class.3.p{level}.bn")), format!("class.3.p{level}.bn"));
    }
}

/// The backbone's part of a detector is the classifier's, node by node.
#[test]
fn the_backbone_is_the_classifiers_trunk() {
    let trunk = |graph: Graph| -> Vec<_> {
        let until = |name: &str| name.starts_with("head.") || name.starts_with("resample.");
        graph.nodes.into_iter().take_while(|node| !until(&node.name)).collect()
    };
    let b3 = trunk(backbone("efficientnet-b3").graph());
    assert!(b3.len() > 300);
    assert_eq!(trunk(detector("efficientdet-d3").graph()), b3);
}

#[test]
fn fusion_follows_the_table() {
    let fusions = |name: &str| -> Vec<Fusion> {
        let nodes = detector(name).graph().nodes.into_iter();
        nodes
            .filter_map(|node| match node.op {
                Op::WeightedSum { fusion, .. } => Some(fusion),
                _ => None,
            })
            .collect()
    };
    assert_eq!(fusions("efficientdet-d0"), [Fusion::FastAttention { epsilon: 1e-4 }; 24]);
    assert_eq!(fusions("efficientdet-d7x"), [Fusion::Sum; 80]);
    assert_eq!(fusions("efficientdet-lite0"), [Fusion::Sum; 24]);
}

#[test]
fn lite_is_relu6_throughout() {
    for node in detector("efficientdet-lite3x").graph().nodes {
        if let Op::Activation(activation) = node.op {
            assert_eq!(activation, Activation::Relu6, "{}", node.name);
        }
    }
}

#[test]
fn conventions_reach_every_node() {
    let expected = [
        ("efficientdet-d0", Padding::Same, Border::NegativeInfinity, true, 1e-3),
        ("tf_efficientdet_d0", Padding::Same, Border::NegativeInfinity, true, 1e-3),
        ("efficientdet_d0", Padding::Symmetric, Border::NegativeInfinity, false, 1e-5),
        ("zylo117/efficientdet-d0", Padding::Same, Border::Zero, true, 1e-3),
    ];
    for (name, padding, border, spare_bias, backbone_epsilon) in expected {
        for node in detector(name).graph().nodes {
            let in_backbone = node.name.starts_with("stem.") || node.name.starts_with("blocks.");
            match node.op {
                Op::Conv(conv) => {
                    assert_eq!(conv.padding, padding, "{name} {}", node.name);
                    if !in_backbone {
                        let predicts = node.name.contains(".predict.");
                        let bias = !conv.is_depthwise() && (spare_bias || predicts);
                        assert_eq!(conv.bias, bias, "{name} {}", node.name);
                    }
                }
                Op::MaxPool { padding: pads, border: over, kernel, stride } => {
                    assert_eq!((pads, over, kernel, stride), (padding, border, 3, 2), "{name} {}", node.name);
                }
                Op::BatchNorm { epsilon, momentum, .. } => {
                    let expected = if in_backbone { backbone_epsilon } else { 1e-3 };
                    assert_eq!((epsilon, momentum), (expected, 0.01), "{name} {}", node.name);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn names_bring_ratios_and_preprocessing() {
    let official = (Interpolation::PlainBilinear, Fit::OneScaleF32, Fill::Mean);
    let zylo117 = (Interpolation::PlainBilinear, Fit::ScalePerSide, Fill::Mean);
    let effdet = (Interpolation::Bilinear, Fit::OneScale, Fill::MeanByte);
    let black = (Interpolation::Bilinear, Fit::OneScale, Fill::Black);
    let imagenet = Normalisation::IMAGENET;
    let expected = [
        ("efficientdet-d0", "efficientdet-d0", AspectRatio::EXACT, imagenet, official, 512),
        ("tf_efficientdet_d7x", "efficientdet-d7x", AspectRatio::ROUNDED, imagenet, effdet, 1536),
        ("tf_efficientdet_d5_ap", "efficientdet-d5", AspectRatio::ROUNDED, Normalisation::HALF, black, 1280),
        ("efficientdet_d1", "efficientdet-d1", AspectRatio::ROUNDED, imagenet, effdet, 640),
        ("zylo117/efficientdet-d8", "efficientdet-d7x", AspectRatio::ROUNDED, imagenet, zylo117, 1536),
        (
            "efficientdet-lite3x",
            "efficientdet-lite3x",
            AspectRatio::EXACT,
            Normalisation::MINUS_127,
            official,
            640,
        ),
        (
            "tf_efficientdet_lite0",
            "efficientdet-lite0",
            AspectRatio::ROUNDED,
            Normalisation::HALF,
            effdet,
            320,
        ),
        ("efficientdet_lite0", "efficientdet-lite0", AspectRatio::ROUNDED, imagenet, effdet, 384),
    ];
    for (name, canonical, ratios, normalisation, prepared, size) in expected {
        let found = detector(name);
        assert_eq!(found.name, canonical);
        assert_eq!(found.variant().expect("a row").name, canonical);
        assert_eq!(found.anchors.ratios, ratios, "{name}");
        assert_eq!(found.letterbox.normalisation, normalisation, "{name}");
        let Letterbox { interpolation, fit, fill, .. } = found.letterbox;
        assert_eq!((interpolation, fit, fill), prepared, "{name}");
        assert_eq!(found.letterbox.size, [size, size], "{name}");
        assert_eq!(found.classes, 90);
    }
    let native = detector("efficientdet_d0");
    assert_eq!(native.backbone.convention, Convention::TIMM_NATIVE);
    assert_eq!(native.convention, DetectorConvention::EFFDET_NATIVE);
    assert_eq!(detector("efficientdet_lite0").anchors.base, 4.0); // its twin from TensorFlow has 3
}

#[test]
fn unknown_names_suggest_near_ones() {
    let message = |name: &str| EfficientDet::from_name(name).expect_err("no detector").to_string();
    assert_eq!(
        message("efficientdet-d9"),
        "no model is called \"efficientdet-d9\"; did you mean efficientdet-d0 or efficientdet-d1 or efficientdet-d2?"
    );
    assert!(message("tf_efficientdet-d0").contains("tf_efficientdet_d0"));
    assert!(message("d7x").contains("efficientdet-d7x"));
    for name in
        ["tf_efficientdet_d6_ap", "tf_efficientdet_lite0_ap", "efficientdet_d6", "zylo117/efficientdet-lite0"]
    {
        assert!(EfficientDet::from_name(name).is_err(), "{name} was never published");
    }
}

/// The first and the last anchors of a 511×513 input with effdet's `Anchors`, in its order; the ratios are
/// √2 and 1/√2.
#[test]
fn anchors_of_an_odd_size_are_effdets() {
    let boxes = detector("efficientdet-d0").anchor_boxes(511, 513);
    let effdet = [
        [-11.976_562_5, -11.838_462, 19.960_938, 19.730_77],
        [-7.299_423_7, -18.376_663, 15.283_799, 26.268_97],
        [-18.591_036, -7.215_255, 26.575_41, 15.107_562],
        [-16.127_176, -15.941_215_5, 24.111_551, 23.833_523],
    ];
    let corners = |b: &AnchorBox| [b.y1, b.x1, b.y2, b.x2];
    assert_eq!(boxes.iter().take(4).map(corners).collect::<Vec<[f32; 4]>>(), effdet);
    assert_eq!(boxes.last().map(corners), Some([-126.453_11, 231.370_79, 1_020.703_1, 692.029_24]));
    assert_eq!(boxes.len(), 50_220);
}

/// Cells are in the middle of their part of the picture, boxes of the size their level says.
#[test]
fn anchors_of_ones_own() {
    let anchors = Anchors { base: 2.0, scales: vec![1.0, 1.5], ratios: vec![AspectRatio::of(4.0)] };
    assert_eq!(anchors.ratios, [AspectRatio::new(2.0, 0.5)]);
    let detector = detector("efficientdet-d0").with_anchors(anchors).with_classes(3);
    let boxes = detector.anchor_boxes(64, 32);
    // 8×4 + 4×2 + 2×1 + 1×1 + 1×1 cells.
    assert_eq!(boxes.len(), 44 * 2);
    // Level 3, stride 8: centre (4, 4); 32 wide and 8 high, then half as much again.
    assert_eq!(boxes[0], AnchorBox { y1: 0.0, x1: -12.0, y2: 8.0, x2: 20.0 });
    assert_eq!(boxes[1], AnchorBox { y1: -2.0, x1: -20.0, y2: 10.0, x2: 28.0 });
    assert_eq!(boxes[2], AnchorBox { y1: 0.0, x1: -4.0, y2: 8.0, x2: 28.0 });
    let specs = detector.graph().param_specs();
    let rows = |name: &str| specs.iter().find(|spec| spec.name == name).expect("a parameter").shape[0];
    assert_eq!(rows("class.predict.pointwise.weight"), 2 * 3);
    assert_eq!(rows("box.predict.pointwise.weight"), 2 * 4);
}

#[test]
fn sizes_are_height_and_width() {
    assert_eq!(detector("efficientdet-d1").with_size(640, 1280).letterbox.size, [640, 1280]);
}
