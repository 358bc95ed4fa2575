//! Exponentials and logarithms as plain arithmetic, so that the compiler makes vectors of loops over them.

/// 2^f for f in −½..=½: least squares of degree 6 in f64, largest relative error 4e-9 before rounding.
const EXP2: [f32; 7] =
    [1.0, std::f32::consts::LN_2, 0.240_226_5, 0.055_504_11, 0.009_618_129, 0.001_333_355_8, 0.000_154_035_3];

/// eˣ for x in −87..=0, and its value at the nearer end elsewhere; NaN stays NaN.
#[inline(always)]
pub(crate) fn exp_negative(x: f32) -> f32 {
    // 1.5·2²³: a number added to it keeps no fraction bits.
    const ROUNDING: f32 = 12_582_912.0;
    // ln 2 in two parts, so that x − n·ln 2 loses nothing.
    const LN_2_HIGH: f32 = 0.693_145_75;
    const LN_2_LOW: f32 = 1.428_606_8e-6;
    // Comparisons that keep a NaN.
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 0.0 { 0.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUNDING;
    let n = rounded - ROUNDING;
    let f = ((x - n * LN_2_HIGH) - n * LN_2_LOW) * std::f32::consts::LOG2_E;
    let mut p = EXP2[6];
    for c in EXP2[..6].iter().rev() {
        p = p * f + c;
    }
    // The integer lies in the low bits of `rounded`; shifted into the exponent it makes 2ⁿ.
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    p * power
}

/// ln(1 + x) for x in 0..=1, to within 2e-7 relative also where x is small.
#[inline(always)]
pub(crate) fn ln_1p(x: f32) -> f32 {
    // ln(1 + x) = 2 artanh(x / (2 + x)), whose argument is a third at most.
    let s = x / (2.0 + x);
    let q = s * s;
    let mut p = 1.0 / 17.0;
    for odd in [15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        p = p * q + 1.0 / odd;
    }
    2.0 * s * p
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest error allowed, relative to the exact value.
    const TOLERANCE: f64 = 4e-7;

    #[test]
    fn both_are_exact_to_six_digits() {
        for i in 0..=87_000 {
            let x = -(i as f32) / 1000.0;
            let error = (f64::from(exp_negative(x)) / f64::from(x).exp() - 1.0).abs();
            assert!(error < TOLERANCE, "exp({x}) is off by {error}");
            let x = exp_negative(x);
            let error = (f64::from(ln_1p(x)) / f64::from(x).ln_1p() - 1.0).abs();
            assert!(error < TOLERANCE, "ln_1p({x}) is off by {error}");
        }
        assert_eq!((exp_negative(0.0), ln_1p(0.0)), (1.0, 0.0));
    }

    #[test]
    fn extremes() {
        assert!(exp_negative(f32::NAN).is_nan() && ln_1p(f32::NAN).is_nan());
        assert_eq!(exp_negative(-1e9), exp_negative(-87.0));
        assert_eq!(exp_negative(3.0), 1.0);
    }
}
