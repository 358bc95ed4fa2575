//! Depthwise convolutions against the plain form, on a grid around the column blocks.

use super::*;
use crate::conv::ConvShape;
use crate::epilogue::Epilogue;
use crate::layout::Halo;
use crate::naive::{self, noise};
use crate::pooling::mean_of_sums;

/// Largest difference allowed, for sums of up to 49 products of values in −1..1.
const TOLERANCE: f32 = 1e-5;

fn run(cpu: &Cpu, kernel: usize, stride: usize, pad: Halo, size: (usize, usize), channels: usize) {
    let images = 2;
    let dense = Layout::dense(images, size.0, size.1, channels);
    let layout = dense.with_halo(Halo { top: pad.top + 1, left: pad.left + 2, ..pad });
    let height = (size.0 + pad.top + pad.bottom - kernel) / stride + 1;
    let width = (size.1 + pad.left + pad.right - kernel) / stride + 1;
    let out = Layout::dense(images, height, width, channels);
    let values = noise(dense.len(), 1);
    let mut data = vec![f32::NAN; layout.len()];
    crate::copy(cpu, View::new(&values, dense), &mut ViewMut::new(&mut data, layout));
    let (weights, bias) = (noise(channels * kernel * kernel, 2), noise(channels, 3));
    let conv = PackedDepthwise::new(cpu.isa, kernel, stride, &weights, &bias);

    let mut result = vec![f32::NAN; out.len()];
    let mut sums = vec![f32::NAN; PartialSums::len_for(&out)];
    let mut view = ViewMut::new(&mut result, out);
    let mut partial = PartialSums::new(&mut sums);
    let input = View::new(&data, layout);
    depthwise(cpu, &conv, input, (pad.top, pad.left), &mut view, Activation::Swish, Some(&mut partial));

    let shape = ConvShape { inputs: channels, outputs: channels, kernel, stride };
    let epilogue = Epilogue { activation: Activation::Swish, residual: None };
    let input = View::new(&values, dense);
    let expected = naive::conv2d(shape, channels, &weights, &bias, input, (pad.top, pad.left), out, epilogue);
    let what = format!("{} {kernel}×{kernel}/{stride} {size:?}×{channels} {pad:?}", cpu.isa.name());
    for (i, (a, b)) in result.iter().zip(&expected).enumerate() {
        assert!((a - b).abs() <= TOLERANCE, "{what}: value {i} is {a} instead of {b}");
    }
    let mut means = vec![0.0; images * channels];
    mean_of_sums(&sums, &out, &mut means);
    for (i, mean) in means.iter().enumerate() {
        let (image, channel) = (i / channels, i % channels);
        let picture = &expected[image * out.pixels() * channels..(image + 1) * out.pixels() * channels];
        let sum: f64 = picture.iter().skip(channel).step_by(channels).map(|v| f64::from(*v)).sum();
        let exact = sum / out.pixels() as f64;
        assert!((f64::from(*mean) - exact).abs() <= f64::from(TOLERANCE), "{what}: mean {i}");
    }
}

#[test]
fn every_shape_around_the_blocks() {
    for isa in Isa::available() {
        let cpu = Cpu::new(isa, 2);
        for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (3, 3)] {
            let half = kernel / 2;
            let symmetric = Halo { top: half, bottom: half, left: half, right: half };
            let same = Halo { top: half - 1, left: half - 1, ..symmetric };
            for pad in [symmetric, same] {
                for width in [1, 2, 3, 4, 6, 7, 8, 9, 14, 15, 16, 17, 28, 29, 64, 65] {
                    if width + pad.left + pad.right >= kernel {
                        run(&cpu, kernel, stride, pad, (5, width), 20);
                    }
                }
                for height in [3, 16, 17, 33] {
                    run(&cpu, kernel, stride, pad, (height, 8), 3);
                }
                for channels in [1, 4, 8, 16, 17, 33, 64, 65, 144] {
                    run(&cpu, kernel, stride, pad, (6, 7), channels);
                }
                run(&cpu, kernel, stride, pad, (6, 40), 150);
                run(&cpu, kernel, stride, pad, (17, 67), 129);
            }
        }
    }
}
