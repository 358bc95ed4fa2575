//! Losses of box offsets.

/// How a box offset's error is counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BoxLoss {
    /// [`huber`]: google/automl's and effdet's, with δ .1.
    Huber {
        /// Where the parabola becomes a line.
        delta: f32,
    },
    /// [`smooth_l1`]: zylo117's, with β 1/9.
    SmoothL1 {
        /// Where the parabola becomes a line.
        beta: f32,
    },
}

impl BoxLoss {
    /// The loss of an error, and its slope there.
    #[must_use]
    pub fn at(self, error: f32) -> (f32, f32) {
        match self {
            Self::Huber { delta } => huber(error, delta),
            Self::SmoothL1 { beta } => smooth_l1(error, beta),
        }
    }
}

/// `½ e²` up to `delta`, then `delta · (|e| − ½ delta)`; and the slope.
#[must_use]
pub fn huber(error: f32, delta: f32) -> (f32, f32) {
    let size = error.abs();
    if size <= delta {
        (0.5 * error * error, error)
    } else {
        (delta * (size - 0.5 * delta), delta.copysign(error))
    }
}

/// `½ e² / beta` up to `beta`, then `|e| − ½ beta`; and the slope.
#[must_use]
pub fn smooth_l1(error: f32, beta: f32) -> (f32, f32) {
    let size = error.abs();
    if size <= beta {
        (0.5 * error * error / beta, error / beta)
    } else {
        (size - 0.5 * beta, 1_f32.copysign(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parabola_then_line() {
        assert_eq!(huber(0.5, 1.0), (0.125, 0.5));
        assert_eq!(huber(-3.0, 1.0), (2.5, -1.0));
        assert_eq!(smooth_l1(-0.25, 0.5), (0.0625, -0.5));
        assert_eq!(smooth_l1(2.0, 0.5), (1.75, 1.0));
        for error in [f32::NAN, f32::INFINITY] {
            assert!(!BoxLoss::Huber { delta: 0.1 }.at(error).0.is_finite());
            assert!(!BoxLoss::SmoothL1 { beta: 0.1 }.at(error).0.is_finite());
        }
    }
}
