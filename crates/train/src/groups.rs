//! Which parameters are trained, and which of them decay.

use std::ops::Range;

use effigy_arch::ParamRole;

use crate::{Parameters, Slot};

/// The stretches of parameters that an optimiser changes, each with its weight decay.
#[derive(Clone, Debug, PartialEq)]
pub struct Groups {
    runs: Vec<Run>,
}

/// Parameters side by side that are treated alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Where they are in [`Parameters::values`].
    pub range: Range<usize>,
    /// Their weight decay; 0 for those that do not decay.
    pub weight_decay: f32,
}

impl Groups {
    /// The trainable parameters that `is_trained` tells. Weights of convolutions and linear layers decay by
    /// `weight_decay`; BatchNorm's, biases and a pyramid's fusion weights do not.
    #[must_use]
    pub fn new(parameters: &Parameters, weight_decay: f32, is_trained: impl Fn(&Slot) -> bool) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for slot in parameters.slots() {
            if !slot.spec.role.is_trainable() || !is_trained(slot) || slot.range.is_empty() {
                continue;
            }
            let decays = slot.spec.role == ParamRole::Weight && slot.spec.shape.len() > 1;
            let weight_decay = if decays { weight_decay } else { 0.0 };
            match runs.last_mut() {
                Some(run) if run.range.end == slot.range.start && run.weight_decay == weight_decay => {
                    run.range.end = slot.range.end;
                }
                _ => runs.push(Run { range: slot.range.clone(), weight_decay }),
            }
        }
        Self { runs }
    }

    /// The stretches, in the order of the values.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Values that are trained.
    #[must_use]
    pub fn count(&self) -> usize {
        self.runs.iter().map(|run| run.range.len()).sum()
    }

    /// The Euclidean norm of the gradients of all that is trained.
    #[must_use]
    pub fn norm(&self, gradients: &Parameters) -> f64 {
        let squares = |run: &Run| {
            // Lanes of their own, in a fixed order, so that the sum is the same everywhere.
            let (blocks, rest) = gradients.values()[run.range.clone()].as_chunks::<16>();
            let mut lanes = [0.0_f64; 16];
            for block in blocks {
                for (lane, &value) in lanes.iter_mut().zip(block) {
                    *lane += f64::from(value) * f64::from(value);
                }
            }
            lanes.iter().sum::<f64>() + rest.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>()
        };
        self.runs.iter().map(squares).sum::<f64>().sqrt()
    }
}

/// By what gradients of this `norm` are multiplied so that it is at most `limit`.
#[must_use]
pub fn clip_scale(norm: f64, limit: f64) -> f32 {
    if norm > limit { (limit / norm) as f32 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimiser::tests::example;

    #[test]
    fn norms_biases_and_statistics_are_told_apart() {
        let (parameters, gradients) = example();
        let groups = Groups::new(&parameters, 0.5, |_| true);
        let decays = |name: &str| {
            let slot = parameters.slots().iter().find(|slot| slot.spec.name == name).unwrap();
            let start = slot.range.start;
            groups.runs().iter().find(|run| run.range.contains(&start)).map(|run| run.weight_decay)
        };
        assert_eq!(decays("stem.conv.weight"), Some(0.5));
        assert_eq!(decays("head.classifier.weight"), Some(0.5));
        assert_eq!(decays("head.classifier.bias"), Some(0.0));
        assert_eq!(decays("stem.bn.weight"), Some(0.0));
        assert_eq!(decays("stem.bn.running_mean"), None);

        let expected: f64 = parameters
            .slots()
            .iter()
            .filter(|slot| slot.spec.role.is_trainable())
            .flat_map(|slot| &gradients.values()[slot.range.clone()])
            .map(|&value| f64::from(value).powi(2))
            .sum();
        assert!((groups.norm(&gradients) - expected.sqrt()).abs() < 1e-9);
        assert_eq!((clip_scale(4.0, 10.0), clip_scale(40.0, 10.0)), (1.0, 0.25));
    }
}
