//! What parameters are before they have learnt anything.

use effigy_arch::{Graph, Network, Op, ParamRole};
use effigy_data::{Purpose, Random};
use effigy_weights::Weights;

use crate::{Parameters, Slot, TrainError};

/// The probability with which a new detector takes an anchor for an object: arXiv 1708.02002, section 4.1.
const PRIOR: f32 = 0.01;

/// Parameters of `network`, drawn from `seed` alone.
///
/// EfficientNet: normal with variance 2 / fan-out, the classifier uniform within 1 / √classes
/// (tensorflow/tpu `efficientnet_model.py`). EfficientDet's pyramid: Glorot's uniform; its heads: normal with
/// variance 1 / fan-in, and a bias that takes hardly any anchor for an object (effdet `efficientdet.py`).
/// BatchNorm is the identity, fusion weights are 1, biases 0.
#[must_use]
pub fn initial(network: &Network, seed: u64) -> Parameters {
    let graph = network.graph();
    let mut parameters = Parameters::zeroed(&graph);
    for (index, slot) in parameters.slots().to_vec().iter().enumerate() {
        let random = &mut Random::new(Purpose::Parameters, [seed, index as u64, 0]);
        let values = &mut parameters.values_mut()[slot.range.clone()];
        fill(slot, values, random);
    }
    parameters
}

fn fill(slot: &Slot, values: &mut [f32], random: &mut Random) {
    let (name, shape) = (slot.spec.name.as_str(), &slot.spec.shape[..]);
    let normal = |values: &mut [f32], variance: f64, random: &mut Random| {
        values.iter_mut().for_each(|value| *value = (variance.sqrt() * random.normal()) as f32);
    };
    let uniform = |values: &mut [f32], bound: f64, random: &mut Random| {
        values.iter_mut().for_each(|value| *value = random.uniform([-bound, bound]) as f32);
    };
    match (slot.spec.role, shape) {
        (ParamRole::Weight, &[outputs, inputs, height, width]) => {
            // Of a depthwise convolution each output reads, and each input is read, k² times.
            let area = (height * width) as f64;
            let depthwise = inputs == 1 && outputs > 1;
            let (fan_in, fan_out) =
                (inputs as f64 * area, if depthwise { area } else { outputs as f64 * area });
            match part(name) {
                Part::Backbone => normal(values, 2.0 / fan_out, random),
                Part::Pyramid => uniform(values, (6.0 / (fan_in + fan_out)).sqrt(), random),
                Part::Head => normal(values, 1.0 / fan_in, random),
            }
        }
        (ParamRole::Weight, &[outputs, _]) => uniform(values, 1.0 / (outputs as f64).sqrt(), random),
        (ParamRole::Weight | ParamRole::RunningVar, _) => values.fill(1.0),
        (ParamRole::Bias, _) if name == "class.predict.pointwise.bias" => {
            values.fill(-((1.0 - PRIOR) / PRIOR).ln());
        }
        (ParamRole::Bias | ParamRole::RunningMean, _) => values.fill(0.0),
    }
}

/// The parts of a network that begin differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// An EfficientNet's convolutions.
    Backbone,
    /// A detector's pyramid.
    Pyramid,
    /// A classifier's last layer, or a detector's two heads.
    Head,
}

/// The part that a parameter is of, by its name.
pub(crate) fn part(name: &str) -> Part {
    let first = name.split('.').next().unwrap_or_default();
    match first {
        "class" | "box" => Part::Head,
        "bifpn" | "resample" => Part::Pyramid,
        _ if name.starts_with("head.classifier.") => Part::Head,
        _ => Part::Backbone,
    }
}

/// Puts the weights of a checkpoint in the place of initial values: those of equal name and shape. `may_differ`
/// tells the parameters that need not be there; a new classifier of a network that has learnt begins at zero, so
/// that its first answers are even. Returns the names of those that keep their initial values.
///
/// # Errors
/// [`TrainError::Unfit`] where another parameter is missing or has another shape.
pub(crate) fn transfer(
    parameters: &mut Parameters,
    weights: &Weights,
    may_differ: impl Fn(&str) -> bool,
) -> Result<Vec<String>, TrainError> {
    let (mut new, mut unfit) = (Vec::new(), Vec::new());
    for slot in parameters.slots().to_vec() {
        let name = slot.spec.name;
        let values = &mut parameters.values_mut()[slot.range];
        match weights.get(&name).filter(|param| param.shape == slot.spec.shape) {
            Some(param) => values.copy_from_slice(&param.values),
            None if may_differ(&name) => {
                if name.starts_with("head.classifier.") {
                    values.fill(0.0);
                }
                new.push(name);
            }
            None => unfit.push(name),
        }
    }
    match unfit.first() {
        Some(first) => Err(TrainError::Unfit { count: unfit.len(), first: first.clone() }),
        None => Ok(new),
    }
}

/// The names of a graph's BatchNorms' parameters, statistics included.
pub(crate) fn norms(graph: &Graph) -> Vec<String> {
    let norms = graph.nodes.iter().filter(|node| matches!(node.op, Op::BatchNorm { .. }));
    norms.flat_map(|node| node.param_specs().into_iter().map(|spec| spec.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_has_its_spread() {
        let network = Network::from_name("efficientdet-lite0").unwrap();
        let parameters = initial(&network, 1);
        let spread = |name: &str| {
            let values = parameters.get(name).unwrap();
            let squares: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
            (squares / values.len() as f64).sqrt()
        };
        // Within five standard errors of the smallest of them.
        let near = |name: &str, expected: f64| {
            assert!((spread(name) / expected - 1.0).abs() < 0.1, "{name}: {} {expected}", spread(name));
        };
        near("blocks.3.expand.conv.weight", (2.0_f64 / 144.0).sqrt());
        near("blocks.3.depthwise.conv.weight", (2.0_f64 / 25.0).sqrt());
        near("class.0.pointwise.weight", (1.0_f64 / 64.0).sqrt());
        near("bifpn.0.0.pointwise.weight", (6.0_f64 / 128.0 / 3.0).sqrt());
        assert_eq!(parameters.get("class.predict.pointwise.bias").unwrap()[0], -(99.0_f32).ln());
        assert_eq!(parameters.get("stem.bn.running_var").unwrap()[0], 1.0);
        assert_eq!(parameters.values(), initial(&network, 1).values());
        assert_ne!(parameters.values(), initial(&network, 2).values());
    }
}
