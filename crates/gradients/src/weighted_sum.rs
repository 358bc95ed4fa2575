//! The gradient of a weighted sum of maps, and of the weights that fast normalised fusion makes of its parameters.

use effigy_kernels::{Cpu, SharedPtr, View, ViewMut};

use crate::blocks::{Blocks, total};

/// Writes `d_input = weight · d_output + plus` where a map is given for it, and returns the gradient of the weight:
/// `Σ d_output · input`.
///
/// # Panics
/// When the shapes differ.
pub fn weighted_sum_backward(
    cpu: &Cpu,
    weight: f32,
    input: View<'_>,
    d_output: View<'_>,
    plus: Option<View<'_>>,
    d_input: Option<&mut ViewMut<'_>>,
) -> f64 {
    let (x, d) = (input.layout, d_output.layout);
    assert!(x.same_shape(&d), "{x:?} for {d:?}");
    assert!(plus.is_none_or(|plus| plus.layout.same_shape(&x)), "{plus:?} for {x:?}");
    let blocks = Blocks::of(&x);
    let mut sums = vec![0.0; blocks.count];
    let sums_out = SharedPtr::new(&mut sums);
    let out = d_input.map(|d_input| {
        assert!(d_input.layout.same_shape(&x), "{:?} for {x:?}", d_input.layout);
        (SharedPtr::new(d_input.data), d_input.layout)
    });
    let len = x.width * x.channels;
    cpu.pool.run(blocks.count, |task| {
        let (image, rows) = blocks.at(task);
        if let Some((out, layout)) = &out {
            // SAFETY: this task's own rows.
            unsafe { blocks.clear_halo(task, *out, layout) };
        }
        let mut sum = 0.0;
        for y in rows {
            let d = &d_output.data[d.index(image, y, 0)..][..len];
            let x = &input.data[x.index(image, y, 0)..][..len];
            sum += dot(d, x);
            let Some((out, layout)) = out else { continue };
            // SAFETY: a row of the view, this task's own.
            let out = unsafe { std::slice::from_raw_parts_mut(out.at(layout.index(image, y, 0)), len) };
            match plus {
                Some(plus) => {
                    let plus = &plus.data[plus.layout.index(image, y, 0)..][..len];
                    for ((out, d), plus) in out.iter_mut().zip(d).zip(plus) {
                        *out = weight * d + plus;
                    }
                }
                None => out.iter_mut().zip(d).for_each(|(out, d)| *out = weight * d),
            }
        }
        // SAFETY: the task's own sum.
        unsafe { *sums_out.at(task) = sum };
    });
    total(&sums, 0..blocks.count, 1, 0, 1)[0]
}

/// The product of two rows, by eight sums.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Adds to `d_parameters` the gradient for weights `max(pᵢ, 0) / (Σ max(pⱼ, 0) + epsilon)`, given that of the
/// weights.
///
/// # Panics
/// When the lengths differ.
pub fn weights_backward(parameters: &[f32], epsilon: f32, d_weights: &[f64], d_parameters: &mut [f32]) {
    assert_eq!(parameters.len(), d_weights.len(), "a gradient for each weight");
    assert_eq!(parameters.len(), d_parameters.len(), "a gradient for each parameter");
    let positive = |p: &f32| f64::from(p.max(0.0));
    let sum = parameters.iter().map(positive).sum::<f64>() + f64::from(epsilon);
    let shared: f64 =
        parameters.iter().zip(d_weights).map(|(p, d)| positive(p) * d).sum::<f64>() / (sum * sum);
    for ((p, d), out) in parameters.iter().zip(d_weights).zip(d_parameters) {
        if *p > 0.0 {
            *out += (d / sum - shared) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use effigy_kernels::naive::noise;
    use effigy_kernels::{Isa, Layout};

    /// Largest error allowed.
    const TOLERANCE: f64 = 1e-4;

    #[test]
    fn scales_adds_and_sums() {
        let cpu = Cpu::new(Isa::best(), 2);
        let layout = Layout::dense(2, 9, 11, 13);
        let [x, d, plus] = [1, 2, 3].map(|seed| noise(layout.len(), seed));
        let mut dx = vec![0.0; layout.len()];
        let [x_view, d_view, plus_view] = [&x, &d, &plus].map(|values| View::new(values, layout));
        let mut view = ViewMut::new(&mut dx, layout);
        let weight = weighted_sum_backward(&cpu, 0.3, x_view, d_view, Some(plus_view), Some(&mut view));
        let expected: f64 = x.iter().zip(&d).map(|(x, d)| f64::from(*x) * f64::from(*d)).sum();
        assert!((weight - expected).abs() < TOLERANCE);
        assert!(dx.iter().zip(&d).zip(&plus).all(|((dx, d), plus)| *dx == 0.3 * d + plus));
    }

    #[test]
    fn weights_equal_the_slope_of_their_formula() {
        const STEP: f64 = 1e-4;
        let (parameters, d) = ([1.3_f32, -0.2, 0.4], [0.5, 2.0, -1.0]);
        let loss = |p: [f64; 3]| {
            let sum = p.iter().map(|p| p.max(0.0)).sum::<f64>() + 1e-4;
            p.iter().zip(d).map(|(p, d)| d * p.max(0.0) / sum).sum::<f64>()
        };
        let mut gradient = [0.0; 3];
        weights_backward(&parameters, 1e-4, &d, &mut gradient);
        for i in 0..3 {
            let moved = |by: f64| {
                let mut p = parameters.map(f64::from);
                p[i] += by;
                loss(p)
            };
            let slope = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            assert!((f64::from(gradient[i]) - slope).abs() < TOLERANCE, "{i}: {} {slope}", gradient[i]);
        }
    }
}
