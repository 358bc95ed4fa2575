//! Networks that are given 8-bit pixels, against the same ones that are given what those stand for.

mod common;

use std::sync::Arc;

use common::{noise, parameters};
use effigy_arch::{EfficientDet, EfficientNet, Graph, Normalisation};
use effigy_engine::{Calibration, EngineError, Input, Isa, Model, Options, PixelNormalisation, Precision};
use effigy_tensor::Tensor;

/// Pictures of noise, and what their samples stand for.
fn pictures(shape: [usize; 4], Normalisation { mean, std }: Normalisation) -> (Vec<u8>, Tensor) {
    let bytes: Vec<u8> =
        noise(shape.iter().product(), 99).iter().map(|value| (128.0 + 128.0 * value) as u8).collect();
    let value = |(i, byte): (usize, &u8)| (f32::from(*byte) / 255.0 - mean[i % shape[3]]) / std[i % shape[3]];
    let values = bytes.iter().enumerate().map(value).collect();
    (bytes, Tensor::new(&shape, values).unwrap())
}

/// Largest difference as a share of the range of `b`.
fn difference(a: &[Tensor], b: &[Tensor]) -> f32 {
    assert_eq!(a.len(), b.len());
    let of = |(a, b): (&Tensor, &Tensor)| {
        let range = b.data().iter().fold(0.0_f32, |max, value| max.max(value.abs()));
        let pairs = a.data().iter().zip(b.data());
        pairs.fold(0.0_f32, |max, (a, b)| max.max((a - b).abs())) / range
    };
    a.iter().zip(b).map(of).fold(0.0, f32::max)
}

/// The graph, with the pictures among its results or not: only where they are not are they left to the stem.
fn run(graph: &Graph, options: &Options, show_input: bool, input: Input<'_>) -> Vec<Tensor> {
    let taps = if show_input { vec![graph.nodes[0].name.clone()] } else { Vec::new() };
    let model = Model::new(graph, &parameters(graph), &Options { taps, ..options.clone() }).unwrap();
    let mut results = model.run(input).unwrap();
    results.truncate(graph.outputs.len());
    results
}

fn graphs() -> Vec<(&'static str, Graph)> {
    let classifier = |name| (name, EfficientNet::from_name(name).unwrap().graph());
    vec![
        classifier("efficientnet-b0"),
        classifier("efficientnet-lite0"),
        classifier("efficientnetv2-b0"),
        ("efficientdet-d0", EfficientDet::from_name("efficientdet-d0").unwrap().graph()),
        ("grey", EfficientNet::from_name("efficientnet-b0").unwrap().with_in_channels(1).graph()),
    ]
}

#[test]
fn pixels_are_as_good_as_what_they_stand_for() {
    for (name, graph) in graphs() {
        let channels = graph.input_channels();
        for (normalisation, [height, width]) in
            [(Normalisation::IMAGENET, [64, 96]), (Normalisation::MINUS_127, [75, 61])]
        {
            let shape = [2, height, width, channels];
            let (samples, values) = pictures(shape, normalisation);
            let normalisation = PixelNormalisation::new(normalisation, channels);
            let pixels = Input::Pixels { shape, samples: &samples, normalisation: &normalisation };
            let plain = Options { fuse: false, threads: 1, ..Options::default() };
            let expected = run(&graph, &plain, true, (&values).into());
            for isa in Isa::available() {
                for threads in [1, 3] {
                    let options = Options { isa, threads, ..Options::default() };
                    let what = format!("{name}, {}, {threads} threads, {height}×{width}", isa.name());
                    let given = run(&graph, &options, false, pixels);
                    let difference = difference(&given, &expected);
                    assert!(difference < 5e-5, "{what}: {difference:e}");
                    assert_eq!(
                        given,
                        run(&graph, &options, true, pixels),
                        "{what}: rows are brought as pictures are"
                    );
                    let [fed, whole] =
                        [false, true].map(|shown| run(&graph, &options, shown, (&values).into()));
                    assert_eq!(fed, whole, "{what}: and so are those of floats");
                }
            }
        }
    }
}

#[test]
fn stems_bring_their_own_rows() {
    let model = |name| {
        let graph = EfficientNet::from_name(name).unwrap().graph();
        Model::new(&graph, &parameters(&graph), &Options::default()).unwrap()
    };
    let stem = |name| model(name).run_timed(&Tensor::zeros(&[1, 32, 32, 3])).unwrap().1[0].kernel.clone();
    for name in ["efficientnet-b0", "efficientnet-lite0"] {
        assert_eq!(stem(name), "by the next step");
    }
    // Two convolutions that are not depthwise come first.
    assert_ne!(stem("efficientnetv2-b0"), "by the next step");
}

#[test]
fn networks_of_other_numbers_take_pixels() {
    let graph = EfficientNet::from_name("efficientnet-lite0").unwrap().graph();
    let shape = [2, 64, 96, 3];
    let (samples, values) = pictures(shape, Normalisation::MINUS_127);
    let normalisation = PixelNormalisation::new(Normalisation::MINUS_127, 3);
    let pixels = Input::Pixels { shape, samples: &samples, normalisation: &normalisation };
    let mut calibration = Calibration::new(&graph, &parameters(&graph), &Options::default()).unwrap();
    calibration.observe(&values).unwrap();
    let quantisation = Some(Arc::new(calibration.measured()));
    for precision in [Precision::Bf16, Precision::Int8] {
        let options =
            Options { precision, threads: 2, quantisation: quantisation.clone(), ..Options::default() };
        let [given, expected] = [pixels, (&values).into()].map(|input| run(&graph, &options, false, input));
        // A value in the middle between two of these numbers may fall to either side.
        let difference = difference(&given, &expected);
        assert!(difference < 0.02, "{precision}: {difference}");
        assert_eq!(given, run(&graph, &options, true, pixels), "{precision}");
    }
}

#[test]
fn pixels_that_do_not_fit_are_refused() {
    let graph = EfficientNet::from_name("efficientnet-lite0").unwrap().graph();
    let model = Model::new(&graph, &parameters(&graph), &Options::default()).unwrap();
    let normalisations = [1, 3].map(|channels| PixelNormalisation::new(Normalisation::IMAGENET, channels));
    let run = |shape, len: usize, normalisation| {
        model.run(Input::Pixels { shape, samples: &vec![0; len], normalisation }).unwrap_err()
    };
    let [grey, rgb] = &normalisations;
    assert!(matches!(run([1, 8, 8, 1], 64, grey), EngineError::InputShape { channels: 3, .. }));
    assert!(matches!(run([1, 0, 8, 3], 0, rgb), EngineError::InputShape { .. }));
    for (len, normalisation, words) in [(191, rgb, "192 samples, not 191"), (192, grey, "by channel, not 1")]
    {
        let error = run([1, 8, 8, 3], len, normalisation).to_string();
        assert!(error.contains(words), "{error}");
    }
}
