//! Depthwise convolutions of bytes against the plain form, to the bit.

use super::*;
use crate::conv::ConvShape;
use crate::int8::conv::tests::{bytes, picture};
use crate::int8::{SLACK as BEHIND, mean_of_sums, naive};
use crate::layout::Halo;
use crate::naive::noise;

fn run(
    isa: IntIsa,
    threads: usize,
    (kernel, stride): (usize, usize),
    pad: Halo,
    (height, width): (usize, usize),
    channels: usize,
    activation: Activation,
) {
    let images = 2;
    let input_layout = Layout::dense(images, height, width, channels).with_halo(pad);
    let size = |side: usize, before: usize, after: usize| (side + before + after - kernel) / stride + 1;
    let out_height = size(height, pad.top, pad.bottom);
    let layout = Layout::dense(images, out_height, size(width, pad.left, pad.right), channels);
    let quant = Quant { scale: 0.02, zero: 100 };
    let data = bytes(input_layout, quant, 1);
    let input = Bytes::new(&data, input_layout, quant);
    let weights = noise(channels * kernel * kernel, 2);
    let bias = noise(channels, 3);
    let out_quant = Quant { scale: 0.04, zero: 60 };
    let quantised = QuantWeights::free(weights.chunks_exact(kernel * kernel));
    let padding = (pad.top, pad.left);
    let plain = naive::Convolution {
        shape: ConvShape { inputs: channels, outputs: channels, kernel, stride },
        groups: channels,
        weights: &quantised,
        bias: &bias,
        padding,
        activation,
    };
    let expected = naive::convolve(&plain, &input, None, layout, Output::Bytes(out_quant));

    let conv = QuantDepthwise::new(isa, (kernel, stride), &weights, &bias, quant, activation, out_quant);
    let out_layout = layout.with_halo(Halo { top: 1, bottom: 1, left: 2, right: 1 });
    let mut out = vec![1; out_layout.len() + BEHIND];
    let mut view = BytesMut::new(&mut out, out_layout, out_quant);
    let mut scratch = vec![f32::NAN; conv.scratch_len(threads, &layout)];
    let mut sums = vec![-1; conv.sums_len(threads, &layout)];
    conv.run(&ThreadPool::new(threads), input, padding, &mut scratch, &mut view, Some(&mut sums));
    let what = format!("{kernel}/{stride} {height}×{width}×{channels} {pad:?} on {}", isa.name());
    assert_eq!(picture(&out, out_layout), expected, "{what}");
    assert!(out[..out_layout.index(0, 0, 0)].iter().all(|byte| *byte == out_quant.zero), "{what}");
    assert!(out[out_layout.len()..].iter().all(|byte| *byte == 1), "{what}: written beyond the end");

    let mut means = vec![0.0; images * channels];
    mean_of_sums(threads, &sums, &layout, out_quant, &mut means);
    for (i, mean) in means.iter().enumerate() {
        let (image, c) = (i / channels, i % channels);
        let pixels = expected[image * layout.pixels() * channels..].iter().skip(c).step_by(channels);
        let sum: f64 = pixels.take(layout.pixels()).map(|byte| f64::from(*byte) - 60.0).sum();
        let exact = sum / layout.pixels() as f64 * f64::from(out_quant.scale);
        assert!((f64::from(*mean) - exact).abs() < MEAN_TOLERANCE, "{what}: {mean} for {exact}");
    }
}

/// Rounding of a mean of values up to 10.
const MEAN_TOLERANCE: f64 = 1e-5;

#[test]
fn equals_the_plain_form() {
    for isa in IntIsa::available() {
        for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1)] {
            let half = kernel / 2;
            for (top, left) in [(half, half), (half - 1, half - 1)] {
                let pad = Halo { top, left, bottom: half, right: half };
                for size in [(1, 1), (2, 5), (5, 4), (7, 7), (9, 16), (33, 10)] {
                    if size.0 + pad.top + pad.bottom < kernel {
                        continue;
                    }
                    for channels in [2, 8, 16, 17, 40, 72] {
                        run(isa, 1, (kernel, stride), pad, size, channels, Activation::Identity);
                    }
                }
                run(isa, 3, (kernel, stride), pad, (40, 8), 24, Activation::Swish);
                run(isa, 2, (kernel, stride), pad, (16, 9), 136, Activation::Relu6);
            }
        }
    }
}
