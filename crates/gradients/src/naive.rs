//! Every gradient once more, as plain as its formula, in double precision: what the kernels are tested against.

use effigy_kernels::{Activation, ConvShape, Layout, View};

/// The derivative of an element-wise function.
#[must_use]
pub fn slope(function: Activation, x: f32) -> f32 {
    let x = f64::from(x);
    let sigmoid = 1.0 / (1.0 + (-x).exp());
    let slope = match function {
        Activation::Identity => 1.0,
        Activation::Relu => f64::from(x > 0.0),
        Activation::Relu6 => f64::from(x > 0.0 && x < 6.0),
        Activation::Swish => sigmoid + x * sigmoid * (1.0 - sigmoid),
        Activation::Sigmoid => sigmoid * (1.0 - sigmoid),
    };
    slope as f32
}

/// Calls `visit` with every weight's index in `[O, I/groups, k, k]`, every input value and every output value (image,
/// row, column and channel of each) that it multiplies and adds to. Inputs outside of the picture are left out.
fn each_product(
    ConvShape { inputs, outputs, kernel, stride }: ConvShape,
    groups: usize,
    (x, y): (Layout, Layout),
    padding: (usize, usize),
    mut visit: impl FnMut(usize, [usize; 4], [usize; 4]),
) {
    let group_inputs = inputs / groups;
    for i in 0..y.images * y.pixels() * outputs {
        let (rest, o) = (i / outputs, i % outputs);
        let (rest, column) = (rest / y.width, rest % y.width);
        let (image, row) = (rest / y.height, rest % y.height);
        for c in 0..group_inputs {
            for (ky, kx) in (0..kernel * kernel).map(|i| (i / kernel, i % kernel)) {
                let at = |out: usize, k: usize, before: usize, side: usize| {
                    (out * stride + k).checked_sub(before).filter(|at| *at < side)
                };
                let weight = ((o * group_inputs + c) * kernel + ky) * kernel + kx;
                let channel = o / (outputs / groups) * group_inputs + c;
                let (iy, ix) = (at(row, ky, padding.0, x.height), at(column, kx, padding.1, x.width));
                if let (Some(iy), Some(ix)) = (iy, ix) {
                    visit(weight, [image, iy, ix, channel], [image, row, column, o]);
                }
            }
        }
    }
}

fn value(map: View<'_>, [image, y, x, channel]: [usize; 4]) -> f64 {
    f64::from(map.data[map.layout.index(image, y, x) + channel])
}

/// The weight gradient of a convolution in `groups` groups.
#[must_use]
pub fn conv_weights(
    shape: ConvShape,
    groups: usize,
    input: View<'_>,
    padding: (usize, usize),
    d_output: View<'_>,
) -> Vec<f32> {
    let len = shape.outputs * shape.inputs / groups * shape.kernel * shape.kernel;
    let mut sums = vec![0.0; len];
    each_product(shape, groups, (input.layout, d_output.layout), padding, |weight, x, y| {
        sums[weight] += value(input, x) * value(d_output, y);
    });
    sums.iter().map(|sum| *sum as f32).collect()
}

fn conv_input(
    shape: ConvShape,
    groups: usize,
    weights: &[f32],
    d_output: View<'_>,
    padding: (usize, usize),
    plus: Option<View<'_>>,
    input: Layout,
) -> Vec<f32> {
    let dense = Layout::dense(input.images, input.height, input.width, input.channels);
    let mut sums = vec![0.0; dense.len()];
    each_product(shape, groups, (dense, d_output.layout), padding, |weight, x, y| {
        sums[dense.index(x[0], x[1], x[2]) + x[3]] += f64::from(weights[weight]) * value(d_output, y);
    });
    if let Some(plus) = plus {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum += f64::from(plus.data[i]);
        }
    }
    sums.iter().map(|sum| *sum as f32).collect()
}

/// The input gradient of a dense convolution, without a halo; `plus` (dense) is added.
#[must_use]
pub fn dense_input(
    shape: ConvShape,
    weights: &[f32],
    d_output: View<'_>,
    padding: (usize, usize),
    plus: Option<View<'_>>,
    input: Layout,
) -> Vec<f32> {
    conv_input(shape, 1, weights, d_output, padding, plus, input)
}

/// The input gradient of a depthwise convolution, without a halo.
#[must_use]
pub fn depthwise_input(
    shape: ConvShape,
    weights: &[f32],
    d_output: View<'_>,
    padding: (usize, usize),
    input: Layout,
) -> Vec<f32> {
    conv_input(shape, shape.inputs, weights, d_output, padding, None, input)
}

/// Panics unless `values` equal `expected` to `tolerance` of the largest.
///
/// # Panics
/// When they do not.
pub fn check_flat(values: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(values.len(), expected.len());
    let largest = expected.iter().fold(1e-30_f32, |largest, v| largest.max(v.abs()));
    for (i, (value, expected)) in values.iter().zip(expected).enumerate() {
        assert!((value - expected).abs() <= tolerance * largest, "{i}: {value}, but {expected} is expected");
    }
}

/// As [`check_flat`], of a map in a halo, which must be zero.
///
/// # Panics
/// When they do not.
pub fn check(values: &[f32], layout: &Layout, expected: &[f32], tolerance: f32) {
    let mut dense = Vec::with_capacity(expected.len());
    let mut sum = 0.0;
    for image in 0..layout.images {
        for y in 0..layout.height {
            dense.extend_from_slice(&values[layout.index(image, y, 0)..][..layout.width * layout.channels]);
        }
    }
    for (value, sign) in values.iter().map(|v| (v, 1.0)).chain(dense.iter().map(|v| (v, -1.0))) {
        sum += sign * f64::from(value.abs());
    }
    assert!(
        sum.abs() < 1e-6 * (1.0 + dense.iter().map(|v| f64::from(v.abs())).sum::<f64>()),
        "the halo is not clear"
    );
    check_flat(&dense, expected, tolerance);
}
