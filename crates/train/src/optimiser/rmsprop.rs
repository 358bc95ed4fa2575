//! RMSProp as TensorFlow defines it.

use super::{Optimiser, StepSize, Update, apply};
use crate::{Groups, Parameters};

/// RMSProp of `tf.compat.v1.train.RMSPropOptimizer`, which EfficientNet was trained with, and of timm's
/// `RMSpropTF`:
///
/// ```text
/// s = s + (1 − decay) · (g² − s)      from 1
/// m = momentum · m + lr · g / √(s + ε)
/// p = p − m
/// ```
///
/// Three things differ from PyTorch's: ε is inside the root, the mean starts at 1, and the learning rate is part
/// of the momentum. The weight decay is part of g.
#[derive(Clone, Debug)]
pub struct RmsProp {
    decay: f32,
    momentum: f32,
    epsilon: f32,
    mean_square: Parameters,
    velocity: Parameters,
    steps: u64,
}

impl RmsProp {
    /// An optimiser at rest.
    #[must_use]
    pub fn new(parameters: &Parameters, decay: f32, momentum: f32, epsilon: f32) -> Self {
        let mut mean_square = parameters.zeros_like();
        mean_square.values_mut().fill(1.0);
        Self { decay, momentum, epsilon, mean_square, velocity: parameters.zeros_like(), steps: 0 }
    }
}

#[derive(Clone, Copy)]
struct Step {
    decay: f32,
    momentum: f32,
    epsilon: f32,
    learning_rate: f32,
    weight_decay: f32,
}

impl Update for Step {
    #[inline(always)]
    fn update(self, parameter: &mut f32, gradient: f32, velocity: &mut f32, mean_square: &mut f32) {
        let gradient = gradient + self.weight_decay * *parameter;
        *mean_square += (1.0 - self.decay) * (gradient * gradient - *mean_square);
        let step = self.learning_rate * gradient / (*mean_square + self.epsilon).sqrt();
        *velocity = self.momentum * *velocity + step;
        *parameter -= *velocity;
    }
}

impl Optimiser for RmsProp {
    fn step(&mut self, parameters: &mut Parameters, gradients: &Parameters, groups: &Groups, size: StepSize) {
        let StepSize { learning_rate, gradient_scale } = size;
        let Self { decay, momentum, epsilon, .. } = *self;
        let moments = (&mut self.velocity, Some(&mut self.mean_square));
        apply(parameters, gradients, gradient_scale, moments, groups, |weight_decay| Step {
            decay,
            momentum,
            epsilon,
            learning_rate,
            weight_decay,
        });
        self.steps += 1;
    }

    fn moments(&self) -> Vec<&Parameters> {
        vec![&self.mean_square, &self.velocity]
    }

    fn moments_mut(&mut self) -> Vec<&mut Parameters> {
        vec![&mut self.mean_square, &mut self.velocity]
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }
}
