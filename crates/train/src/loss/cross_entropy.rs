//! Softmax cross entropy.

use effigy_tensor::Tensor;

/// Softmax cross entropy between logits and the shares of classes that they should give.
///
/// A picture's target is a share for each class, of sum 1: one class (see [`CrossEntropy::one_hot`]), or several
/// where pictures are mixed. The loss is
///
/// ```text
/// − Σₙ Σ_c w_c · s_nc · ln softmax(logits)_nc  /  Σₙ Σ_c w_c · t_nc        s = (1 − ε) t + ε / classes
/// ```
///
/// with the targets t, the smoothing ε and the classes' weights w: PyTorch's `cross_entropy` of class indices,
/// also with weights, and of probabilities without.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    /// The share ε of every target that is spread evenly over all classes, 0 to 1.
    pub label_smoothing: f32,
    /// What each class counts; all count 1 where there are none.
    pub class_weights: Option<Vec<f32>>,
}

impl CrossEntropy {
    /// Targets of one class each: `[N, classes]`.
    ///
    /// # Panics
    /// Where a class is not below `classes`.
    #[must_use]
    pub fn one_hot(class_indices: &[usize], classes: usize) -> Tensor {
        let mut targets = Tensor::zeros(&[class_indices.len(), classes]);
        for (row, &class) in targets.data_mut().chunks_exact_mut(classes).zip(class_indices) {
            row[class] = 1.0;
        }
        targets
    }

    /// The loss of `logits` (`[N, classes]`, or with axes of 1 between) and its gradient with respect to them,
    /// in their shape. A loss that is not finite says that a logit was not.
    ///
    /// # Panics
    /// Where `targets` is not `[N, classes]`, or there is not a weight for every class.
    #[must_use]
    pub fn loss(&self, logits: &Tensor, targets: &Tensor) -> (f64, Tensor) {
        let classes = targets.shape().last().copied().unwrap_or(0);
        assert_eq!(logits.data().len(), targets.data().len(), "a target for every logit");
        let weights = self.class_weights.as_deref();
        assert!(weights.is_none_or(|weights| weights.len() == classes), "a weight for every class");
        let weight = |class: usize| weights.map_or(1.0, |weights| f64::from(weights[class]));

        let mut gradient = Tensor::zeros(logits.shape());
        let (mut total, mut counted) = (0.0, 0.0);
        let rows = logits.data().chunks_exact(classes).zip(targets.data().chunks_exact(classes));
        for ((logits, targets), gradient) in rows.zip(gradient.data_mut().chunks_exact_mut(classes)) {
            let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let exponentials = logits.iter().map(|&logit| f64::from(logit - max).exp());
            let log_sum = f64::from(max) + exponentials.sum::<f64>().ln();
            let wanted = |class: usize| {
                let smoothing = f64::from(self.label_smoothing);
                let share = f64::from(targets[class]) * (1.0 - smoothing) + smoothing / classes as f64;
                share * weight(class)
            };
            let all: f64 = (0..classes).map(wanted).sum();
            for class in 0..classes {
                let log_probability = f64::from(logits[class]) - log_sum;
                let wanted = wanted(class);
                // 0 · −∞ is no loss.
                total -= if wanted == 0.0 { 0.0 } else { wanted * log_probability };
                counted += weight(class) * f64::from(targets[class]);
                gradient[class] = (all * log_probability.exp() - wanted) as f32;
            }
        }
        let scale = 1.0 / counted;
        gradient.data_mut().iter_mut().for_each(|value| *value = (f64::from(*value) * scale) as f32);
        (total * scale, gradient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Between the gradient and central differences of the loss, which is computed in f64 from f32 logits.
    const TOLERANCE: f64 = 2e-4;

    fn logits() -> Tensor {
        let values = (0..12).map(|i| (i as f32 * 1.7).sin() * 3.0).collect();
        Tensor::new(&[3, 1, 1, 4], values).unwrap()
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let mut targets = CrossEntropy::one_hot(&[2, 0, 3], 4);
        targets.data_mut()[..4].copy_from_slice(&[0.3, 0.0, 0.7, 0.0]);
        for class_weights in [None, Some(vec![0.5, 1.0, 2.0, 3.0])] {
            let loss = CrossEntropy { label_smoothing: 0.1, class_weights };
            let (_, gradient) = loss.loss(&logits(), &targets);
            for i in 0..12 {
                const STEP: f32 = 1.0 / 64.0;
                let at = |step: f32| {
                    let mut moved = logits();
                    moved.data_mut()[i] += step;
                    loss.loss(&moved, &targets).0
                };
                let slope = (at(STEP) - at(-STEP)) / f64::from(2.0 * STEP);
                let error = (slope - f64::from(gradient.data()[i])).abs();
                assert!(error < TOLERANCE, "logit {i}: {slope} {}", gradient.data()[i]);
            }
        }
    }

    #[test]
    fn equal_logits_cost_the_logarithm_of_the_classes() {
        let (loss, gradient) =
            CrossEntropy::default().loss(&Tensor::zeros(&[2, 4]), &CrossEntropy::one_hot(&[0, 3], 4));
        assert!((loss - 4.0_f64.ln()).abs() < 1e-12);
        assert_eq!(gradient.data()[..4], [-0.375, 0.125, 0.125, 0.125]);
    }

    #[test]
    fn large_logits_are_no_trouble_and_bad_ones_show() {
        let targets = CrossEntropy::one_hot(&[0], 2);
        let of = |values: [f32; 2]| {
            CrossEntropy::default().loss(&Tensor::new(&[1, 2], values.to_vec()).unwrap(), &targets).0
        };
        assert_eq!(of([1e4, -1e4]), 0.0);
        assert_eq!(of([-1e4, 1e4]), 2e4);
        assert!(of([f32::NAN, 0.0]).is_nan());
    }
}
