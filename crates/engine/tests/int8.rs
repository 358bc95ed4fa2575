//! Networks of bytes: near those of floats, and the same to the bit on every instruction set, for any number
//! of threads and in any batch.

mod common;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use common::{input, parameters};
use effigy_arch::{EfficientDet, EfficientNet, Graph, Quantisation};
use effigy_engine::{Calibration, EngineError, Isa, Model, Options, Precision};
use effigy_tensor::Tensor;

fn measured(graph: &Graph, parameters: &HashMap<String, Tensor>, input: &Tensor) -> Arc<Quantisation> {
    let mut calibration = Calibration::new(graph, parameters, &Options::default()).unwrap();
    calibration.observe(input).unwrap();
    calibration.measured().into()
}

fn int8(quantisation: &Arc<Quantisation>) -> Options {
    Options {
        precision: Precision::Int8,
        quantisation: Some(Arc::clone(quantisation)),
        threads: 2,
        ..Options::default()
    }
}

/// Root mean square of the difference, as a share of the spread of `exact`.
fn error_of(values: &Tensor, exact: &Tensor) -> f64 {
    assert_eq!(values.shape(), exact.shape());
    let mean = exact.data().iter().map(|v| f64::from(*v)).sum::<f64>() / exact.data().len() as f64;
    let square = |f: &dyn Fn(usize) -> f64| (0..exact.data().len()).map(|i| f(i).powi(2)).sum::<f64>();
    let difference = square(&|i| f64::from(values.data()[i] - exact.data()[i]));
    (difference / square(&|i| f64::from(exact.data()[i]) - mean)).sqrt()
}

/// Largest error of random networks, whose values cancel each other much more than trained ones'.
const TOLERANCE: f64 = 0.35;

#[test]
fn near_floats_and_equal_everywhere() {
    for name in ["efficientnet-b0", "efficientnet-lite0", "efficientnetv2-b0", "efficientnet_b0"] {
        let graph = EfficientNet::from_name(name).unwrap().with_classes(20).graph();
        let parameters = parameters(&graph);
        let input = input(&graph, 2, 65, 33);
        let exact = Model::new(&graph, &parameters, &Options::default()).unwrap().run(&input).unwrap();
        let quantisation = measured(&graph, &parameters, &input);
        let run = |isa, threads| {
            let options = Options { isa, threads, ..int8(&quantisation) };
            let model = Model::new(&graph, &parameters, &options).unwrap();
            assert!(model.quantised_nodes().count() > 40, "{name}");
            model.run(&input).unwrap()
        };
        let best = run(Isa::best(), 1);
        let error = error_of(&best[0], &exact[0]);
        assert!(error < TOLERANCE, "{name}: {error}");
        assert_eq!(best, run(Isa::best(), 3), "{name}");
        for isa in Isa::available() {
            let other = run(isa, 2);
            if name.contains("lite") {
                assert_eq!(best, other, "{name} on {}", isa.name());
            } else {
                // Gates are computed in floats, whose last bits differ from one instruction set to another.
                let difference = error_of(&other[0], &best[0]);
                assert!(difference < GATES, "{name} on {}: {difference}", isa.name());
            }
        }
    }
}

/// Largest difference that gates' last bits make.
const GATES: f64 = 0.05;

#[test]
fn detectors_run() {
    for name in ["efficientdet-d0", "efficientdet-lite0"] {
        let graph = EfficientDet::from_name(name).unwrap().with_classes(4).graph();
        let parameters = parameters(&graph);
        let input = input(&graph, 1, 128, 256);
        let exact = Model::new(&graph, &parameters, &Options::default()).unwrap().run(&input).unwrap();
        let quantisation = measured(&graph, &parameters, &input);
        let model = Model::new(&graph, &parameters, &int8(&quantisation)).unwrap();
        for (i, (values, exact)) in model.run(&input).unwrap().iter().zip(&exact).enumerate() {
            let error = error_of(values, exact);
            assert!(error < TOLERANCE, "{name}, output {i}: {error}");
        }
    }
}

#[test]
fn batches_sizes_and_taps() {
    let graph = EfficientNet::from_name("efficientnet-b0").unwrap().graph();
    let parameters = parameters(&graph);
    let quantisation = measured(&graph, &parameters, &input(&graph, 1, 64, 64));
    let taps = ["stem.act", "blocks.2.add", "blocks.3.se.scale", "reduction_4"].map(str::to_owned);
    let options = Options { taps: taps.to_vec(), ..int8(&quantisation) };
    let model = Model::new(&graph, &parameters, &options).unwrap();
    let batch = input(&graph, 3, 40, 56);
    let together = model.run(&batch).unwrap();
    assert_eq!(together.len(), 1 + taps.len());
    for image in 0..3 {
        let one = batch.data()[image * 40 * 56 * 3..][..40 * 56 * 3].to_vec();
        let one = model.run(&Tensor::new(&[1, 40, 56, 3], one).unwrap()).unwrap();
        for (one, together) in one.iter().zip(&together) {
            let len = one.data().len();
            assert_eq!(one.data(), &together.data()[image * len..(image + 1) * len]);
        }
    }
    for (h, w) in [(1, 1), (1, 33), (2, 3), (33, 1), (31, 64)] {
        assert!(model.run(&input(&graph, 1, h, w)).unwrap()[0].data().iter().all(|v| v.is_finite()));
    }
}

#[test]
fn some_convolutions_may_stay_in_floats() {
    let graph = EfficientNet::from_name("efficientnet-lite0").unwrap().with_classes(20).graph();
    let parameters = parameters(&graph);
    let input = input(&graph, 1, 64, 64);
    let exact = Model::new(&graph, &parameters, &Options::default()).unwrap().run(&input).unwrap();
    let quantisation = measured(&graph, &parameters, &input);
    let all = Model::new(&graph, &parameters, &int8(&quantisation)).unwrap();
    let nodes: Vec<String> = all.quantised_nodes().map(str::to_owned).collect();
    let run = |floats: BTreeSet<String>| {
        let quantisation = Quantisation { floats, ..(*quantisation).clone() };
        Model::new(&graph, &parameters, &int8(&Arc::new(quantisation))).unwrap().run(&input).unwrap()
    };
    // Every other one: each kind of neighbour is met.
    let half = run(nodes.iter().step_by(2).cloned().collect());
    assert!(error_of(&half[0], &exact[0]) < TOLERANCE);
    let none = run(nodes.into_iter().collect());
    assert!(error_of(&none[0], &exact[0]) < ROUNDING);
}

/// Rounding of floats through some fifty layers.
const ROUNDING: f64 = 1e-4;

#[test]
fn ranges_must_be_known() {
    let graph = EfficientNet::from_name("efficientnet-lite0").unwrap().graph();
    let parameters = parameters(&graph);
    let options = Options { precision: Precision::Int8, ..Options::default() };
    let error = Model::new(&graph, &parameters, &options).unwrap_err();
    assert!(matches!(error, EngineError::Precision { precision: Precision::Int8, .. }), "{error}");
    assert!(error.to_string().contains("effigy quantize"), "{error}");
    let mut quantisation = (*measured(&graph, &parameters, &input(&graph, 1, 32, 32))).clone();
    quantisation.ranges.remove("blocks.3.project.bn");
    let error = Model::new(&graph, &parameters, &int8(&Arc::new(quantisation))).unwrap_err();
    assert_eq!(error, EngineError::Range { node: "blocks.3.project.bn".into() });
}
