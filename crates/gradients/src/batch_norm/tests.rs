use super::*;
use effigy_kernels::naive::noise;
use effigy_kernels::{Activation, Cpu, Halo, Isa, Layout, View, ViewMut};

/// Largest error allowed, relative to the exact value.
const TOLERANCE: f64 = 1e-5;
/// The step of a difference quotient, and the largest difference from it.
const STEP: f32 = 1e-2;
const SLOPE_TOLERANCE: f64 = 2e-3;

#[test]
fn statistics_keep_their_digits_far_from_zero() {
    for isa in Isa::available() {
        for (side, channels, offset) in [(1, 3, 0.0), (7, 24, 1000.0), (60, 9, -5000.0), (300, 2, 0.5)] {
            let layout = Layout::dense(3, side, side, channels);
            let x: Vec<f32> = noise(layout.len(), 4).iter().map(|v| v + offset).collect();
            let [(mean, variance), again] =
                [1, 3].map(|threads| batch_statistics(&Cpu::new(isa, threads), View::new(&x, layout)));
            assert_eq!((&mean, &variance), (&again.0, &again.1), "threads");
            for c in 0..channels {
                let values: Vec<f64> = x.iter().skip(c).step_by(channels).map(|v| f64::from(*v)).collect();
                let exact = values.iter().sum::<f64>() / values.len() as f64;
                let spread = values.iter().map(|v| (v - exact).powi(2)).sum::<f64>() / values.len() as f64;
                assert!((f64::from(mean[c]) - exact).abs() < TOLERANCE * (0.1 + exact.abs()));
                assert!((f64::from(variance[c]) - spread).abs() < TOLERANCE * (0.1 + spread));
            }
        }
    }
}

/// `Σ d · (activation(bn(x)) · keep + residual)` and the output's means, in full.
fn forward(cpu: &Cpu, case: &Case, x: &[f32], weight: &[f32], bias: &[f32]) -> (f64, Batch) {
    let dense = case.layout;
    let to = dense.with_halo(case.halo);
    let (mean, variance) = batch_statistics(cpu, View::new(x, dense));
    let batch = Batch::new(&mean, &variance, 1e-3, weight, bias);
    let mut y = vec![9.0; to.len()];
    let mut means = vec![0.0; dense.images * dense.channels];
    let then = Normalised { activation: case.activation, ..Normalised::default() };
    batch_norm(cpu, &batch, View::new(x, dense), then, &mut ViewMut::new(&mut y, to), Some(&mut means));
    let mut loss = 0.0;
    for image in 0..dense.images {
        for i in 0..dense.pixels() {
            for c in 0..dense.channels {
                let at = to.index(image, i / dense.width, i % dense.width) + c;
                let gate = f64::from(case.gate[image * dense.channels + c]);
                let d = f64::from(case.d[(image * dense.pixels() + i) * dense.channels + c]);
                loss += d * gate * f64::from(y[at]);
            }
        }
        for c in 0..dense.channels {
            let at = image * dense.channels + c;
            loss += f64::from(case.spread[at]) * f64::from(means[at]) * dense.pixels() as f64;
        }
    }
    (loss, batch)
}

/// The values of one image.
fn image_of(layout: Layout, image: usize, values: &[f32]) -> &[f32] {
    &values[image * layout.image_pitch()..(image + 1) * layout.image_pitch()]
}

struct Case {
    layout: Layout,
    halo: Halo,
    activation: Activation,
    d: Vec<f32>,
    gate: Vec<f32>,
    spread: Vec<f32>,
}

#[test]
fn gradients_equal_the_slope_of_the_forward_pass() {
    let cpu = Cpu::new(Isa::best(), 2);
    for activation in [Activation::Identity, Activation::Swish, Activation::Sigmoid] {
        for (layout, halo) in [
            (Layout::dense(2, 3, 4, 9), Halo::default()),
            (Layout::dense(3, 2, 5, 8), Halo { top: 1, left: 2, ..Halo::default() }),
        ] {
            let channels = layout.channels;
            let per_image = layout.images * channels;
            let case = Case {
                layout,
                halo,
                activation,
                d: noise(layout.len(), 1),
                gate: noise(per_image, 2),
                spread: noise(per_image, 3),
            };
            let mut x = noise(layout.len(), 4);
            let mut weight: Vec<f32> = noise(channels, 5).iter().map(|w| w + 1.5).collect();
            let mut bias = noise(channels, 6);
            let (_, batch) = forward(&cpu, &case, &x, &weight, &bias);
            let to = layout.with_halo(halo);
            let mut dx = vec![9.0; to.len()];
            let (mut d_weight, mut d_bias) = (vec![0.0; channels], vec![0.0; channels]);
            let mut sums = GradientSums::new(&layout);
            for image in 0..layout.images {
                let part = |layout: Layout, values| image_of(layout, image, values);
                let d = View::new(part(layout, &case.d), Layout { images: 1, ..layout });
                let per_image = image * channels..(image + 1) * channels;
                let incoming = Incoming {
                    map: Some(d),
                    gate: Some(&case.gate[per_image.clone()]),
                    spread: Some(&case.spread[per_image]),
                };
                let pitch = to.image_pitch();
                let left = &mut dx[image * pitch..(image + 1) * pitch];
                let mut left = ViewMut::new(left, Layout { images: 1, ..to });
                let x = View::new(part(layout, &x), Layout { images: 1, ..layout });
                sums.count(&cpu, &batch, x, activation, incoming, Some(&mut left), image);
            }
            let factors = sums.finish(&batch, true, Some((&mut d_weight, &mut d_bias)));
            let incoming = Incoming {
                map: Some(View::new(&case.d, layout)),
                gate: Some(&case.gate),
                spread: Some(&case.spread),
            };
            let again = (activation == Activation::Identity).then_some(incoming);
            factors.apply(&cpu, View::new(&x, layout), again, &mut ViewMut::new(&mut dx, to));
            let near = |actual: f32, slope: f64| {
                assert!(
                    (f64::from(actual) - slope).abs() < SLOPE_TOLERANCE,
                    "{activation:?}: {actual} {slope}"
                );
            };
            for i in (0..layout.len()).step_by(7) {
                let at = x[i];
                let [more, less] = [STEP, -STEP].map(|step| {
                    x[i] = at + step;
                    forward(&cpu, &case, &x, &weight, &bias).0
                });
                x[i] = at;
                let (pixel, c) = (i / channels, i % channels);
                let (image, pixel) = (pixel / layout.pixels(), pixel % layout.pixels());
                let place = to.index(image, pixel / layout.width, pixel % layout.width) + c;
                near(dx[place], (more - less) / f64::from(2.0 * STEP));
            }
            for c in 0..channels {
                let at = weight[c];
                let [more, less] = [STEP, -STEP].map(|step| {
                    weight[c] = at + step;
                    forward(&cpu, &case, &x, &weight, &bias).0
                });
                weight[c] = at;
                near(d_weight[c], (more - less) / f64::from(2.0 * STEP));
                let at = bias[c];
                let [more, less] = [STEP, -STEP].map(|step| {
                    bias[c] = at + step;
                    forward(&cpu, &case, &x, &weight, &bias).0
                });
                bias[c] = at;
                near(d_bias[c], (more - less) / f64::from(2.0 * STEP));
            }
        }
    }
}

#[test]
fn keeps_and_adds() {
    for isa in Isa::available() {
        let cpu = Cpu::new(isa, 2);
        let layout = Layout::dense(2, 3, 5, 10);
        let [x, residual] = [1, 2].map(|seed| noise(layout.len(), seed));
        let ones = vec![1.0; 10];
        let batch = Batch::new(&[0.25; 10], &ones, 0.0, &ones, &[0.5; 10]);
        let keep: Vec<f32> = [0.0, 2.0].iter().flat_map(|k| [*k; 10]).collect();
        let then = Normalised {
            activation: Activation::Relu,
            keep: Some(&keep),
            residual: Some(View::new(&residual, layout)),
        };
        let mut y = vec![0.0; layout.len()];
        batch_norm(&cpu, &batch, View::new(&x, layout), then, &mut ViewMut::new(&mut y, layout), None);
        for (i, y) in y.iter().enumerate() {
            let value = (x[i] + 0.25).max(0.0) * keep[i / 150 * 10];
            assert!((f64::from(*y) - f64::from(value + residual[i])).abs() < TOLERANCE);
        }
    }
}
