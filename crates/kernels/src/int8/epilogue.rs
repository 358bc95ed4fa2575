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
    /// Steps of the output in 1.
    steps: f32,
    swish: ScaledSwish,
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
            constants: Constants { low: zero, high, steps, swish: ScaledSwish::new(steps, zero) },
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

/// What is done to scaled sums, several vectors at a time: one alone would wait for its own results.
pub(crate) trait Map {
    fn map<S: IntSimd, const N: usize>(s: S, x: &mut [S::F; N], constants: &Constants);
}

pub(crate) struct Identity;
pub(crate) struct Clamp;
pub(crate) struct Swish;

impl Map for Identity {
    #[inline(always)]
    fn map<S: IntSimd, const N: usize>(_: S, _: &mut [S::F; N], _: &Constants) {}
}

impl Map for Clamp {
    #[inline(always)]
    fn map<S: IntSimd, const N: usize>(s: S, x: &mut [S::F; N], constants: &Constants) {
        for x in x {
            *x = s.min(s.max(*x, s.splat(constants.low)), s.splat(constants.high));
        }
    }
}

/// `t / (1 + eᵗ)` for t in 0..=[`SWISH_END`], from the highest power to the constant: weighted least squares
/// of degree 5, largest error 2.2e-3, a small part of the step of a byte.
const SWISH: [f32; 6] = [4.010_386e-4, -9.448_499e-3, 8.427_3e-2, -3.407_176e-1, 5.345_449e-1, -2.114_469e-3];
/// From here on `t / (1 + eᵗ)` is held at its value here, below 0.01.
const SWISH_END: f32 = 6.5;

/// `x · σ(x) · steps + zero`, with what does not depend on x worked out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScaledSwish {
    /// [`SWISH`] in steps, negative; the constant with the zero.
    powers: [f32; 5],
    constant: f32,
    steps: f32,
}

impl ScaledSwish {
    pub(crate) fn new(steps: f32, zero: f32) -> Self {
        let [powers @ .., constant] = SWISH;
        Self { powers: powers.map(|c| -c * steps), constant: zero - constant * steps, steps }
    }

    /// `x · σ(x) = max(x, 0) − |x| / (1 + e^|x|)`: no division, no exponential.
    #[inline(always)]
    pub(crate) fn apply<S: IntSimd, const N: usize>(&self, s: S, x: &mut [S::F; N]) {
        let mut t = *x;
        for t in &mut t {
            *t = s.min(s.abs(*t), s.splat(SWISH_END));
        }
        let mut p = [s.splat(self.powers[0]); N];
        for c in &self.powers[1..] {
            let c = s.splat(*c);
            for (p, t) in p.iter_mut().zip(&t) {
                *p = s.fma(*p, *t, c);
            }
        }
        let (steps, constant) = (s.splat(self.steps), s.splat(self.constant));
        for (x, (p, t)) in x.iter_mut().zip(p.iter().zip(&t)) {
            *x = s.fma(*p, *t, s.fma(s.max(*x, s.splat(0.0)), steps, constant));
        }
    }
}

impl Map for Swish {
    #[inline(always)]
    fn map<S: IntSimd, const N: usize>(s: S, x: &mut [S::F; N], constants: &Constants) {
        constants.swish.apply(s, x);
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
            let mut values = Vec::new();
            for x in self.0 {
                let mut y = [s.splat(*x)];
                ScaledSwish::new(1.0, 0.0).apply(s, &mut y);
                // SAFETY: sixteen floats are room for any vector.
                unsafe { s.store_floats(lanes.as_mut_ptr(), y[0]) };
                values.push(lanes[0]);
            }
            values
        }
    }

    /// Largest error of swish within the polynomial's range, and beyond it.
    const NEAR: f32 = 2.2e-3;
    const FAR: f32 = 0.012;

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
