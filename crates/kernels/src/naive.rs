//! Every operation once more, as plain as its formula: what the kernels are tested against.

use crate::conv::ConvShape;
use crate::epilogue::{Activation, Epilogue};
use crate::layout::{Layout, View};

/// An element-wise function, in double precision.
#[must_use]
pub fn activation(function: Activation, x: f32) -> f32 {
    let sigmoid = 1.0 / (1.0 + (-f64::from(x)).exp());
    match function {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Swish => (f64::from(x) * sigmoid) as f32,
        Activation::Sigmoid => sigmoid as f32,
    }
}

/// The value of a pixel, zero outside the picture. The halo is not read.
fn pixel(input: &View<'_>, image: usize, y: isize, x: isize, channel: usize) -> f64 {
    let Layout { height, width, .. } = input.layout;
    if y < 0 || x < 0 || y as usize >= height || x as usize >= width {
        return 0.0;
    }
    f64::from(input.data[input.layout.index(image, y as usize, x as usize) + channel])
}

/// Convolution in `groups` groups with `weights: [O, I/groups, k, k]`, accumulated in double precision;
/// the result is dense, of the layout `output`.
#[must_use]
pub fn conv2d(
    shape: ConvShape,
    groups: usize,
    weights: &[f32],
    bias: &[f32],
    input: View<'_>,
    padding: (usize, usize),
    output: Layout,
    epilogue: Epilogue<'_>,
) -> Vec<f32> {
    let ConvShape { inputs, outputs, kernel, stride } = shape;
    let group_inputs = inputs / groups;
    let mut result = vec![0.0; output.images * output.pixels() * outputs];
    for (i, value) in result.iter_mut().enumerate() {
        let (rest, o) = (i / outputs, i % outputs);
        let (rest, x) = (rest / output.width, rest % output.width);
        let (image, y) = (rest / output.height, rest % output.height);
        let mut sum = f64::from(bias[o]);
        for c in 0..group_inputs {
            for ky in 0..kernel {
                for kx in 0..kernel {
                    let weight = weights[((o * group_inputs + c) * kernel + ky) * kernel + kx];
                    let (iy, ix) = (y * stride + ky, x * stride + kx);
                    let channel = o / (outputs / groups) * group_inputs + c;
                    let (iy, ix) = (iy as isize - padding.0 as isize, ix as isize - padding.1 as isize);
                    sum += f64::from(weight) * pixel(&input, image, iy, ix, channel);
                }
            }
        }
        *value = activation(epilogue.activation, sum as f32);
        if let Some(residual) = epilogue.residual {
            *value += residual.data[residual.layout.index(image, y, x) + o];
        }
    }
    result
}

/// `len` values in −1..1 from a linear congruential generator: the same on every machine.
#[must_use]
pub fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(step).collect()
}
