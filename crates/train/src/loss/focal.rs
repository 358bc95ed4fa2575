//! The focal loss of arXiv 1708.02002.

use effigy_kernels::Isa;
use effigy_kernels::isa::{Kernel, Simd};

use crate::math::{exp_negative, ln_1p};

/// Weights of the focal loss: `α (1 − p)^γ · −ln p` for what is there, `(1 − α) p^γ · −ln(1 − p)` for what is
/// not, where p is the sigmoid of a logit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Focal {
    pub(crate) alpha: f32,
    pub(crate) gamma: f32,
}

impl Focal {
    /// The sum of the losses of logits of what is not there; their slopes times `scale` go to `gradient`.
    pub(crate) fn negatives(self, logits: &[f32], scale: f32, gradient: &mut [f32]) -> f64 {
        Isa::best().run(Negatives { focal: self, logits, scale, gradient })
    }

    /// The loss of a logit of what is not there, and its slope.
    #[inline(always)]
    pub(crate) fn negative(self, logit: f32) -> (f32, f32) {
        let (p, one_minus_p, surprise, other) = parts(logit);
        // p^γ, since −ln p is the surprise of the opposite.
        let weight = (1.0 - self.alpha) * exp_negative(-self.gamma * other);
        (weight * surprise, weight * (self.gamma * one_minus_p * surprise + p))
    }

    /// The loss of a logit of what is there, and its slope.
    #[inline(always)]
    pub(crate) fn positive(self, logit: f32) -> (f32, f32) {
        let (p, one_minus_p, other, surprise) = parts(logit);
        let weight = self.alpha * exp_negative(-self.gamma * other);
        (weight * surprise, -weight * (self.gamma * p * surprise + one_minus_p))
    }
}

/// p, 1 − p, −ln(1 − p) and −ln p, each exact also where it is small.
#[inline(always)]
fn parts(logit: f32) -> (f32, f32, f32, f32) {
    let size = logit.abs();
    let e = exp_negative(-size);
    let (large, small, log) = (1.0 / (1.0 + e), e / (1.0 + e), ln_1p(e));
    if logit > 0.0 { (large, small, size + log, log) } else { (small, large, log, size + log) }
}

struct Negatives<'a> {
    focal: Focal,
    logits: &'a [f32],
    scale: f32,
    gradient: &'a mut [f32],
}

impl Kernel for Negatives<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f64 {
        /// Sums of as many lanes, so that the order of a sum is the same on every instruction set.
        const LANES: usize = 16;
        let Self { focal, logits, scale, gradient } = self;
        let mut total = 0.0;
        let (blocks, rest) = logits.as_chunks::<LANES>();
        let (gradient_blocks, gradient_rest) = gradient.as_chunks_mut::<LANES>();
        let mut lanes = [0.0_f64; LANES];
        for (logits, gradient) in blocks.iter().zip(gradient_blocks) {
            for ((lane, &logit), gradient) in lanes.iter_mut().zip(logits).zip(gradient) {
                let (loss, slope) = focal.negative(logit);
                *lane += f64::from(loss);
                *gradient = slope * scale;
            }
        }
        for (&logit, gradient) in rest.iter().zip(gradient_rest) {
            let (loss, slope) = focal.negative(logit);
            total += f64::from(loss);
            *gradient = slope * scale;
        }
        total + lanes.iter().sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Between the loss in f32 and in f64, relative.
    const TOLERANCE: f64 = 4e-6;

    /// The definition, in f64: loss and slope, where `there` or not.
    fn exact(focal: Focal, logit: f64, there: bool) -> (f64, f64) {
        let (alpha, gamma) = (f64::from(focal.alpha), f64::from(focal.gamma));
        let sign = if there { 1.0 } else { -1.0 };
        let (alpha, x) = (if there { alpha } else { 1.0 - alpha }, sign * logit);
        let (p, q) = (1.0 / (1.0 + (-x).exp()), 1.0 / (1.0 + x.exp()));
        let surprise = (-x).exp().ln_1p();
        (alpha * q.powf(gamma) * surprise, -sign * alpha * q.powf(gamma) * (gamma * p * surprise + q))
    }

    #[test]
    fn is_the_definition_and_its_slope() {
        for gamma in [1.5, 2.0, 0.0] {
            let focal = Focal { alpha: 0.25, gamma };
            for i in -300..=300 {
                let logit = i as f32 / 20.0 + 0.01;
                let found = [focal.positive(logit), focal.negative(logit)];
                for ((loss, slope), there) in found.into_iter().zip([true, false]) {
                    let (exact_loss, exact_slope) = exact(focal, f64::from(logit), there);
                    let off = |a: f32, b: f64| (f64::from(a) / b - 1.0).abs();
                    assert!(
                        off(loss, exact_loss) < TOLERANCE,
                        "{focal:?} {logit} {there}: {loss} {exact_loss}"
                    );
                    assert!(off(slope, exact_slope) < TOLERANCE, "{focal:?} {logit}: {slope} {exact_slope}");
                }
            }
        }
    }

    #[test]
    fn many_are_the_sum_of_each() {
        let focal = Focal { alpha: 0.25, gamma: 1.5 };
        for count in [0, 1, 15, 16, 17, 500] {
            let logits: Vec<f32> = (0..count).map(|i| (i as f32).sin() * 8.0).collect();
            let mut gradient = vec![9.0; count];
            let total = focal.negatives(&logits, 0.5, &mut gradient);
            let sum: f64 = logits.iter().map(|&logit| f64::from(focal.negative(logit).0)).sum();
            assert!((total - sum).abs() <= 1e-12 * sum.max(1.0));
            assert!(logits.iter().zip(&gradient).all(|(&logit, &g)| g == 0.5 * focal.negative(logit).1));
        }
    }

    #[test]
    fn what_is_not_finite_shows() {
        let focal = Focal { alpha: 0.25, gamma: 1.5 };
        assert!(focal.negative(f32::NAN).0.is_nan() && focal.positive(f32::NAN).0.is_nan());
        assert!(focal.positive(f32::NEG_INFINITY).0.is_infinite());
    }
}
