//! Parameters, multiply-accumulates and shapes, against what is published.

use effigy_arch::{EfficientNet, Graph, Op, Top, variants};

fn graph(name: &str) -> Graph {
    EfficientNet::from_name(name).expect("a known name").graph()
}

#[test]
fn every_variant_has_its_published_parameters() {
    for variant in variants() {
        assert_eq!(graph(variant.name).param_count(), variant.published.params, "{}", variant.name);
    }
}

/// What lukemelas' own tests count.
#[test]
fn b0_with_other_tops() {
    let b0 = || EfficientNet::from_name("efficientnet-b0").expect("a known name");
    assert_eq!(b0().with_classes(100).graph().param_count(), 4_135_648);
    assert_eq!(b0().with_top(Top::Pooled).graph().param_count(), 4_007_548);
    // The reference counts the features without the head's convolution and BatchNorm.
    let features = b0().with_top(Top::Features).graph();
    let head = 320 * 1280 + 2 * 1280;
    assert_eq!(features.param_count() - head, 3_595_388);
    // One colour channel instead of three: two 3×3 planes fewer for each of 32 filters.
    assert_eq!(b0().with_in_channels(1).graph().param_count(), 5_288_548 - 2 * 9 * 32);
}

/// Keras counts BatchNorm's moving statistics too.
#[test]
fn keras_counts() {
    let figures = [
        ("efficientnet-b0", 5_330_564),
        ("efficientnetv2-b0", 7_200_312),
        ("efficientnetv2-b1", 8_212_124),
        ("efficientnetv2-b2", 10_178_374),
        ("efficientnetv2-b3", 14_467_622),
        ("efficientnetv2-s", 21_612_360),
        ("efficientnetv2-m", 54_431_388),
        ("efficientnetv2-l", 119_027_848),
        ("efficientnetv2-xl", 208_896_832),
    ];
    for (name, count) in figures {
        let specs = graph(name).param_specs();
        assert_eq!(specs.iter().map(|s| s.shape.iter().product::<usize>()).sum::<usize>(), count, "{name}");
    }
}

/// torchvision measures its models' multiply-accumulates and prints three decimals of a billion
/// (`_ops` of its weights); the sizes are those of its weights.
#[test]
fn multiply_accumulates_equal_torchvisions() {
    let figures = [
        ("torchvision/efficientnet_b0", 386),
        ("torchvision/efficientnet_b1", 687),
        ("torchvision/efficientnet_b2", 1_088),
        ("torchvision/efficientnet_b3", 1_827),
        ("torchvision/efficientnet_b4", 4_394),
        ("torchvision/efficientnet_b5", 10_266),
        ("torchvision/efficientnet_b6", 19_068),
        ("torchvision/efficientnet_b7", 37_746),
        ("efficientnet_v2_s", 8_366),
        ("efficientnet_v2_m", 24_582),
        ("efficientnet_v2_l", 56_080),
    ];
    for (name, millions) in figures {
        let network = EfficientNet::from_name(name).expect("a known name");
        let [height, width] = network.preprocessing.size;
        let macs = network.graph().macs(height, width);
        assert_eq!((macs + 500_000) / 1_000_000, millions, "{name}");
    }
}

/// `0.39B` or `407M` as a number and the half of its last digit.
fn printed(figure: &str) -> (f64, f64) {
    let (digits, unit) = figure.split_at(figure.len() - 1);
    let unit = if unit == "B" { 1e9 } else { 1e6 };
    let decimals = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    (digits.parse::<f64>().expect("a number") * unit, 0.5 * unit / 10_f64.powi(decimals as i32))
}

/// The first paper's figures: B0, B2, B3 and B6 are our count, rounded. Its B1, B4, B5 and B7 are not
/// any rounding of the multiply-accumulates that we and torchvision count; the test pins how far off.
#[test]
fn multiply_accumulates_against_the_papers() {
    for variant in variants().iter().filter(|v| v.name.starts_with("efficientnet-b")) {
        let Some(figure) = variant.published.macs else { continue };
        let (published, half_digit) = printed(figure);
        let macs = graph(variant.name).macs(variant.resolution, variant.resolution) as f64;
        let percent = (100.0 * (macs / published - 1.0) * 10.0).round() / 10.0;
        match variant.name {
            "efficientnet-b1" => assert_eq!(percent, -1.9),
            "efficientnet-b4" => assert_eq!(percent, 4.6),
            "efficientnet-b5" => assert_eq!(percent, 3.7),
            "efficientnet-b7" => assert_eq!(percent, 2.0),
            name => assert!((macs - published).abs() <= half_digit, "{name}: {macs} is not {figure}"),
        }
    }
}

/// Lite's figures also count three operations for every value a convolution writes (BatchNorm's scale
/// and shift, and the activation). Lite1–4 then agree to the digit; Lite0's 407M is .4 % above.
#[test]
fn lites_figures_count_normalisation_and_activation() {
    for variant in variants().iter().filter(|v| v.name.starts_with("efficientnet-lite")) {
        let graph = graph(variant.name);
        let (height, width) = (variant.resolution, variant.resolution);
        let extents = graph.extents(height, width);
        let is_conv = |node: usize| matches!(graph.nodes[node].op, Op::Conv(_));
        let written = (0..extents.len()).filter(|&n| is_conv(n)).map(|n| extents[n]);
        let written: usize = written.map(|e| e.height * e.width * e.channels).sum();
        let operations = (graph.macs(height, width) + 3 * written as u64) as f64;
        let (published, half_digit) = printed(variant.published.macs.expect("Lite prints its count"));
        let slack = if variant.name == "efficientnet-lite0" { 0.004 * published } else { half_digit };
        let off = (operations - published).abs();
        // The last digit of Lite1 and Lite2 is cut rather than rounded, within one million.
        assert!(off <= slack.max(1e6), "{}: {operations} is not {published}", variant.name);
    }
}

/// What lukemelas' `extract_endpoints` returns for B0 at 224: (channels, side).
#[test]
fn endpoints_of_b0() {
    let graph = graph("efficientnet-b0");
    let extents = graph.extents(224, 224);
    let expected = [(16, 112), (24, 56), (40, 28), (112, 14), (320, 7), (1280, 7)];
    assert_eq!(graph.endpoints.len(), expected.len());
    for (i, ((name, id), (channels, side))) in graph.endpoints.iter().zip(expected).enumerate() {
        let extent = extents[id.0];
        assert_eq!(*name, format!("reduction_{}", i + 1));
        assert_eq!((extent.channels, extent.height, extent.width), (channels, side, side), "{name}");
    }
}

/// timm's feature maps at 193×257, an odd rectangle, through every padding convention.
#[test]
fn endpoints_of_an_odd_rectangle() {
    let sides = [(97, 129), (49, 65), (25, 33), (13, 17), (7, 9), (7, 9)];
    let figures = [
        ("tf_efficientnet_b0", [16, 24, 40, 112, 320, 1280]),
        ("efficientnet_b0", [16, 24, 40, 112, 320, 1280]),
        ("tf_efficientnetv2_s", [24, 48, 64, 160, 256, 1280]),
        ("efficientnet_v2_s", [24, 48, 64, 160, 256, 1280]),
        ("tf_efficientnet_es", [24, 32, 48, 144, 192, 1280]),
        ("tf_efficientnet_b7", [32, 48, 80, 224, 640, 2560]),
    ];
    for (name, channels) in figures {
        let graph = graph(name);
        let extents = graph.extents(193, 257);
        for (((_, id), (height, width)), channels) in graph.endpoints.iter().zip(sides).zip(channels) {
            let extent = extents[id.0];
            assert_eq!((extent.height, extent.width, extent.channels), (height, width, channels), "{name}");
        }
    }
}

#[test]
fn peak_memory_of_b0_is_its_first_expansion() {
    // Block 1 expands 16 channels at 112×112 to 96; nodes run one by one, so two such maps live.
    let bytes = 4 * 112 * 112 * (96 + 96);
    assert_eq!(graph("efficientnet-b0").peak_activation_bytes(224, 224), bytes);
}
