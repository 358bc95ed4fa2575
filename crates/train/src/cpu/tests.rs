use effigy_arch::{Convention, EfficientDet, EfficientNet, Family, ParamRole};
use effigy_kernels::naive::noise;

use super::*;

/// A network that one can afford to run a hundred times.
fn small(family: Family) -> EfficientNet {
    let network = EfficientNet::scaled(family, 0.25, 0.3, 32).with_classes(5);
    EfficientNet { dropout: 0.3, drop_connect: 0.4, ..network }
}

fn small_detector(name: &str) -> EfficientDet {
    let detector = EfficientDet::from_name(name).unwrap();
    let backbone = small(detector.backbone.family).with_convention(detector.backbone.convention);
    EfficientDet { channels: 8, cells: 2, head_repeats: 2, ..detector }
        .with_backbone(backbone)
        .with_classes(2)
}

/// Weights as a training starts from, statistics and affine parameters away from their first values.
fn parameters(graph: &Graph) -> Parameters {
    let mut parameters = Parameters::zeroed(graph);
    for (seed, slot) in parameters.slots().to_vec().into_iter().enumerate() {
        let fan_in: usize = slot.spec.shape[1..].iter().product();
        let matrix = slot.spec.shape.len() > 1;
        let values = noise(slot.range.len(), seed as u32 + 1);
        for (to, value) in parameters.values_mut()[slot.range.clone()].iter_mut().zip(values) {
            *to = match slot.spec.role {
                ParamRole::Weight if matrix => value * (6.0 / fan_in as f32).sqrt(),
                ParamRole::Weight | ParamRole::RunningVar => 1.0 + 0.5 * value,
                ParamRole::Bias | ParamRole::RunningMean => 0.5 * value,
            };
        }
    }
    parameters
}

fn picture(seed: u32, shape: [usize; 4]) -> Tensor {
    Tensor::new(&shape, noise(shape.iter().product(), seed)).unwrap()
}

/// A fixed linear loss of the outputs, and its gradient.
fn loss(outputs: &[Tensor]) -> (f64, Vec<Tensor>) {
    let mut sum = 0.0;
    let gradients = outputs.iter().zip(100..).map(|(output, seed)| {
        let d = noise(output.data().len(), seed);
        sum += output.data().iter().zip(&d).map(|(y, d)| f64::from(*y) * f64::from(*d)).sum::<f64>();
        Tensor::new(output.shape(), d).unwrap()
    });
    let gradients = gradients.collect();
    (sum, gradients)
}

const SEED: u64 = 11;

/// Gradients that differ by more than this share from those nearby are not looked at.
const ROUNDING: f64 = 3e-3;
/// How far "nearby" is: what is added to the pictures, whose values are in -1..1.
const NEARBY: f32 = 1e-5;

fn gradient(device: &mut CpuDevice, parameters: &Parameters, input: &Tensor) -> (f64, Parameters) {
    let mut gradients = parameters.zeros_like();
    let mut moved = parameters.clone();
    let outputs = device.forward(&mut moved, input, Pass::Train { seed: SEED }).unwrap();
    let (loss, output_gradients) = loss(&outputs);
    device.backward(parameters, &output_gradients, &mut gradients).unwrap();
    (loss, gradients)
}

/// How far the slope of the loss along a parameter's gradient may be from the gradient's length, relatively.
const SLOPE_TOLERANCE: f64 = 2e-2;
/// Parameters are moved by these shares of their length, for their slope: where the loss bends a long step is too
/// long, where it is slight a short one drowns in rounding.
const STEPS: [f64; 3] = [3e-3, 3e-4, 6e-5];

/// Along each parameter's gradient, the loss must rise as fast as the gradient is long.
fn check_slopes(graph: Graph, input: &Tensor) {
    let start = parameters(&graph);
    let mut device = CpuDevice::new(graph, &CpuOptions::new(2));
    let (_, gradients) = gradient(&mut device, &start, input);
    let portable = CpuOptions { isa: Isa::from_name("portable").unwrap(), ..CpuOptions::new(2) };
    let nudges = noise(input.data().len(), 99).into_iter().map(|value| NEARBY * value);
    let nearby = input.data().iter().zip(nudges).map(|(value, nudge)| value + nudge).collect();
    let nearby = Tensor::new(input.shape(), nearby).unwrap();
    let (_, others) = gradient(&mut CpuDevice::new(device.graph.clone(), &portable), &start, &nearby);
    let longest = gradients.slots().iter().map(|slot| length(&gradients.values()[slot.range.clone()]));
    let longest = longest.fold(0.0, f64::max);
    let mut checked = 0;
    for (i, slot) in start.slots().iter().enumerate() {
        let direction = &gradients.values()[slot.range.clone()];
        let len = length(direction);
        // A bias before a BatchNorm has none, and single precision shows no slope that is so slight.
        if len < 1e-3 * longest || i % 3 != 0 {
            continue;
        }
        // Where the network amplifies rounding, single precision has no better gradient to offer; and where the two
        // largest values below a maximum pooling are nearly equal, the slope is another a little further on.
        let other = &others.values()[slot.range.clone()];
        let apart: Vec<f32> = direction.iter().zip(other).map(|(a, b)| a - b).collect();
        if length(&apart) > ROUNDING * len {
            continue;
        }
        let slopes = STEPS.map(|step| {
            let step = step * length(&start.values()[slot.range.clone()]).max(1e-2);
            let [more, less] = [step, -step].map(|step| {
                let mut moved = start.clone();
                for (value, d) in moved.values_mut()[slot.range.clone()].iter_mut().zip(direction) {
                    *value += (f64::from(*d) / len * step) as f32;
                }
                let outputs = device.forward(&mut moved, input, Pass::Train { seed: SEED }).unwrap();
                loss(&outputs).0
            });
            (more - less) / (2.0 * step)
        });
        let near = slopes.iter().any(|slope| (slope / len - 1.0).abs() < SLOPE_TOLERANCE);
        let name = &slot.spec.name;
        assert!(near, "{name}: slopes {slopes:?}, gradient {len}");
        checked += 1;
    }
    assert!(checked > 10, "only {checked} parameters have a gradient");
}

fn length(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn gradients_are_slopes_in_every_family() {
    // Smooth activations only: at a kink there is no slope to compare with.
    for family in [Family::V1, Family::V2Base, Family::V2S] {
        for convention in [Convention::TENSORFLOW, Convention::TIMM_NATIVE] {
            let network = small(family).with_convention(convention);
            check_slopes(network.graph(), &picture(1, [3, 37, 44, 3]));
        }
    }
}

#[test]
fn gradients_are_slopes_in_detectors() {
    check_slopes(small_detector("efficientdet_d0").graph(), &picture(2, [3, 256, 256, 3]));
    check_slopes(small_detector("efficientdet-d0").graph(), &picture(2, [3, 256, 240, 3]));
    check_slopes(small_detector("efficientdet-d7").graph(), &picture(3, [3, 256, 256, 3]));
}

#[test]
fn every_network_trains() {
    let names = [
        "efficientnet-b1",
        "efficientnet-lite0",
        "efficientnet-edgetpu-s",
        "efficientnetv2-b0",
        "efficientnetv2-s",
    ];
    for name in names {
        // Where every image is dropped, nothing is learnt.
        let network = EfficientNet { drop_connect: 0.0, ..EfficientNet::from_name(name).unwrap() };
        all_finite(network.with_classes(3).graph(), &picture(1, [2, 33, 40, 3]));
    }
    for name in ["efficientdet-d0", "efficientdet-lite0", "zylo117/efficientdet-d0"] {
        let detector = EfficientDet::from_name(name).unwrap().with_classes(3);
        let backbone = EfficientNet { drop_connect: 0.0, ..detector.backbone.clone() };
        all_finite(detector.with_backbone(backbone).graph(), &picture(1, [2, 128, 128, 3]));
    }
}

fn all_finite(graph: Graph, input: &Tensor) {
    let start = parameters(&graph);
    let mut device = CpuDevice::new(graph, &CpuOptions::new(2));
    let (loss, gradients) = gradient(&mut device, &start, input);
    assert!(loss.is_finite());
    for slot in gradients.slots() {
        let length = length(&gradients.values()[slot.range.clone()]);
        assert!(length.is_finite(), "{}", slot.spec.name);
        if slot.spec.role.is_trainable() {
            assert!(length > 0.0, "{} has no gradient", slot.spec.name);
        } else {
            assert_eq!(length, 0.0);
        }
    }
    assert_eq!(device.first_not_finite(), None);
}

#[test]
fn results_do_not_depend_on_threads_or_on_what_ran_before() {
    let graph = small(Family::V1).graph();
    let (start, input) = (parameters(&graph), picture(1, [3, 64, 48, 3]));
    let mut results = Vec::new();
    for threads in [1, 2, 5] {
        let mut device = CpuDevice::new(graph.clone(), &CpuOptions::new(threads));
        for _ in 0..2 {
            let (loss, gradients) = gradient(&mut device, &start, &input);
            results.push((loss, gradients.values().to_vec()));
            // Another shape in between.
            gradient(&mut device, &start, &picture(2, [2, 40, 40, 3]));
        }
    }
    assert!(results.iter().all(|result| *result == results[0]));
}

/// How far gradients may be from those of the whole batch at once, as a share of their length: sums of another order.
const TURNS: f64 = 1e-4;

#[test]
fn results_do_not_depend_on_how_many_images_take_turns() {
    for family in [Family::V1, Family::Lite, Family::V2S] {
        let graph = small(family).graph();
        let (start, input) = (parameters(&graph), picture(1, [6, 48, 40, 3]));
        let [whole, single] = [usize::MAX, 1].map(|cached| {
            let mut device = CpuDevice::new(graph.clone(), &CpuOptions::new(2));
            device.cached = cached;
            // What the first leaves in memory must not matter to the second.
            gradient(&mut device, &start, &input);
            gradient(&mut device, &start, &input)
        });
        assert!((single.0 - whole.0).abs() < TURNS * whole.0.abs(), "{family:?}: {} {}", single.0, whole.0);
        let apart: Vec<f32> = single.1.values().iter().zip(whole.1.values()).map(|(a, b)| a - b).collect();
        let (apart, len) = (length(&apart), length(whole.1.values()));
        assert!(apart < TURNS * len, "{family:?}: {apart} of {len}");
    }
}

/// What is computed with 16-bit floats is off by at most so many times what rounding the weights alone does, once, and
/// by at least one such part of it: activations and gradients are rounded as well, before every convolution.
const ROUNDINGS: f64 = 4.0;

#[test]
fn bf16_is_as_near_as_its_rounding() {
    for family in [Family::V1, Family::Lite] {
        let graph = small(family).graph();
        let (start, input) = (parameters(&graph), picture(1, [4, 48, 40, 3]));
        let mut rounded = start.clone();
        for slot in start.slots().iter().filter(|slot| slot.spec.shape.len() > 1) {
            let values = &mut rounded.values_mut()[slot.range.clone()];
            values.iter_mut().for_each(|value| *value = effigy_kernels::bf16::round(*value));
        }
        let results = |precision, start: &Parameters| {
            let options = CpuOptions { precision, ..CpuOptions::new(2) };
            let mut device = CpuDevice::new(graph.clone(), &options);
            let outputs = device.forward(&mut start.clone(), &input, Pass::Evaluate).unwrap().remove(0);
            [outputs.data().to_vec(), gradient(&mut device, start, &input).1.values().to_vec()]
        };
        let exact = results(TrainingPrecision::Fp32, &start);
        let weights_alone = results(TrainingPrecision::Fp32, &rounded);
        let all = results(TrainingPrecision::Bf16, &start);
        for (i, what) in ["outputs", "gradients"].into_iter().enumerate() {
            let off = |found: &[f32]| {
                length(&found.iter().zip(&exact[i]).map(|(a, b)| a - b).collect::<Vec<f32>>())
            };
            let (alone, all) = (off(&weights_alone[i]), off(&all[i]));
            assert!(all < ROUNDINGS * alone, "{family:?}: {what} are off by {all}, {alone} by weights alone");
            assert!(all > alone / ROUNDINGS, "{family:?}: {what} are off by {all}, {alone} by weights alone");
        }
    }
}

#[test]
fn gradients_are_added() {
    let graph = small(Family::V1).graph();
    let (start, input) = (parameters(&graph), picture(1, [2, 32, 32, 3]));
    let mut device = CpuDevice::new(graph, &CpuOptions::new(2));
    let (_, once) = gradient(&mut device, &start, &input);
    let mut twice = start.zeros_like();
    for _ in 0..2 {
        let outputs = device.forward(&mut start.clone(), &input, Pass::Train { seed: SEED }).unwrap();
        device.backward(&start, &loss(&outputs).1, &mut twice).unwrap();
    }
    // To the last digits: what comes second is added to the first in parts.
    for slot in twice.slots() {
        let (twice, once) = (&twice.values()[slot.range.clone()], &once.values()[slot.range.clone()]);
        let off: Vec<f32> = twice.iter().zip(once).map(|(twice, once)| twice - 2.0 * once).collect();
        assert!(
            length(&off) <= 1e-6 * length(twice),
            "{}: {} of {}",
            slot.spec.name,
            length(&off),
            length(twice)
        );
    }
}

#[test]
fn what_is_frozen_gets_no_gradient_and_moves_no_statistics() {
    let graph = small(Family::V1).graph();
    let (start, input) = (parameters(&graph), picture(1, [2, 32, 32, 3]));
    let mut options = CpuOptions::new(1);
    let frozen = |name: &str| name.starts_with("stem") || name.starts_with("blocks.");
    options.frozen =
        start.slots().iter().map(|slot| slot.spec.name.clone()).filter(|name| frozen(name)).collect();
    let mut device = CpuDevice::new(graph.clone(), &options);
    let mut moved = start.clone();
    let mut gradients = start.zeros_like();
    let outputs = device.forward(&mut moved, &input, Pass::Train { seed: SEED }).unwrap();
    device.backward(&start, &loss(&outputs).1, &mut gradients).unwrap();
    for slot in start.slots() {
        let (name, range) = (slot.spec.name.as_str(), slot.range.clone());
        let length = length(&gradients.values()[range.clone()]);
        assert_eq!(length > 0.0, slot.spec.role.is_trainable() && !frozen(name), "{name}");
        let same = moved.values()[range.clone()] == start.values()[range];
        assert_eq!(same, slot.spec.role.is_trainable() || frozen(name), "{name}");
    }
    let everything = CpuDevice::new(graph, &CpuOptions::new(1));
    let shape = [2, 32, 32, 3];
    assert!(device.memory_needed(shape) < everything.memory_needed(shape));
}

#[test]
fn what_is_frozen_computes_the_same_folded() {
    for family in [Family::V1, Family::Lite] {
        let graph = small(family).graph();
        let (start, input) = (parameters(&graph), picture(1, [2, 32, 32, 3]));
        let mut options = CpuOptions::new(2);
        options.frozen = start.slots().iter().map(|slot| slot.spec.name.clone()).collect();
        let evaluate = |options: &CpuOptions, pass| {
            CpuDevice::new(graph.clone(), options)
                .forward(&mut start.clone(), &input, pass)
                .unwrap()
                .remove(0)
        };
        let apart = evaluate(&CpuOptions::new(2), Pass::Evaluate);
        let folded = evaluate(&options, Pass::Evaluate);
        let difference: Vec<f32> = apart.data().iter().zip(folded.data()).map(|(a, b)| a - b).collect();
        assert!(length(&difference) < 1e-5 * length(apart.data()), "{family:?}");
        assert!(length(&difference) > 0.0, "nothing is folded");
    }
}

#[test]
fn evaluation_follows_the_moving_statistics_and_changes_nothing() {
    let graph = small(Family::V1).graph();
    let (start, input) = (parameters(&graph), picture(1, [2, 32, 32, 3]));
    let mut device = CpuDevice::new(graph, &CpuOptions::new(2));
    let mut moved = start.clone();
    let both = device.forward(&mut moved, &input, Pass::Evaluate).unwrap();
    assert_eq!(moved.values(), start.values());
    // An image's result does not depend on those beside it.
    let first = Tensor::new(&[1, 32, 32, 3], input.data()[..32 * 32 * 3].to_vec()).unwrap();
    let alone = device.forward(&mut moved, &first, Pass::Evaluate).unwrap();
    assert_eq!(alone[0].data(), &both[0].data()[..5]);
    let nothing = device.backward(&start, &both, &mut start.zeros_like());
    assert!(matches!(nothing, Err(DeviceError::Gradients(_))));
}

#[test]
fn wrong_shapes_are_refused() {
    let graph = small(Family::V1).graph();
    let mut start = parameters(&graph);
    let mut device = CpuDevice::new(graph, &CpuOptions::new(1));
    let wrong = device.forward(&mut start, &picture(1, [1, 8, 8, 4]), Pass::Evaluate);
    assert!(matches!(wrong, Err(DeviceError::Input { channels: 3, .. })));
    device.forward(&mut start, &picture(1, [1, 32, 32, 3]), Pass::Train { seed: 1 }).unwrap();
    let mut gradients = start.zeros_like();
    let wrong = device.backward(&start, &[Tensor::zeros(&[1, 1, 1, 4])], &mut gradients);
    assert!(matches!(wrong, Err(DeviceError::Gradients(_))));
}

#[test]
fn a_value_that_is_not_finite_is_named() {
    let graph = small(Family::V1).graph();
    let mut start = parameters(&graph);
    start.get_mut("blocks.2.project.conv.weight").unwrap()[0] = f32::NAN;
    let mut device = CpuDevice::new(graph, &CpuOptions::new(1));
    device.forward(&mut start, &picture(1, [2, 32, 32, 3]), Pass::Train { seed: 1 }).unwrap();
    assert_eq!(device.first_not_finite().as_deref(), Some("blocks.2.project.conv"));
    let mut options = CpuOptions::new(1);
    options.frozen = start.slots().iter().map(|slot| slot.spec.name.clone()).collect();
    let mut device = CpuDevice::new(small(Family::V1).graph(), &options);
    device.forward(&mut start, &picture(1, [2, 32, 32, 3]), Pass::Train { seed: 1 }).unwrap();
    assert_eq!(device.first_not_finite().as_deref(), Some("blocks.2.project.bn"));
}
