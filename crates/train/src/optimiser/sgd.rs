//! Stochastic gradient descent.

use super::{Optimiser, StepSize, Update, apply};
use crate::{Groups, Parameters};

/// SGD with momentum: `v = momentum · v + g`, `p −= lr · v`, where the weight decay is part of g; with Nesterov's
/// momentum `p −= lr · (g + momentum · v)`. As PyTorch and TensorFlow have it.
#[derive(Clone, Debug)]
pub struct Sgd {
    momentum: f32,
    nesterov: bool,
    velocity: Parameters,
    steps: u64,
}

impl Sgd {
    /// An optimiser at rest.
    #[must_use]
    pub fn new(parameters: &Parameters, momentum: f32, nesterov: bool) -> Self {
        Self { momentum, nesterov, velocity: parameters.zeros_like(), steps: 0 }
    }
}

#[derive(Clone, Copy)]
struct Step {
    momentum: f32,
    nesterov: bool,
    learning_rate: f32,
    weight_decay: f32,
}

impl Update for Step {
    #[inline(always)]
    fn update(self, parameter: &mut f32, gradient: f32, velocity: &mut f32, _: &mut f32) {
        let gradient = gradient + self.weight_decay * *parameter;
        *velocity = self.momentum * *velocity + gradient;
        let step = if self.nesterov { gradient + self.momentum * *velocity } else { *velocity };
        *parameter -= self.learning_rate * step;
    }
}

impl Optimiser for Sgd {
    fn step(&mut self, parameters: &mut Parameters, gradients: &Parameters, groups: &Groups, size: StepSize) {
        let StepSize { learning_rate, gradient_scale } = size;
        let Self { momentum, nesterov, .. } = *self;
        let moments = (&mut self.velocity, None);
        apply(parameters, gradients, gradient_scale, moments, groups, |weight_decay| Step {
            momentum,
            nesterov,
            learning_rate,
            weight_decay,
        });
        self.steps += 1;
    }

    fn moments(&self) -> Vec<&Parameters> {
        vec![&self.velocity]
    }

    fn moments_mut(&mut self) -> Vec<&mut Parameters> {
        vec![&mut self.velocity]
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }
}
