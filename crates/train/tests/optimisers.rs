//! Optimisers equal to PyTorch's and timm's; `scripts/goldens/train_optimisers.py` made the goldens.

use effigy_arch::EfficientNet;
use effigy_train::optimiser::{AdamW, Optimiser, RmsProp, Sgd, StepSize};
use effigy_train::{Groups, Parameters};
use serde_json::Value;

/// Largest difference after five steps of values of about one.
const TOLERANCE: f64 = 3e-6;
const COUNT: usize = 40;

/// Checks that an optimiser moves values that decay, and ones that do not, as the golden says.
fn check(name: &str, learning_rate: f32, make: impl Fn(&Parameters) -> Box<dyn Optimiser>) {
    let golden: Value = serde_json::from_str(include_str!("golden/optimisers.json")).unwrap();
    let graph = EfficientNet::from_name("efficientnet-b0").unwrap().graph();
    let mut parameters = Parameters::zeroed(&graph);
    // A weight, which decays, and a norm's scale of at least as many values, which does not.
    for (slot, decay) in [("blocks.3.expand.conv.weight", "0.05"), ("blocks.3.expand.bn.weight", "0.0")] {
        let mut gradients = parameters.zeros_like();
        let groups = Groups::new(&parameters, 0.05, |other| other.spec.name == slot);
        let mut optimiser = make(&parameters);
        let wave = |at: &mut Parameters, value: &dyn Fn(f64) -> f64| {
            let values = &mut at.get_mut(slot).unwrap()[..COUNT];
            values.iter_mut().enumerate().for_each(|(i, v)| *v = value(i as f64) as f32);
        };
        wave(&mut parameters, &f64::sin);
        for step in 0..5 {
            // Half of the gradient twice: scales count.
            wave(&mut gradients, &|i| 2.0 * (0.3 * i + f64::from(step)).cos());
            let size = StepSize { learning_rate, gradient_scale: 0.5 };
            optimiser.step(&mut parameters, &gradients, &groups, size);
        }
        let expected = golden[name][decay].as_array().unwrap();
        for (i, (&found, expected)) in parameters.get(slot).unwrap().iter().zip(expected).enumerate() {
            let expected = expected.as_f64().unwrap();
            let error = (f64::from(found) - expected).abs();
            assert!(error < TOLERANCE, "{name} {decay} {i}: {found}, not {expected}");
        }
    }
}

#[test]
fn sgd_is_pytorchs() {
    check("sgd", 0.1, |parameters| Box::new(Sgd::new(parameters, 0.9, false)));
    check("nesterov", 0.1, |parameters| Box::new(Sgd::new(parameters, 0.9, true)));
}

#[test]
fn rmsprop_is_timms_of_tensorflow() {
    check("rmsprop", 0.01, |parameters| Box::new(RmsProp::new(parameters, 0.9, 0.9, 1e-3)));
}

#[test]
fn adamw_is_pytorchs() {
    check("adamw", 0.01, |parameters| Box::new(AdamW::new(parameters, [0.9, 0.99], 1e-8)));
}
