//! Learning rates over a run.

/// The learning rate of every step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The rate after the warm-up.
    pub learning_rate: f64,
    /// Steps over which it grows linearly from [`warm_up_from`](Self::warm_up_from).
    pub warm_up_steps: u64,
    /// The rate of step 0, where there is a warm-up.
    pub warm_up_from: f64,
    /// How it falls.
    pub decay: Decay,
}

/// How a learning rate falls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay {
    /// Not at all.
    Constant,
    /// By `factor` every `every` steps, counted from step 0 as TensorFlow counts them.
    Exponential {
        /// What the rate is multiplied by, such as .97.
        factor: f64,
        /// Steps from one multiplication to the next; need not be whole.
        every: f64,
        /// Whether it falls in stairs rather than a little every step.
        staircase: bool,
    },
    /// Half a cosine from the end of the warm-up to step `steps`.
    Cosine {
        /// Steps of the whole run.
        steps: u64,
        /// Where it ends, as a share of the learning rate.
        floor: f64,
    },
}

impl Schedule {
    /// The rate of a step, counted from 0.
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warm_up_steps {
            let share = step as f64 / self.warm_up_steps as f64;
            return self.warm_up_from + share * (self.learning_rate - self.warm_up_from);
        }
        let factor = match self.decay {
            Decay::Constant => 1.0,
            Decay::Exponential { factor, every, staircase } => {
                let times = step as f64 / every;
                factor.powf(if staircase { times.floor() } else { times })
            }
            Decay::Cosine { steps, floor } => {
                let length = steps.saturating_sub(self.warm_up_steps).max(1);
                let done = ((step - self.warm_up_steps) as f64 / length as f64).min(1.0);
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
        };
        self.learning_rate * factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(decay: Decay) -> Schedule {
        Schedule { learning_rate: 0.4, warm_up_steps: 10, warm_up_from: 0.1, decay }
    }

    #[test]
    fn warms_up_then_falls() {
        let constant = schedule(Decay::Constant);
        assert_eq!(
            (constant.at(0), constant.at(5), constant.at(10), constant.at(999)),
            (0.1, 0.25, 0.4, 0.4)
        );

        let stairs = schedule(Decay::Exponential { factor: 0.5, every: 20.0, staircase: true });
        assert_eq!((stairs.at(19), stairs.at(20), stairs.at(59)), (0.4, 0.2, 0.1));
        let slope = schedule(Decay::Exponential { factor: 0.5, every: 20.0, staircase: false });
        assert!((slope.at(30) - 0.4 * 0.5_f64.powf(1.5)).abs() < 1e-15);

        let cosine = schedule(Decay::Cosine { steps: 110, floor: 0.25 });
        assert_eq!(cosine.at(10), 0.4);
        assert!((cosine.at(60) - 0.4 * 0.625).abs() < 1e-15);
        assert!((cosine.at(110) - 0.1).abs() < 1e-15 && (cosine.at(500) - 0.1).abs() < 1e-15);
    }
}
