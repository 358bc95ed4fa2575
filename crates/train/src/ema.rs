//! The moving average of parameters.

use effigy_kernels::Isa;
use effigy_kernels::isa::{Kernel, Simd};

use crate::Parameters;

/// An exponential moving average of all parameters, BatchNorm's statistics included, as TensorFlow's
/// `ExponentialMovingAverage` with `num_updates` keeps it: the decay of the n-th step is
/// `min(decay, (1 + n) / (10 + n))`, so that the beginning is soon forgotten.
#[derive(Clone, Debug)]
pub struct Ema {
    decay: f64,
    average: Parameters,
    steps: u64,
}

impl Ema {
    /// An average that begins at `parameters`. `decay` is 0 to 1, such as .9999.
    #[must_use]
    pub fn new(parameters: &Parameters, decay: f64) -> Self {
        Self { decay, average: parameters.clone(), steps: 0 }
    }

    /// Takes the parameters after a step into account.
    pub fn update(&mut self, parameters: &Parameters) {
        self.steps += 1;
        let keep = self.decay.min((1 + self.steps) as f64 / (10 + self.steps) as f64);
        let share = (1.0 - keep) as f32;
        Isa::best().run(Towards { average: self.average.values_mut(), values: parameters.values(), share });
    }

    /// The average.
    #[must_use]
    pub fn average(&self) -> &Parameters {
        &self.average
    }

    pub(crate) fn restore(&mut self, steps: u64) -> &mut Parameters {
        self.steps = steps;
        &mut self.average
    }

    /// Steps taken into account.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }
}

struct Towards<'a> {
    average: &'a mut [f32],
    values: &'a [f32],
    share: f32,
}

impl Kernel for Towards<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (average, &value) in self.average.iter_mut().zip(self.values) {
            *average += self.share * (value - *average);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimiser::tests::example;

    #[test]
    fn the_decay_warms_up() {
        let (start, mut moved) = example();
        moved.values_mut().fill(1.0);
        let mut ema = Ema::new(&start, 0.3);
        let mut expected = f64::from(start.values()[5]);
        // (1 + n) / (10 + n): 2/11, 3/12, then .3.
        for decay in [2.0 / 11.0, 3.0 / 12.0, 0.3, 0.3] {
            ema.update(&moved);
            expected = decay * expected + (1.0 - decay);
            assert!((f64::from(ema.average().values()[5]) - expected).abs() < 1e-6);
        }
        assert_eq!(ema.steps(), 4);
    }
}
