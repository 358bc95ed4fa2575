//! From exact sums to the output: scale and bias, activation, residual, and back to bytes.

use super::{Bytes, Quant};
use crate::epilogue::Activation;
use crate::isa::int::IntSimd;

/// What a convolution writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Output {
    /// Bytes.
    Bytes(Quant),
    /// Floats.
    Floats,
}

/// An activation to add to a convolution's output, of the output's shape, under any halo.
pub type Residual<'a> = Bytes<'a>;

/// How a convolution's sums become its output, for one output channel after another.
///
/// `y = map(sum · multiplier + offset)`, in steps of the output.
#[derive(Debug)]
pub(crate) struct Finish {
    map: MapKind,
    /// Whether bytes hold nothing that a clamp would change.
    implied: bool,
    pub(crate) multipliers: Vec<f32>,
    pub(crate) offsets: Vec<f32>,
    constants: Constants,
    pub(crate) output: Output,
}

#[derive(Clone, Copy, Debug)]
enum MapKind {
    Identity,
    Clamp,
    Swish,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Constants {
    /// Bounds of a clamp.
    low: f32,
    high: f32,
    /// Steps of the output in 1, and its zero.
    steps: f32,
    zero: f32,
}

impl Finish {
    /// `scales`: what a sum of 1 stands for, for each output channel. `padded`: the length of the tables.
    pub(crate) fn new(
        scales: &[f32],
        bias: &[f32],
        activation: Activation,
        output: Output,
        padded: usize,
    ) -> Self {
        let (steps, zero) = match output {
            Output::Bytes(Quant { scale, zero }) => (scale.recip(), f32::from(zero)),
            Output::Floats => (1.0, 0.0),
        };
        let high = if activation == Activation::Relu6 { zero + 6.0 * steps } else { f32::INFINITY };
        let is_bytes = matches!(output, Output::Bytes(_));
        let map = match activation {
            Activation::Identity => MapKind::Identity,
            Activation::Relu | Activation::Relu6 => MapKind::Clamp,
            Activation::Swish => MapKind::Swish,
            Activation::Sigmoid => panic!("no 8-bit kernel has a sigmoid"),
        };
        // Swish works on the value itself.
        let (factor, shift) = if matches!(map, MapKind::Swish) { (1.0, 0.0) } else { (steps, zero) };
        let table = |f: &dyn Fn(usize) -> f32| {
            let mut table: Vec<f32> = (0..scales.len()).map(f).collect();
            table.resize(padded, 0.0);
            table
        };
        let implied = matches!(map, MapKind::Clamp) && is_bytes && zero == 0.0 && high > 254.9;
        Self {
            map,
            implied,
            multipliers: table(&|n| scales[n] * factor),
            offsets: table(&|n| bias[n].mul_add(factor, shift)),
            constants: Constants { low: zero, high, steps, zero },
            output,
        }
    }

    /// What a residual's bytes count in steps of the output.
    pub(crate) fn addend(&self, residual: Quant) -> Addend {
        let ratio = residual.scale * self.constants.steps;
        Addend { ratio, shift: -f32::from(residual.zero) * ratio }
    }

    /// Runs `body` compiled for this function, so that its loop holds no branch.
    #[inline(always)]
    pub(crate) fn select<B: WithMap>(&self, body: B, has_residual: bool) {
        match self.map {
            MapKind::Clamp if self.implied && !has_residual => body.with::<Identity>(&self.constants),
            MapKind::Identity => body.with::<Identity>(&self.constants),
            MapKind::Clamp => body.with::<Clamp>(&self.constants),
            MapKind::Swish => body.with::<Swish>(&self.constants),
        }
    }
}

/// A residual: `byte · ratio + shift` is added.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addend {
    pub(crate) ratio: f32,
    pub(crate) shift: f32,
}

/// A loop that is written once for every [`Map`].
pub(crate) trait WithMap {
    fn with<M: Map>(self, constants: &Constants);
}

/// What is done to a scaled sum.
pub(crate) trait Map {
    fn map<S: IntSimd>(s: S, x: S::F, constants: &Constants) -> S::F;
}

pub(crate) struct Identity;
pub(crate) struct Clamp;
pub(crate) struct Swish;

impl Map for Identity {
    #[inline(always)]
    fn map<S: IntSimd>(_: S, x: S::F, _: &Constants) -> S::F {
        x
    }
}

impl Map for Clamp {
    #[inline(always)]
    fn map<S: IntSimd>(s: S, x: S::F, constants: &Constants) -> S::F {
        s.min(s.max(x, s.splat(constants.low)), s.splat(constants.high))
    }
}

/// `t / (1 + eᵗ)` for t in 0..=[`SWISH_END`], from the highest power to the constant: weighted least squares
/// of degree 7, largest error 6.2e-4, a small part of the step of a byte.
#[allow(clippy::excessive_precision)]
const SWISH: [f32; 8] = [
    -2.596_258e-5,
    6.015_444_1e-4,
    -5.048_497_8e-3,
    1.487_577_41e-2,
    2.901_005_5e-2,
    -2.815_783_06e-1,
    5.111_133_12e-1,
    -6.156_495e-4,
];
/// From here on `t / (1 + eᵗ)` is held at its value here, below 0.01.
const SWISH_END: f32 = 6.5;

/// `x · σ(x) = max(x, 0) − |x| / (1 + e^|x|)`: no division, no exponential.
#[inline(always)]
pub(crate) fn swish<S: IntSimd>(s: S, x: S::F) -> S::F {
    let negative = s.fma(x, s.splat(-1.0), s.splat(0.0));
    let t = s.min(s.max(x, negative), s.splat(SWISH_END));
    let mut p = s.splat(SWISH[0]);
    for c in &SWISH[1..] {
        p = s.fma(p, t, s.splat(*c));
    }
    s.fma(p, s.splat(-1.0), s.max(x, s.splat(0.0)))
}

impl Map for Swish {
    #[inline(always)]
    fn map<S: IntSimd>(s: S, x: S::F, constants: &Constants) -> S::F {
        s.fma(swish(s, x), s.splat(constants.steps), s.splat(constants.zero))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::int::{IntIsa, IntKernel};
    use crate::naive;

    struct Values<'a>(&'a [f32]);

    impl IntKernel for Values<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<S: IntSimd>(self, s: S) -> Vec<f32> {
            let mut lanes = [0.0; 16];
            let value = |x: &f32| {
                // SAFETY: sixteen floats are room for any vector.
                unsafe { s.store_floats(lanes.as_mut_ptr(), swish(s, s.splat(*x))) };
                lanes[0]
            };
            self.0.iter().map(value).collect()
        }
    }

    /// Largest error of swish within the polynomial's range, and beyond it.
    const NEAR: f32 = 6.4e-4;
    const FAR: f32 = 0.0099;

    #[test]
    fn swish_is_near_and_the_same_everywhere() {
        let xs: Vec<f32> = (-4000..=4000).map(|i| i as f32 / 200.0).collect();
        let expected = IntIsa::Portable(crate::isa::Portable).run(Values(&xs));
        for (x, y) in xs.iter().zip(&expected) {
            let error = (y - naive::activation(Activation::Swish, *x)).abs();
            assert!(error < if x.abs() <= SWISH_END { NEAR } else { FAR }, "swish({x}) is off by {error}");
        }
        for isa in IntIsa::available() {
            assert_eq!(isa.run(Values(&xs)), expected, "{}", isa.name());
        }
    }
}
