//! The gradient of max-pooling: it goes to the first largest value of every window.

use effigy_kernels::isa::{Kernel, Simd};
use effigy_kernels::{Cpu, Layout, SharedPtr, View, ViewMut, Window};

use crate::elementwise::copy_image;

/// Writes `d_input` for `output = max_pool(input)`; `plus`, of the input's shape, is added. Where the border won,
/// as zeros can, nobody gets the gradient.
///
/// # Panics
/// When shapes do not fit together.
pub fn max_pool_backward(
    cpu: &Cpu,
    window: Window,
    border: f32,
    input: View<'_>,
    d_output: View<'_>,
    plus: Option<View<'_>>,
    d_input: &mut ViewMut<'_>,
) {
    let (x, d, to) = (input.layout, d_output.layout, d_input.layout);
    assert!(x.same_shape(&to), "{x:?} → {to:?}");
    assert_eq!((d.images, d.channels), (x.images, x.channels), "{d:?} → {x:?}");
    assert!(plus.is_none_or(|plus| plus.layout.same_shape(&to)), "{plus:?} for {to:?}");
    d_input.clear_halo();
    let out = SharedPtr::new(d_input.data);
    cpu.pool.run(x.images, |image| {
        // SAFETY: this task's own picture of the view.
        let picture =
            unsafe { std::slice::from_raw_parts_mut(out.at(image * to.image_pitch()), to.image_pitch()) };
        copy_image(plus, image, picture, &to);
        cpu.isa.run(Picture { window, border, input, d_output, image, to, picture });
    });
}

/// The gradient of one picture.
struct Picture<'a> {
    window: Window,
    border: f32,
    input: View<'a>,
    d_output: View<'a>,
    image: usize,
    to: Layout,
    picture: &'a mut [f32],
}

/// The border has the largest value.
const NOWHERE: u32 = u32::MAX;

impl Kernel for Picture<'_> {
    type Output = ();

    /// Plain loops over channels, which the compiler vectorises for the instruction set.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { window, border, input, d_output, image, to, picture } = self;
        let (x, d) = (input.layout, d_output.layout);
        let taps = (window.kernel * window.kernel) as u32;
        let mut best = vec![0.0; x.channels];
        let mut place = vec![NOWHERE; x.channels];
        for (y, column) in (0..d.pixels()).map(|i| (i / d.width, i % d.width)) {
            best.fill(f32::NEG_INFINITY);
            place.fill(NOWHERE);
            for tap in 0..taps {
                let Some((row, pixel)) = pixel(window, &x, (y, column), tap) else {
                    for (best, place) in best.iter_mut().zip(&mut place) {
                        (*best, *place) = if border > *best { (border, NOWHERE) } else { (*best, *place) };
                    }
                    continue;
                };
                let values = &input.data[x.index(image, row, pixel)..][..x.channels];
                for ((value, best), place) in values.iter().zip(&mut best).zip(&mut place) {
                    (*best, *place) = if value > best { (*value, tap) } else { (*best, *place) };
                }
            }
            let d = &d_output.data[d.index(image, y, column)..][..d.channels];
            for tap in 0..taps {
                let Some((row, pixel)) = pixel(window, &x, (y, column), tap) else { continue };
                let to = &mut picture[to.index(0, row, pixel)..][..x.channels];
                for ((to, d), place) in to.iter_mut().zip(d).zip(&place) {
                    *to += if *place == tap { *d } else { 0.0 };
                }
            }
        }
    }
}

/// Row and column of the input that a window has as its `tap`, if they are not in the border.
#[inline(always)]
fn pixel(window: Window, x: &Layout, (y, column): (usize, usize), tap: u32) -> Option<(usize, usize)> {
    let Window { kernel, stride, padding } = window;
    let inside = |at: usize, before: usize, side: usize| at.checked_sub(before).filter(|at| *at < side);
    let row = inside(y * stride + tap as usize / kernel, padding.0, x.height)?;
    Some((row, inside(column * stride + tap as usize % kernel, padding.1, x.width)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use effigy_kernels::naive::noise;
    use effigy_kernels::{Isa, max_pool};

    /// A pooled map moves with the inputs that won: the gradient of `Σ d · max_pool(x)` by small steps.
    const STEP: f32 = 1e-3;
    /// Largest error allowed.
    const TOLERANCE: f32 = 2e-3;

    #[test]
    fn equals_the_slope_of_the_forward_pass() {
        let cpu = Cpu::new(Isa::best(), 2);
        for (side, before, border) in
            [(5, 0, f32::NEG_INFINITY), (6, 1, 0.0), (4, 0, 0.0), (7, 1, f32::NEG_INFINITY)]
        {
            let x = Layout::dense(2, side, side, 3);
            let y = Layout::dense(2, side.div_ceil(2), side.div_ceil(2), 3);
            let window = Window { kernel: 3, stride: 2, padding: (before, before) };
            let mut values: Vec<f32> = noise(x.len(), 1).iter().map(|v| v - 0.3).collect();
            let d = noise(y.len(), 2);
            let plus = noise(x.len(), 3);
            let mut result = vec![0.0; x.len()];
            max_pool_backward(
                &cpu,
                window,
                border,
                View::new(&values, x),
                View::new(&d, y),
                Some(View::new(&plus, x)),
                &mut ViewMut::new(&mut result, x),
            );
            for i in 0..x.len() {
                let at = values[i];
                let mut loss = |value: f32| {
                    values[i] = value;
                    let mut out = vec![0.0; y.len()];
                    max_pool(&cpu, window, border, View::new(&values, x), &mut ViewMut::new(&mut out, y));
                    out.iter().zip(&d).map(|(out, d)| f64::from(*out) * f64::from(*d)).sum::<f64>()
                };
                let slope = (loss(at + STEP) - loss(at - STEP)) as f32 / (2.0 * STEP);
                values[i] = at;
                assert!(
                    (result[i] - plus[i] - slope).abs() < TOLERANCE,
                    "{i}: {} {slope}",
                    result[i] - plus[i]
                );
            }
        }
    }
}
