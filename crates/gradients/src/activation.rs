//! Element-wise functions, their slopes, and both as passes of their own.

use effigy_kernels::isa::{Kernel, Simd};
use effigy_kernels::math::{sigmoid, swish};
use effigy_kernels::{Activation, Cpu, SharedPtr, View, ViewMut};

use crate::blocks::Blocks;
use crate::lanes::{load, store};

/// An element-wise function over vectors, with its derivative.
pub(crate) trait Function: Copy {
    /// `f(x)`.
    fn value<S: Simd>(s: S, x: S::V) -> S::V;
    /// `d · f′(x)`.
    fn slope<S: Simd>(s: S, x: S::V, d: S::V) -> S::V;
    /// Whether the function does nothing.
    const IS_IDENTITY: bool = false;
}

#[derive(Clone, Copy)]
pub(crate) struct Identity;
#[derive(Clone, Copy)]
pub(crate) struct Relu;
#[derive(Clone, Copy)]
pub(crate) struct Relu6;
#[derive(Clone, Copy)]
pub(crate) struct Swish;
#[derive(Clone, Copy)]
pub(crate) struct Sigmoid;

impl Function for Identity {
    const IS_IDENTITY: bool = true;
    #[inline(always)]
    fn value<S: Simd>(_: S, x: S::V) -> S::V {
        x
    }
    #[inline(always)]
    fn slope<S: Simd>(_: S, _: S::V, d: S::V) -> S::V {
        d
    }
}

/// Larger than any float's distance from a bound: a step from 0 to 1 within the smallest normal numbers.
const STEEP: f32 = f32::MAX;

/// 1 where `x` is positive, 0 where it is not.
#[inline(always)]
fn step<S: Simd>(s: S, x: S::V) -> S::V {
    s.min(s.splat(1.0), s.max(s.splat(0.0), s.mul(s.mul(x, s.splat(STEEP)), s.splat(STEEP))))
}

impl Function for Relu {
    #[inline(always)]
    fn value<S: Simd>(s: S, x: S::V) -> S::V {
        s.max(s.splat(0.0), x)
    }
    #[inline(always)]
    fn slope<S: Simd>(s: S, x: S::V, d: S::V) -> S::V {
        s.mul(d, step(s, x))
    }
}

impl Function for Relu6 {
    #[inline(always)]
    fn value<S: Simd>(s: S, x: S::V) -> S::V {
        s.min(s.splat(6.0), s.max(s.splat(0.0), x))
    }
    #[inline(always)]
    fn slope<S: Simd>(s: S, x: S::V, d: S::V) -> S::V {
        s.mul(d, s.mul(step(s, x), step(s, s.sub(s.splat(6.0), x))))
    }
}

impl Function for Swish {
    #[inline(always)]
    fn value<S: Simd>(s: S, x: S::V) -> S::V {
        swish(s, x)
    }
    /// `σ + x·σ·(1 − σ)`.
    #[inline(always)]
    fn slope<S: Simd>(s: S, x: S::V, d: S::V) -> S::V {
        let sigma = sigmoid(s, x);
        let rest = s.sub(s.splat(1.0), sigma);
        s.mul(d, s.fma(s.mul(x, sigma), rest, sigma))
    }
}

impl Function for Sigmoid {
    #[inline(always)]
    fn value<S: Simd>(s: S, x: S::V) -> S::V {
        sigmoid(s, x)
    }
    #[inline(always)]
    fn slope<S: Simd>(s: S, x: S::V, d: S::V) -> S::V {
        let sigma = sigmoid(s, x);
        s.mul(d, s.mul(sigma, s.sub(s.splat(1.0), sigma)))
    }
}

/// A loop that is written once for every [`Function`].
pub(crate) trait WithFunction {
    fn with<F: Function>(self);
}

/// Runs `body` compiled for this function, so that its loop holds no branch.
#[inline(always)]
pub(crate) fn select<B: WithFunction>(function: Activation, body: B) {
    match function {
        Activation::Identity => body.with::<Identity>(),
        Activation::Relu => body.with::<Relu>(),
        Activation::Relu6 => body.with::<Relu6>(),
        Activation::Swish => body.with::<Swish>(),
        Activation::Sigmoid => body.with::<Sigmoid>(),
    }
}

/// `output = f(input)`.
///
/// # Panics
/// When the shapes differ.
pub fn activate(cpu: &Cpu, function: Activation, input: View<'_>, output: &mut ViewMut<'_>) {
    map(cpu, function, input, None, output);
}

/// `d_input = d_output · f′(input)`.
///
/// # Panics
/// When the shapes differ.
pub fn activation_backward(
    cpu: &Cpu,
    function: Activation,
    input: View<'_>,
    d_output: View<'_>,
    d_input: &mut ViewMut<'_>,
) {
    map(cpu, function, input, Some(d_output), d_input);
}

fn map(cpu: &Cpu, function: Activation, x: View<'_>, d: Option<View<'_>>, output: &mut ViewMut<'_>) {
    let to = output.layout;
    assert!(to.same_shape(&x.layout), "{:?} → {to:?}", x.layout);
    assert!(d.is_none_or(|d| to.same_shape(&d.layout)), "{d:?} → {to:?}");
    let out = SharedPtr::new(output.data);
    let blocks = Blocks::of(&to);
    cpu.pool.run(blocks.count, |task| {
        let (image, rows) = blocks.at(task);
        // SAFETY: this task's own rows.
        unsafe { blocks.clear_halo(task, out, &to) };
        let len = to.width * to.channels;
        for y in rows {
            let x = &x.data[x.layout.index(image, y, 0)..][..len];
            let d = d.map(|d| &d.data[d.layout.index(image, y, 0)..][..len]);
            // SAFETY: a row of the view, this task's own.
            let out = unsafe { std::slice::from_raw_parts_mut(out.at(to.index(image, y, 0)), len) };
            cpu.isa.run(Row { function, x, d, out });
        }
    });
}

struct Row<'a> {
    function: Activation,
    x: &'a [f32],
    d: Option<&'a [f32]>,
    out: &'a mut [f32],
}

struct RowLoop<'a, S> {
    s: S,
    row: Row<'a>,
}

impl Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        select(self.function, RowLoop { s, row: self });
    }
}

impl<S: Simd> WithFunction for RowLoop<'_, S> {
    #[inline(always)]
    fn with<F: Function>(self) {
        let Self { s, row: Row { x, d, out, .. } } = self;
        let len = out.len();
        let mut i = 0;
        while i < len {
            let n = S::LANES.min(len - i);
            // SAFETY: the slices are of one length, and `n` values are left of it.
            unsafe {
                let value = load(s, x.as_ptr().add(i), n);
                let value = match d {
                    Some(d) => F::slope(s, value, load(s, d.as_ptr().add(i), n)),
                    None => F::value(s, value),
                };
                store(s, out.as_mut_ptr().add(i), n, value);
            }
            i += S::LANES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naive;
    use effigy_kernels::naive::noise;
    use effigy_kernels::{Halo, Isa, Layout};

    /// Largest error allowed, in a value's own size.
    const TOLERANCE: f32 = 5e-6;

    #[test]
    fn values_and_slopes_equal_the_plain_ones() {
        let halo = Halo { top: 1, left: 2, ..Halo::default() };
        for isa in Isa::available() {
            let cpu = Cpu::new(isa, 2);
            for channels in [1, 8, 19] {
                let dense = Layout::dense(2, 3, 5, channels);
                let x: Vec<f32> = noise(dense.len(), 3).iter().map(|x| x * 9.0).collect();
                let d = noise(dense.len(), 4);
                for function in [Activation::Relu, Activation::Relu6, Activation::Swish, Activation::Sigmoid]
                {
                    let to = dense.with_halo(halo);
                    let (mut y, mut dx) = (vec![9.0; to.len()], vec![9.0; to.len()]);
                    let (x_view, d_view) = (View::new(&x, dense), View::new(&d, dense));
                    activate(&cpu, function, x_view, &mut ViewMut::new(&mut y, to));
                    activation_backward(&cpu, function, x_view, d_view, &mut ViewMut::new(&mut dx, to));
                    for (i, (&x, &d)) in x.iter().zip(&d).enumerate() {
                        let (pixel, c) = (i / channels, i % channels);
                        let at = to.index(pixel / 15, pixel / 5 % 3, pixel % 5) + c;
                        let expected = effigy_kernels::naive::activation(function, x);
                        assert!((y[at] - expected).abs() <= TOLERANCE * (1.0 + expected.abs()));
                        let expected = d * naive::slope(function, x);
                        assert!(
                            (dx[at] - expected).abs() <= TOLERANCE,
                            "{function:?} {x}: {} {expected}",
                            dx[at]
                        );
                    }
                    assert_eq!((y[0], dx[0]), (0.0, 0.0));
                }
            }
        }
    }
}
