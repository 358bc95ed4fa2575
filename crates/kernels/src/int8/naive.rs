//! The 8-bit operations once more, as plain as their formulas: what the kernels equal to the bit.

use super::epilogue::ScaledSwish;
use super::weights::QuantWeights;
use super::{Bytes, Output, Quant};
use crate::conv::ConvShape;
use crate::epilogue::Activation;
use crate::isa::Portable;
use crate::layout::Layout;

/// A convolution's inputs: weights as bytes, `[O, I/groups, k, k]`, and a bias in floats.
#[derive(Clone, Copy, Debug)]
pub struct Convolution<'a> {
    /// Its shape.
    pub shape: ConvShape,
    /// 1, or as many as channels.
    pub groups: usize,
    /// Weights.
    pub weights: &'a QuantWeights,
    /// One for each output channel.
    pub bias: &'a [f32],
    /// Rows above and columns left of the picture.
    pub padding: (usize, usize),
    /// What follows.
    pub activation: Activation,
}

/// The exact sum of a window, in steps of weights and input.
fn sum(conv: &Convolution<'_>, input: &Bytes<'_>, [image, y, x, o]: [usize; 4]) -> i32 {
    let ConvShape { inputs, outputs, kernel, stride } = conv.shape;
    let group_inputs = inputs / conv.groups;
    let layout = input.layout;
    let mut sum = 0;
    for c in 0..group_inputs {
        for ky in 0..kernel {
            for kx in 0..kernel {
                let weight = conv.weights.row(o)[(c * kernel + ky) * kernel + kx];
                let iy = (y * stride + ky).wrapping_sub(conv.padding.0);
                let ix = (x * stride + kx).wrapping_sub(conv.padding.1);
                if iy < layout.height && ix < layout.width {
                    let channel = o / (outputs / conv.groups) * group_inputs + c;
                    let byte = input.data[layout.index(image, iy, ix) + channel];
                    sum += i32::from(weight) * (i32::from(byte) - i32::from(input.quant.zero));
                }
            }
        }
    }
    sum
}

/// What a convolution writes, as floats (bytes as whole numbers): dense, of the layout `output`.
#[must_use]
pub fn convolve(
    conv: &Convolution<'_>,
    input: &Bytes<'_>,
    residual: Option<&Bytes<'_>>,
    layout: Layout,
    output: Output,
) -> Vec<f32> {
    let (steps, zero) = match output {
        Output::Bytes(Quant { scale, zero }) => (scale.recip(), f32::from(zero)),
        Output::Floats => (1.0, 0.0),
    };
    let mut result = Vec::new();
    for i in 0..layout.images * layout.pixels() * layout.channels {
        let (rest, o) = (i / layout.channels, i % layout.channels);
        let (rest, x) = (rest / layout.width, rest % layout.width);
        let (image, y) = (rest / layout.height, rest % layout.height);
        let sum = sum(conv, input, [image, y, x, o]) as f32;
        let scale = conv.weights.scales[o] * input.quant.scale;
        let linear = sum.mul_add(scale * steps, conv.bias[o].mul_add(steps, zero));
        let mut value = match conv.activation {
            Activation::Identity => linear,
            Activation::Relu => linear.max(zero),
            Activation::Relu6 => linear.max(zero).min(zero + 6.0 * steps),
            Activation::Swish => {
                let mut x = [[sum.mul_add(scale, conv.bias[o]); 4]];
                ScaledSwish::new(steps, zero).apply(Portable, &mut x);
                x[0][0]
            }
            Activation::Sigmoid => panic!("no 8-bit kernel has a sigmoid"),
        };
        if let Some(residual) = residual {
            let ratio = residual.quant.scale * steps;
            let byte = f32::from(residual.data[residual.layout.index(image, y, x) + o]);
            value += byte.mul_add(ratio, -f32::from(residual.quant.zero) * ratio);
        }
        result.push(match output {
            Output::Bytes(_) => f32::from(value.round_ties_even() as u8),
            Output::Floats => value,
        });
    }
    result
}
