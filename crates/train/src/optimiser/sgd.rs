//! Stochastic gradient descent.

use super::{Optimiser, StepSize, Stretch, Update, apply};
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
        let mut unused = Vec::new();
        for run in groups.runs() {
            let range = run.range.clone();
            unused.resize(unused.len().max(range.len()), 0.0);
            let Self { momentum, nesterov, .. } = *self;
            let step = Step {
                momentum,
                nesterov,
                learning_rate: size.learning_rate,
                weight_decay: run.weight_decay,
            };
            let stretch = Stretch {
                parameters: &mut parameters.values_mut()[range.clone()],
                gradients: &gradients.values()[range.clone()],
                gradient_scale: size.gradient_scale,
                first: &mut self.velocity.values_mut()[range],
                second: &mut unused,
            };
            apply(step, stretch);
        }
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
