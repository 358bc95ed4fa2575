//! What happens to a tile of results while it is still in the first-level cache.

use crate::isa::Simd;
use crate::layout::View;
use crate::math::{sigmoid, swish};

/// An element-wise function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x`.
    #[default]
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x · σ(x)`.
    Swish,
    /// `σ(x)`.
    Sigmoid,
}

/// What follows a convolution: `activation(x) + residual`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Applied first.
    pub activation: Activation,
    /// Added last; the output's shape, under any halo.
    pub residual: Option<View<'a>>,
}

/// A function that is computed on sums while they are in registers.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// `x`.
    Identity,
    /// `min(max(x, low), high)`.
    Clamp { low: f32, high: f32 },
}

impl Form {
    #[inline(always)]
    pub(crate) fn bounds(self) -> Option<(f32, f32)> {
        match self {
            Self::Identity => None,
            Self::Clamp { low, high } => Some((low, high)),
        }
    }
}

/// An element-wise function over vectors.
pub(crate) trait Map {
    fn map<S: Simd>(s: S, x: S::V) -> S::V;
}

pub(crate) struct Identity;
pub(crate) struct Relu;
pub(crate) struct Relu6;
pub(crate) struct Swish;
pub(crate) struct Sigmoid;

impl Map for Identity {
    #[inline(always)]
    fn map<S: Simd>(_: S, x: S::V) -> S::V {
        x
    }
}

impl Map for Relu {
    #[inline(always)]
    fn map<S: Simd>(s: S, x: S::V) -> S::V {
        s.max(s.splat(0.0), x)
    }
}

impl Map for Relu6 {
    #[inline(always)]
    fn map<S: Simd>(s: S, x: S::V) -> S::V {
        s.min(s.splat(6.0), s.max(s.splat(0.0), x))
    }
}

impl Map for Swish {
    #[inline(always)]
    fn map<S: Simd>(s: S, x: S::V) -> S::V {
        swish(s, x)
    }
}

impl Map for Sigmoid {
    #[inline(always)]
    fn map<S: Simd>(s: S, x: S::V) -> S::V {
        sigmoid(s, x)
    }
}

/// A loop that is written once for every [`Map`].
pub(crate) trait WithMap {
    type Output;
    fn with<M: Map>(self) -> Self::Output;
}

impl Activation {
    /// Its simple form; none where it needs a pass of its own over results in memory.
    #[inline(always)]
    pub(crate) fn form(self) -> Option<Form> {
        match self {
            Self::Identity => Some(Form::Identity),
            Self::Relu => Some(Form::Clamp { low: 0.0, high: f32::INFINITY }),
            Self::Relu6 => Some(Form::Clamp { low: 0.0, high: 6.0 }),
            Self::Swish | Self::Sigmoid => None,
        }
    }

    /// Runs `body` compiled for this function, so that its loop holds no branch.
    #[inline(always)]
    pub(crate) fn select<B: WithMap>(self, body: B) -> B::Output {
        match self {
            Self::Identity => body.with::<Identity>(),
            Self::Relu => body.with::<Relu>(),
            Self::Relu6 => body.with::<Relu6>(),
            Self::Swish => body.with::<Swish>(),
            Self::Sigmoid => body.with::<Sigmoid>(),
        }
    }
}
