//! Training against PyTorch: the goldens that `scripts/parity/make_gradient_goldens.py` writes, which says what they
//! hold and how weights and pictures are made.

#[path = "../../effigy/tests/generator/mod.rs"]
mod generator;

use std::path::Path;

use effigy_arch::{EfficientDet, EfficientNet, Graph, ParamRole};
use effigy_tensor::Tensor;
use effigy_train::loss::{DetectionLoss, LossRecipe, TargetBox};
use effigy_train::{CpuDevice, CpuOptions, Device, Parameters, Pass};
use effigy_vision::InputBox;
use generator::{bits, parameter, uniform};
use serde::Deserialize;

/// How far a loss may be from PyTorch's, relatively.
const LOSS: f64 = 1e-5;
/// How far a parameter's gradient may be, as a share of its length.
const GRADIENT: f64 = 1e-3;
/// A gradient shorter than this share of the longest is nothing, here as there: that of a bias before a BatchNorm, of
/// which in single precision only rounding is left.
const NOTHING: f64 = 1e-6;
/// How far moving statistics may be, as a share of their length.
const STATISTICS: f64 = 1e-5;
/// How far the loss may be in any of 20 steps, relatively.
const CURVE: f64 = 1e-3;

/// Of each picture: top, left, bottom and right in pixels, and the class slot.
const OBJECTS: [[([f32; 4], usize); 2]; 2] = [
    [([20.0, 30.0, 120.0, 150.0], 0), ([100.0, 90.0, 140.0, 121.0], 2)],
    [([60.0, 10.0, 220.0, 200.0], 1), ([5.0, 150.0, 40.0, 180.0], 0)],
];
const SIGNS: [u64; 2] = [1 << 34, 1 << 35];

#[derive(Deserialize)]
struct Golden {
    model: String,
    classes: usize,
    batch: usize,
    height: usize,
    width: usize,
    rate: f32,
    loss: f64,
    curve: Vec<f64>,
    gradients: Vec<[f64; 3]>,
    statistics: Vec<[f64; 3]>,
}

fn golden(name: &str) -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
    serde_json::from_slice(&std::fs::read(path).expect("the golden is there")).expect("a golden")
}

/// A network in training, and the places of its parameters in the golden's order.
struct Training {
    golden: Golden,
    /// The loss of a detector.
    detection: Option<DetectionLoss>,
    device: CpuDevice,
    parameters: Parameters,
    order: Vec<usize>,
    input: Tensor,
}

impl Training {
    fn new(name: &str) -> Self {
        let golden = golden(name);
        let (detection, graph) = graph(&golden);
        let mut parameters = Parameters::zeroed(&graph);
        let slots = parameters.slots().to_vec();
        let mut order: Vec<usize> = (0..slots.len()).collect();
        if detection.is_some() {
            order.sort_by_key(|i| &slots[*i].spec.name);
        }
        for (place, i) in order.iter().enumerate() {
            let spec = &slots[*i].spec;
            let stream = if detection.is_some() { fnv1a(&spec.name) } else { place as u64 + 1 };
            let owner = spec.name.rsplit_once('.').expect("a parameter belongs to a node").0;
            let normalises = slots.iter().any(|slot| slot.spec.name == format!("{owner}.running_mean"));
            let mut values = parameter(stream, spec.role, &spec.shape, normalises.then_some((0.0, 1.0)));
            begin(&spec.name, values.data_mut());
            parameters.values_mut()[slots[*i].range.clone()].copy_from_slice(values.data());
        }
        let input = uniform(0, &[golden.batch, golden.height, golden.width, 3], -2.0, 2.0);
        let device = CpuDevice::new(graph, &CpuOptions::new(2));
        Self { golden, detection, device, parameters, order, input }
    }

    /// The loss and the gradients of a step, at which moving statistics move.
    fn step(&mut self) -> (f64, Parameters) {
        let pass = Pass::Train { seed: 0 };
        let outputs = self.device.forward(&mut self.parameters, &self.input, pass).expect("runs");
        let (loss, d) = match &self.detection {
            Some(detection) => {
                let (value, d) = detection.loss(&outputs, &objects());
                (value.total, d)
            }
            None => cross_entropy(&outputs),
        };
        let mut gradients = self.parameters.zeros_like();
        self.device.backward(&self.parameters, &d, &mut gradients).expect("runs");
        (loss, gradients)
    }

    /// Every parameter that is trained, or that is not, in the golden's order: its place and its values.
    fn each<'a>(&self, values: &'a Parameters, trained: bool) -> Vec<(usize, String, &'a [f32])> {
        let slots = values.slots();
        let all = self.order.iter().enumerate().map(|(place, i)| (place, &slots[*i]));
        let those = all.filter(|(_, slot)| slot.spec.role.is_trainable() == trained);
        those
            .map(|(place, slot)| (place, slot.spec.name.clone(), &values.values()[slot.range.clone()]))
            .collect()
    }
}

/// A network's graph, without anything that is dropped, and the loss of a detector.
fn graph(golden: &Golden) -> (Option<DetectionLoss>, Graph) {
    match EfficientNet::from_name(&golden.model) {
        Ok(network) => {
            let network = EfficientNet { dropout: 0.0, drop_connect: 0.0, ..network };
            (None, network.with_classes(golden.classes).graph())
        }
        Err(_) => {
            let detector = EfficientDet::from_name(&golden.model).expect("a golden's model is known");
            let backbone = EfficientNet { drop_connect: 0.0, ..detector.backbone.clone() };
            let anchors = detector.anchor_boxes(golden.height, golden.width);
            let loss = DetectionLoss::new(LossRecipe::OFFICIAL, golden.classes, anchors);
            (Some(loss), detector.with_backbone(backbone).with_classes(golden.classes).graph())
        }
    }
}

/// What a detector's last layers are made to begin with.
fn begin(name: &str, values: &mut [f32]) {
    if name.contains(".predict.") && name.ends_with(".weight") {
        values.iter_mut().for_each(|value| *value *= 0.1);
    }
    if name == "class.predict.pointwise.bias" {
        values.iter_mut().for_each(|value| *value -= 4.6);
    }
}

fn objects() -> Vec<Vec<TargetBox>> {
    let objects = OBJECTS.map(|objects| {
        let object = |([y1, x1, y2, x2], class_index): ([f32; 4], usize)| {
            let bounds = InputBox { y1, x1, y2, x2 };
            TargetBox { bounds, class_index }
        };
        objects.map(object).to_vec()
    });
    objects.to_vec()
}

fn fnv1a(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

fn cross_entropy(outputs: &[Tensor]) -> (f64, Vec<Tensor>) {
    let (batch, classes) = (outputs[0].shape()[0], outputs[0].shape()[3]);
    let mut d = outputs[0].clone();
    let mut loss = 0.0;
    for (image, d) in d.data_mut().chunks_exact_mut(classes).enumerate() {
        let label = image * 7 % classes;
        let total: f64 = d.iter().map(|logit| f64::from(*logit).exp()).sum();
        loss += (total.ln() - f64::from(d[label])) / batch as f64;
        for (class, d) in d.iter_mut().enumerate() {
            let share = f64::from(*d).exp() / total - f64::from(u8::from(class == label));
            *d = (share / batch as f64) as f32;
        }
    }
    (loss, vec![d])
}

/// Norm, and two sums with random signs.
fn fingerprint(place: usize, values: &[f32]) -> [f64; 3] {
    let norm = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let [a, b] = SIGNS.map(|stream| {
        let sign = |i| if bits(stream + place as u64, i) & 1 == 1 { -1.0 } else { 1.0 };
        values.iter().enumerate().map(|(i, v)| f64::from(*v) * sign(i)).sum::<f64>()
    });
    [norm, a, b]
}

/// The largest distance of a fingerprint from the expected one, as a share of its norm, with the name; of what is
/// `nothing`, as a share of the largest that may be taken for that.
fn worst(expected: &[[f64; 3]], actual: &[(usize, String, &[f32])]) -> (f64, String) {
    assert_eq!(expected.len(), actual.len());
    let nothing = NOTHING * expected.iter().map(|fingerprint| fingerprint[0]).fold(0.0, f64::max);
    let mut worst = (0.0, String::new());
    for (expected, (place, name, values)) in expected.iter().zip(actual) {
        let found = fingerprint(*place, values);
        if expected[0] < nothing {
            assert!(found[0] < nothing, "{name} has a gradient of length {}", found[0]);
            continue;
        }
        for (value, found) in expected.iter().zip(found) {
            let apart = (value - found).abs() / expected[0];
            if apart > worst.0 || apart.is_nan() {
                worst = (apart, name.clone());
            }
        }
    }
    worst
}

/// The same for the gradients themselves, which `scripts/parity/run.py` has written to a file.
fn worst_whole(file: &Path, golden: &Golden, actual: &[(usize, String, &[f32])]) -> (f64, String) {
    let bytes = std::fs::read(file).expect("the gradients are there");
    let expected: Vec<f32> =
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    assert_eq!(expected.len(), actual.iter().map(|(_, _, values)| values.len()).sum::<usize>());
    let nothing = NOTHING * golden.gradients.iter().map(|fingerprint| fingerprint[0]).fold(0.0, f64::max);
    let (mut worst, mut rest) = ((0.0, String::new()), &expected[..]);
    for (fingerprint, (_, name, values)) in golden.gradients.iter().zip(actual) {
        let (expected, after) = rest.split_at(values.len());
        rest = after;
        let square = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
        let apart = expected.iter().zip(*values).map(square).sum::<f64>().sqrt() / fingerprint[0];
        if fingerprint[0] >= nothing && (apart > worst.0 || apart.is_nan()) {
            worst = (apart, name.clone());
        }
    }
    worst
}

fn compare(name: &str) {
    let mut training = Training::new(name);
    let (loss, gradients) = training.step();
    let apart = (loss / training.golden.loss - 1.0).abs();
    println!("{name}: loss {loss}, apart {apart:.2e}");
    assert!(apart < LOSS, "loss {loss}, PyTorch's is {}", training.golden.loss);
    let (apart, parameter) = worst(&training.golden.gradients, &training.each(&gradients, true));
    println!("{name}: gradients apart {apart:.2e} ({parameter})");
    assert!(apart < GRADIENT, "the gradient of {parameter} is off by {apart} of its length");
    if let Some(folder) = std::env::var_os("EFFIGY_GRADIENTS") {
        let file = Path::new(&folder).join(&training.golden.model).with_extension("f32");
        let (apart, parameter) = worst_whole(&file, &training.golden, &training.each(&gradients, true));
        println!("{name}: whole gradients apart {apart:.2e} ({parameter})");
        assert!(apart < GRADIENT, "the gradient of {parameter} is off by {apart} of its length");
    }
    let (apart, parameter) = worst(&training.golden.statistics, &training.each(&training.parameters, false));
    println!("{name}: moving statistics apart {apart:.2e} ({parameter})");
    assert!(apart < STATISTICS, "{parameter} is off by {apart} of its length");
}

fn compare_curves(name: &str) {
    let mut training = Training::new(name);
    let mut momentum = training.parameters.zeros_like();
    let mut worst = 0.0_f64;
    for step in 0..training.golden.curve.len() {
        let (loss, gradients) = training.step();
        let apart = (loss / training.golden.curve[step] - 1.0).abs();
        worst = worst.max(apart);
        assert!(apart < CURVE, "step {step}: loss {loss}, PyTorch's is {}", training.golden.curve[step]);
        let slots = training.parameters.slots().to_vec();
        for slot in slots.iter().filter(|slot| slot.spec.role != ParamRole::RunningMean) {
            let range = slot.range.clone();
            let momentum = &mut momentum.values_mut()[range.clone()];
            let gradients = &gradients.values()[range.clone()];
            let values = &mut training.parameters.values_mut()[range];
            for ((value, momentum), gradient) in values.iter_mut().zip(momentum).zip(gradients) {
                *momentum = 0.9 * *momentum + gradient;
                *value -= training.golden.rate * *momentum;
            }
        }
    }
    println!("{name}: curve of 20 steps apart {worst:.2e}");
}

#[test]
fn b0_trains_as_in_pytorch() {
    compare("efficientnet-b0.json");
    compare_curves("efficientnet-b0.json");
}

#[test]
fn d0_has_the_gradients_of_pytorch() {
    compare("tf_efficientdet_d0.json");
}

#[test]
fn d0_trains_as_in_pytorch() {
    compare_curves("tf_efficientdet_d0.json");
}
