//! Names, the preprocessing they bring, and what is said of names that nothing has.

use effigy_arch::{Convention, EfficientNet, Family, Interpolation, Preprocessing, UnknownModel, variants};

fn network(name: &str) -> EfficientNet {
    EfficientNet::from_name(name).unwrap_or_else(|error| panic!("{error}"))
}

fn error(name: &str) -> String {
    EfficientNet::from_name(name).expect_err("nothing is called that").to_string()
}

#[test]
fn canonical_names_are_unique_and_resolve_to_themselves() {
    for variant in variants() {
        let found = network(variant.name);
        assert_eq!(found.name, variant.name);
        assert_eq!(found.variant(), Some(variant));
        assert_eq!(found.convention, Convention::TENSORFLOW);
    }
}

/// name, its canonical name, side, crop, whether the mean is .5, ε, classes; from timm 1.0's `default_cfgs`
/// and torchvision's weights.
#[test]
fn other_projects_names() {
    let figures = [
        ("tf_efficientnet_b0", "efficientnet-b0", 224, 0.875, false, 1e-3, 1000),
        ("tf_efficientnet_b0.in1k", "efficientnet-b0", 224, 0.875, false, 1e-3, 1000),
        ("tf_efficientnet_b0.aa_in1k", "efficientnet-b0", 224, 0.875, false, 1e-3, 1000),
        ("tf_efficientnet_b0_ap", "efficientnet-b0", 224, 0.875, true, 1e-3, 1000),
        ("tf_efficientnet_b7.ap_in1k", "efficientnet-b7", 600, 0.949, true, 1e-3, 1000),
        ("tf_efficientnet_b5_ns", "efficientnet-b5", 456, 0.934, false, 1e-3, 1000),
        ("timm/tf_efficientnet_b4.ns_jft_in1k", "efficientnet-b4", 380, 0.922, false, 1e-3, 1000),
        ("tf_efficientnet_b8", "efficientnet-b8", 672, 0.954, true, 1e-3, 1000),
        ("tf_efficientnet_b8.ra_in1k", "efficientnet-b8", 672, 0.954, false, 1e-3, 1000),
        ("tf_efficientnet_l2.ns_jft_in1k", "efficientnet-l2", 800, 0.96, false, 1e-3, 1000),
        ("tf_efficientnet_l2.ns_jft_in1k_475", "efficientnet-l2", 475, 0.936, false, 1e-3, 1000),
        ("tf_efficientnet_l2_ns_475", "efficientnet-l2", 475, 0.936, false, 1e-3, 1000),
        ("tf_efficientnet_lite0", "efficientnet-lite0", 224, 0.875, true, 1e-3, 1000),
        ("tf_efficientnet_lite1", "efficientnet-lite1", 240, 0.882, true, 1e-3, 1000),
        ("tf_efficientnet_lite2", "efficientnet-lite2", 260, 0.89, true, 1e-3, 1000),
        ("tf_efficientnet_lite3.in1k", "efficientnet-lite3", 300, 0.904, true, 1e-3, 1000),
        ("tf_efficientnet_lite4", "efficientnet-lite4", 380, 0.92, true, 1e-3, 1000),
        ("tf_efficientnet_es", "efficientnet-edgetpu-s", 224, 0.875, true, 1e-3, 1000),
        ("tf_efficientnet_em.in1k", "efficientnet-edgetpu-m", 240, 0.882, true, 1e-3, 1000),
        ("tf_efficientnetv2_b0", "efficientnetv2-b0", 224, 0.875, false, 1e-3, 1000),
        ("tf_efficientnetv2_b3.in21k", "efficientnetv2-b3", 300, 0.904, true, 1e-3, 21843),
        ("tf_efficientnetv2_b3.in21k_ft_in1k", "efficientnetv2-b3", 300, 0.9, true, 1e-3, 1000),
        ("tf_efficientnetv2_s", "efficientnetv2-s", 384, 1.0, true, 1e-3, 1000),
        ("tf_efficientnetv2_s_in21k", "efficientnetv2-s", 384, 1.0, true, 1e-3, 21843),
        ("tf_efficientnetv2_xl_in21ft1k", "efficientnetv2-xl", 512, 1.0, true, 1e-3, 1000),
        ("efficientnet_b0", "efficientnet-b0", 224, 0.875, false, 1e-5, 1000),
        ("efficientnet_b0.ra4_e3600_r224_in1k", "efficientnet-b0", 256, 1.0, true, 1e-5, 1000),
        ("efficientnet_b4.ra2_in1k", "efficientnet-b4", 384, 1.0, false, 1e-5, 1000),
        ("efficientnet_b5.sw_in12k", "efficientnet-b5", 416, 0.95, false, 1e-5, 11821),
        ("efficientnet_em.ra2_in1k", "efficientnet-edgetpu-m", 240, 0.882, false, 1e-5, 1000),
        ("efficientnet_v2_s", "efficientnetv2-s", 384, 1.0, false, 1e-3, 1000),
        ("efficientnet_v2_l", "efficientnetv2-l", 480, 1.0, true, 1e-3, 1000),
        ("torchvision/efficientnet_b0", "efficientnet-b0", 224, 0.875, false, 1e-5, 1000),
        ("torchvision/efficientnet_b5", "efficientnet-b5", 456, 1.0, false, 1e-3, 1000),
    ];
    for (name, canonical, side, crop, half, epsilon, classes) in figures {
        let found = network(name);
        let mean = if half { [0.5; 3] } else { Preprocessing::IMAGENET_MEAN };
        let std = if half { [0.5; 3] } else { Preprocessing::IMAGENET_STD };
        assert_eq!(found.name, canonical, "{name}");
        assert_eq!(found.preprocessing.size, [side, side], "{name}");
        assert_eq!(found.preprocessing.crop_pct, crop, "{name}");
        assert_eq!((found.preprocessing.mean, found.preprocessing.std), (mean, std), "{name}");
        assert_eq!((found.convention.bn_epsilon, found.classes), (epsilon, classes), "{name}");
    }
}

#[test]
fn filters_of_the_exceptions() {
    use Interpolation::{Bicubic, Bilinear};
    for (name, filter) in [
        ("efficientnet-b0", Bicubic),
        ("tf_efficientnet_lite2", Bicubic),
        ("tf_efficientnet_lite3", Bilinear),
        ("tf_efficientnet_lite4", Bilinear),
        ("efficientnet_v2_s", Bilinear),
        ("efficientnet_v2_l", Bicubic),
    ] {
        assert_eq!(network(name).preprocessing.interpolation, filter, "{name}");
    }
}

/// The lukemelas-style checkpoints of Lite want TensorFlow's own statistics.
#[test]
fn tensorflows_statistics() {
    let lite = network("efficientnet-lite2").preprocessing;
    assert_eq!((lite.size, lite.crop_pct), ([260, 260], 0.875));
    assert_eq!((lite.mean, lite.std), ([127.0 / 255.0; 3], [128.0 / 255.0; 3]));
    let v2 = network("efficientnetv2-m").preprocessing;
    assert_eq!((v2.mean, v2.std), ([128.0 / 255.0; 3], [128.0 / 255.0; 3]));
    assert_eq!(network("efficientnetv2-b0").preprocessing.mean, Preprocessing::IMAGENET_MEAN);
}

#[test]
fn compound_coefficients() {
    let zero = network("efficientnet-phi-0");
    let b0 = network("efficientnet-b0");
    assert_eq!(zero.graph(), b0.graph());
    assert_eq!(zero.preprocessing, b0.preprocessing);

    let net = network("efficientnet-phi-1.7");
    assert_eq!(net.name, "efficientnet-phi-1.7");
    assert_eq!(net.preprocessing.size, [288, 288]); // 224 · 1.15^1.7 = 284.07, to a multiple of 8
    assert!((net.width - 1.175_892).abs() < 1e-6 && (net.depth - 1.363_352).abs() < 1e-6);
    let stages: Vec<_> = net.stages().iter().map(|s| (s.len(), s[0].outputs)).collect();
    let expected = [(2, 24), (3, 32), (3, 48), (5, 96), (5, 128), (6, 224), (2, 376)];
    assert_eq!(stages, expected);
    assert_eq!((net.stem_filters(), net.head_filters()), (40, 1504));
    assert!((net.dropout - 0.285).abs() < 1e-6);
}

#[test]
fn explicit_factors() {
    let net = network("efficientnet-w1.2-d1.4-r300");
    assert_eq!(net, EfficientNet::scaled(Family::V1, 1.2, 1.4, 300));
    assert_eq!(net.graph().param_count(), 12_233_232); // B3's factors
    assert_eq!(net.name, "efficientnet-w1.2-d1.4-r300");
    assert_eq!(network("efficientnet-lite-w1-d1.1-r240").graph().param_count(), 5_416_680);
    assert_eq!(network("efficientnetv2-w1.1-d1.2-r260").graph().param_count(), 10_096_086);
    assert_eq!(network("efficientnetv2-s-w1-d1-r96").graph().param_count(), 21_458_488);
}

#[test]
fn wrong_names_are_explained() {
    let near = "no model is called \"efficientnet-b9\"; did you mean efficientnet-b0 or efficientnet-b1 or \
                efficientnet-b2?";
    assert_eq!(error("efficientnet-b9"), near);
    assert!(error("eficientnet-lite0").contains("did you mean efficientnet-lite0"));
    assert!(error("tf_efficientnetv2-s").contains("did you mean tf_efficientnetv2_s"));
    assert!(error("b3").contains("efficientnet-b3"));
    assert!(error("Efficientnet-B4").contains("efficientnet-b4"));
    assert!(error("tf_efficientnet_b0.made_up").starts_with("no model is called"));
    assert_eq!(error("resnet50"), "no model is called \"resnet50\"; `effigy models` lists them all");
    assert_eq!(error("efficientnet-phi-99"), "\"efficientnet-phi-99\": phi must be a number from -8 to 16");
    for name in
        ["efficientnet-phi-NaN", "efficientnet-phi-inf", "efficientnet-w1-d0-r224", "efficientnet-w1-d1-r"]
    {
        let error = EfficientNet::from_name(name).expect_err("out of range");
        assert!(matches!(error, UnknownModel::Factor { .. }), "{name}: {error}");
    }
    for name in ["", "-", "tf_", "timm/", "torchvision/", "efficientnet", "tf_efficientnetv2_s_ns"] {
        assert!(EfficientNet::from_name(name).is_err(), "{name:?}");
    }
}
