//! The compiled model against itself without fusions, on every instruction set, and its promises about
//! shapes, threads and taps.

mod common;

use common::{input, parameters};
use effigy_arch::{EfficientDet, EfficientNet};
use effigy_engine::{EngineError, Isa, Model, Options, Precision};
use effigy_tensor::Tensor;

/// Largest difference as a share of the range of `b`.
fn difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.shape(), b.shape());
    let range = b.data().iter().fold(0.0_f32, |max, v| max.max(v.abs()));
    assert!(range.is_finite() && range > 0.0, "an activation is dead");
    let largest = a.data().iter().zip(b.data()).fold(0.0_f32, |max, (a, b)| max.max((a - b).abs()));
    largest / range
}

/// Rounding through some eighty layers, relative to the output's range.
const TOLERANCE: f32 = 5e-5;

#[test]
fn fused_equals_unfused_on_every_instruction_set() {
    for name in [
        "efficientnet-b0",
        "efficientnet-lite0",
        "efficientnetv2-b0",
        "efficientnet-edgetpu-s",
        "efficientnet_b0",
    ] {
        let graph = EfficientNet::from_name(name).unwrap().with_classes(20).graph();
        let parameters = parameters(&graph);
        let input = input(&graph, 2, 65, 49);
        let plain = Options { fuse: false, threads: 1, ..Options::default() };
        let expected = Model::new(&graph, &parameters, &plain).unwrap().run(&input).unwrap();
        for isa in Isa::available() {
            let options = Options { isa, threads: 2, ..Options::default() };
            let result = Model::new(&graph, &parameters, &options).unwrap().run(&input).unwrap();
            let difference = difference(&result[0], &expected[0]);
            assert!(difference < TOLERANCE, "{name} on {}: {difference}", isa.name());
        }
    }
}

#[test]
fn detectors_fused_equal_unfused() {
    // Sides that are halved without a rest, and those that are not, where the port allows them.
    let cases = [
        ("efficientdet-d0", [128, 256]),
        ("efficientdet-d0", [97, 70]),
        ("efficientdet_d0", [128, 256]),
        ("efficientdet_d0", [33, 190]),
        ("efficientdet-lite0", [96, 161]),
        ("zylo117/efficientdet-d0", [128, 256]),
    ];
    for (name, [height, width]) in cases {
        let graph = EfficientDet::from_name(name).unwrap().with_classes(4).graph();
        let parameters = parameters(&graph);
        let input = input(&graph, 2, height, width);
        let plain = Options { fuse: false, threads: 1, ..Options::default() };
        let expected = Model::new(&graph, &parameters, &plain).unwrap().run(&input).unwrap();
        assert_eq!(expected.len(), 10);
        for isa in Isa::available() {
            let mut results = Vec::new();
            for threads in [1, 2, 5] {
                let options = Options { isa, threads, ..Options::default() };
                let result = Model::new(&graph, &parameters, &options).unwrap().run(&input).unwrap();
                for (i, (result, expected)) in result.iter().zip(&expected).enumerate() {
                    let difference = difference(result, expected);
                    assert!(difference < TOLERANCE, "{name} output {i} on {}: {difference}", isa.name());
                }
                results.push(result);
            }
            assert!(results.windows(2).all(|two| two[0] == two[1]), "{name}: threads matter");
        }
    }
}

/// Eight bits of significand through some eighty layers of random weights, relative to the output's range.
const BF16_TOLERANCE: f32 = 0.03;

#[test]
fn bf16_is_near_fp32_on_every_instruction_set() {
    for name in ["efficientnet-b0", "efficientnet-lite0", "efficientnetv2-b0", "efficientnet-edgetpu-s"] {
        let graph = EfficientNet::from_name(name).unwrap().with_classes(20).graph();
        let parameters = parameters(&graph);
        let input = input(&graph, 2, 65, 49);
        let exact = Model::new(&graph, &parameters, &Options::default()).unwrap().run(&input).unwrap();
        for isa in Isa::available() {
            for (fuse, threads) in [(true, 1), (true, 2), (false, 1)] {
                let options =
                    Options { isa, fuse, threads, precision: Precision::Bf16, ..Options::default() };
                let model = Model::new(&graph, &parameters, &options).unwrap();
                assert_eq!(model.precision(), Precision::Bf16);
                let difference = difference(&model.run(&input).unwrap()[0], &exact[0]);
                let what = format!("{name} on {}, fused {fuse}: {difference}", isa.name());
                assert!(difference < BF16_TOLERANCE, "{what}");
                // Were it smaller, nothing would have been rounded.
                assert!(difference > TOLERANCE, "{what}");
            }
        }
    }
}

#[test]
fn a_detectors_neck_and_heads_run_in_few_steps() {
    let graph = EfficientDet::from_name("efficientdet-d0").unwrap().with_classes(4).graph();
    let model = Model::new(&graph, &parameters(&graph), &Options::default()).unwrap();
    let (_, times) = model.run_timed(&input(&graph, 1, 128, 128)).unwrap();
    let count = |kernel: &str| times.iter().filter(|step| step.operation == kernel).count();
    // Eight nodes in each of three cells; four layers in each of two heads; levels 6 and 7 of the pyramid.
    assert_eq!(count("sum + separable 3×3"), 24);
    assert_eq!(count("5 × separable 3×3"), 8);
    assert_eq!(count("max pool 3×3"), 2);
    assert_eq!(count("weighted sum") + count("upsample"), 0);
    let macs: u64 = times.iter().map(|step| step.macs).sum();
    assert_eq!(macs, graph.macs(128, 128));
}

#[test]
fn a_detectors_maps_can_be_tapped() {
    let graph = EfficientDet::from_name("efficientdet-d0").unwrap().with_classes(4).graph();
    let parameters = parameters(&graph);
    let input = input(&graph, 1, 64, 96);
    let inside =
        |name: &str| ["bifpn.1", "class", "box", "resample"].iter().any(|part| name.starts_with(part));
    let taps: Vec<String> =
        graph.nodes.iter().map(|node| node.name.clone()).filter(|name| inside(name)).collect();
    let all = Options { taps: taps.clone(), ..Options::default() };
    let all = Model::new(&graph, &parameters, &all).unwrap().run(&input).unwrap();
    for (i, tap) in taps.iter().enumerate().step_by(11) {
        let one = Options { taps: vec![tap.clone()], ..Options::default() };
        let one = Model::new(&graph, &parameters, &one).unwrap().run(&input).unwrap();
        let difference = difference(&one[10], &all[10 + i]);
        assert!(difference < TOLERANCE, "{tap}: {difference}");
    }
}

#[test]
fn every_node_can_be_tapped() {
    let graph = EfficientNet::from_name("efficientnet-b0").unwrap().graph();
    let parameters = parameters(&graph);
    let input = input(&graph, 1, 64, 64);
    let taps: Vec<String> = graph.nodes.iter().map(|node| node.name.clone()).collect();
    let all = Options { taps: taps.clone(), ..Options::default() };
    let all = Model::new(&graph, &parameters, &all).unwrap().run(&input).unwrap();
    for (i, tap) in taps.iter().enumerate().step_by(7) {
        let one = Options { taps: vec![tap.clone()], ..Options::default() };
        let one = Model::new(&graph, &parameters, &one).unwrap().run(&input).unwrap();
        let difference = difference(&one[1], &all[i + 1]);
        assert!(difference < TOLERANCE, "{tap}: {difference}");
    }
    let unknown = Options { taps: vec!["blocks.99".into()], ..Options::default() };
    let error = Model::new(&graph, &parameters, &unknown).unwrap_err();
    assert_eq!(error, EngineError::UnknownTap("blocks.99".into()));
}

#[test]
fn a_batch_equals_its_pictures() {
    let graph = EfficientNet::from_name("efficientnet-b0").unwrap().graph();
    let model = Model::new(&graph, &parameters(&graph), &Options::default()).unwrap();
    let batch = input(&graph, 3, 40, 56);
    let together = model.run(&batch).unwrap().remove(0);
    let len = 40 * 56 * 3;
    for image in 0..3 {
        let one = batch.data()[image * len..(image + 1) * len].to_vec();
        let one = model.run(&Tensor::new(&[1, 40, 56, 3], one).unwrap()).unwrap().remove(0);
        assert_eq!(one.data(), &together.data()[image * 1000..(image + 1) * 1000]);
    }
}

#[test]
fn threads_and_callers_do_not_change_a_bit() {
    let graph = EfficientNet::from_name("efficientnet-b0").unwrap().graph();
    let parameters = parameters(&graph);
    let input = input(&graph, 1, 75, 96);
    let run = |precision, threads| {
        let options = Options { precision, threads, ..Options::default() };
        Model::new(&graph, &parameters, &options).unwrap().run(&input).unwrap()
    };
    for precision in [Precision::Fp32, Precision::Bf16] {
        let one = run(precision, 1);
        assert_eq!(one, run(precision, 2));
        assert_eq!(one, run(precision, 5));
    }
    let one = run(Precision::Fp32, 1);
    let model = Model::new(&graph, &parameters, &Options { threads: 2, ..Options::default() }).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..3).for_each(|_| assert_eq!(model.run(&input).unwrap(), one)));
        }
    });
}

#[test]
fn tiny_and_changing_inputs() {
    for name in ["efficientnet-b0", "efficientnet_b0"] {
        let graph = EfficientNet::from_name(name).unwrap().with_in_channels(1).graph();
        let model = Model::new(&graph, &parameters(&graph), &Options::default()).unwrap();
        for (h, w) in [(1, 1), (1, 33), (2, 3), (33, 1), (31, 64), (1, 1)] {
            let result = model.run(&input(&graph, 1, h, w)).unwrap();
            assert_eq!(result[0].shape(), [1, 1000]);
            assert!(result[0].data().iter().all(|v| v.is_finite()));
        }
        for shape in [vec![1, 8, 8, 3], vec![8, 8, 1], vec![0, 8, 8, 1], vec![1, 0, 8, 1]] {
            let error = model.run(&Tensor::zeros(&shape)).unwrap_err();
            assert_eq!(error, EngineError::InputShape { actual: shape, channels: 1 });
        }
    }
}

#[test]
fn missing_and_misshapen_parameters_are_named() {
    let graph = EfficientNet::from_name("efficientnet-b0").unwrap().graph();
    let mut parameters = parameters(&graph);
    let name = "blocks.1.depthwise.bn.running_var";
    parameters.insert(name.into(), Tensor::zeros(&[5]));
    let error = Model::new(&graph, &parameters, &Options::default()).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("node blocks.1.depthwise.bn: parameter {name} has 5 values, but shape [96] needs 96")
    );
    parameters.remove(name);
    let error = Model::new(&graph, &parameters, &Options::default()).unwrap_err().to_string();
    assert_eq!(error, format!("node blocks.1.depthwise.bn: parameter {name} is missing"));
}
