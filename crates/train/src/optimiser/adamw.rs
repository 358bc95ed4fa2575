//! Adam with decoupled weight decay.

use super::{Optimiser, StepSize, Update, apply};
use crate::{Groups, Parameters};

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101) as PyTorch has it: both moments corrected for their start at
/// zero, ε beside the root, and a weight decay of `lr · decay · p` apart from the gradient.
#[derive(Clone, Debug)]
pub struct AdamW {
    betas: [f32; 2],
    epsilon: f32,
    mean: Parameters,
    mean_square: Parameters,
    steps: u64,
}

impl AdamW {
    /// An optimiser at rest.
    #[must_use]
    pub fn new(parameters: &Parameters, betas: [f32; 2], epsilon: f32) -> Self {
        let (mean, mean_square) = (parameters.zeros_like(), parameters.zeros_like());
        Self { betas, epsilon, mean, mean_square, steps: 0 }
    }
}

#[derive(Clone, Copy)]
struct Step {
    betas: [f32; 2],
    epsilon: f32,
    /// The learning rate, the first moment's correction in it.
    step_size: f32,
    /// One over the root of the second moment's correction.
    root_scale: f32,
    /// One less the learning rate's share of the weight decay.
    keep: f32,
}

impl Update for Step {
    #[inline(always)]
    fn update(self, parameter: &mut f32, gradient: f32, mean: &mut f32, mean_square: &mut f32) {
        let [first, second] = self.betas;
        *mean += (1.0 - first) * (gradient - *mean);
        *mean_square = second * *mean_square + (1.0 - second) * gradient * gradient;
        let root = mean_square.sqrt() * self.root_scale + self.epsilon;
        *parameter = *parameter * self.keep - self.step_size * *mean / root;
    }
}

impl Optimiser for AdamW {
    fn step(&mut self, parameters: &mut Parameters, gradients: &Parameters, groups: &Groups, size: StepSize) {
        self.steps += 1;
        let StepSize { learning_rate, gradient_scale } = size;
        let Self { betas, epsilon, .. } = *self;
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(self.steps as f64);
        let [first, second] = betas.map(correction);
        let moments = (&mut self.mean, Some(&mut self.mean_square));
        apply(parameters, gradients, gradient_scale, moments, groups, |weight_decay| Step {
            betas,
            epsilon,
            step_size: (f64::from(learning_rate) / first) as f32,
            root_scale: (1.0 / second.sqrt()) as f32,
            keep: 1.0 - learning_rate * weight_decay,
        });
    }

    fn moments(&self) -> Vec<&Parameters> {
        vec![&self.mean, &self.mean_square]
    }

    fn moments_mut(&mut self) -> Vec<&mut Parameters> {
        vec![&mut self.mean, &mut self.mean_square]
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }
}
