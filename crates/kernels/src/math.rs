//! Vector exponentials.

use crate::isa::Simd;

/// 2^f for f in −¹⁄₁₆..=¹⁄₁₆, what a table of eighths leaves: least squares of degree 3, exact at 0, largest
/// relative error 2.6e-8.
#[allow(clippy::excessive_precision)]
const EXP2: [f32; 4] = [1.0, std::f32::consts::LN_2, 0.24025781, 0.05551062];

/// `1 + e⁻ˣ`, held below 2¹²⁰ so that its reciprocal stays a normal number.
#[inline(always)]
fn one_plus_exp_neg<S: Simd>(s: S, x: S::V) -> S::V {
    let x = s.max(s.splat(-83.0), s.min(s.splat(83.0), x));
    // The table and the polynomial do not wait for each other.
    let (f, n) = s.eighths(x, s.splat(-std::f32::consts::LOG2_E));
    let mut p = s.splat(EXP2[3]);
    for c in EXP2[..3].iter().rev() {
        p = s.fma(p, f, s.splat(*c));
    }
    s.fma(p, s.power(n), s.splat(1.0))
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    s.divide(s.splat(1.0), one_plus_exp_neg(s, x))
}

/// `x / (1 + e⁻ˣ)`.
#[inline(always)]
pub fn swish<S: Simd>(s: S, x: S::V) -> S::V {
    s.divide(x, one_plus_exp_neg(s, x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::{Isa, Kernel};

    struct Both<'a>(&'a [f32]);

    impl Kernel for Both<'_> {
        type Output = Vec<(f32, f32)>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let mut out = Vec::new();
            for &x in self.0 {
                let (mut a, mut b) = ([0.0; 16], [0.0; 16]);
                // SAFETY: sixteen values are room for a vector of any instruction set.
                unsafe {
                    s.store(a.as_mut_ptr(), sigmoid(s, s.splat(x)));
                    s.store(b.as_mut_ptr(), swish(s, s.splat(x)));
                }
                out.push((a[0], b[0]));
            }
            out
        }
    }

    /// Largest error allowed, relative to the exact value.
    const TOLERANCE: f64 = 3e-6;

    #[test]
    fn sigmoid_and_swish_are_exact_to_six_digits() {
        let xs: Vec<f32> = (-8000..=8000).map(|i| i as f32 / 200.0 + 0.001).collect();
        for isa in Isa::available() {
            for (&x, (sigmoid, swish)) in xs.iter().zip(isa.run(Both(&xs))) {
                let exact = 1.0 / (1.0 + (-f64::from(x)).exp());
                let error = (f64::from(sigmoid) / exact - 1.0).abs();
                assert!(error < TOLERANCE, "{}: sigmoid({x}) is off by {error}", isa.name());
                let error = (f64::from(swish) / (exact * f64::from(x)) - 1.0).abs();
                assert!(error < TOLERANCE, "{}: swish({x}) is off by {error}", isa.name());
            }
        }
    }

    #[test]
    fn extremes_saturate_and_nan_stays() {
        for isa in Isa::available() {
            let values = isa.run(Both(&[-1e30, 1e30, -200.0, 200.0, f32::NAN, f32::INFINITY]));
            assert!(values[0].0 < 1e-35 && values[2].1.abs() < 1e-30, "{values:?}");
            assert_eq!((values[1].0, values[3].1), (1.0, 200.0));
            assert!(values[4].0.is_nan() && values[4].1.is_nan());
            assert_eq!(values[5], (1.0, f32::INFINITY));
        }
    }
}
