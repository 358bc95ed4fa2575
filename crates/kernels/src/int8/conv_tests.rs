//! Dense convolutions of bytes against the plain form, to the bit, on a grid around the register tiles.

use super::*;
use crate::int8::{SLACK, naive};
use crate::layout::Halo;
use crate::naive::noise;

/// Bytes that look random, in a halo of zeros.
pub(crate) fn bytes(layout: Layout, quant: Quant, seed: u32) -> Vec<u8> {
    let mut data = vec![quant.zero; layout.len() + SLACK];
    let values = noise(layout.len(), seed);
    for image in 0..layout.images {
        for y in 0..layout.height {
            let start = layout.index(image, y, 0);
            for i in start..start + layout.width * layout.channels {
                data[i] = (values[i] * 128.0 + 128.0) as u8;
            }
        }
    }
    data
}

/// The pixels of a layout without its halo.
pub(crate) fn picture(data: &[u8], layout: Layout) -> Vec<f32> {
    let mut pixels = Vec::new();
    for image in 0..layout.images {
        for y in 0..layout.height {
            let start = layout.index(image, y, 0);
            pixels.extend(data[start..start + layout.width * layout.channels].iter().map(|b| f32::from(*b)));
        }
    }
    pixels
}

/// The weights as the kernel has them, in the order of the checkpoint.
fn plain_weights(shape: ConvShape, weights: &[f32]) -> QuantWeights {
    let ConvShape { inputs, outputs, kernel, .. } = shape;
    let rows = patch_rows(shape, weights);
    let packed = QuantWeights::summed(rows.iter().map(|row| &row[..]));
    let padded = rows[0].len() / kernel;
    let mut plain = QuantWeights { values: Vec::new(), scales: packed.scales.clone() };
    for o in 0..outputs {
        for c in 0..inputs {
            for place in 0..kernel * kernel {
                let k = place / kernel * padded + place % kernel * inputs + c;
                plain.values.push(packed.row(o)[k]);
            }
        }
    }
    plain
}

struct Case {
    shape: ConvShape,
    images: usize,
    size: (usize, usize),
    padding: Halo,
    activation: Activation,
    residual: bool,
    floats: bool,
}

impl Case {
    fn pointwise(inputs: usize, outputs: usize, size: (usize, usize)) -> Self {
        Self {
            shape: ConvShape { inputs, outputs, kernel: 1, stride: 1 },
            images: 1,
            size,
            padding: Halo::default(),
            activation: Activation::Identity,
            residual: false,
            floats: false,
        }
    }

    fn run(&self, isa: IntIsa, threads: usize) {
        let ConvShape { inputs, outputs, kernel, stride } = self.shape;
        let (height, width) = self.size;
        let pad = self.padding;
        let input_layout = Layout::dense(self.images, height, width, inputs).with_halo(pad);
        let layout = Layout::dense(
            self.images,
            (height + pad.top + pad.bottom - kernel) / stride + 1,
            (width + pad.left + pad.right - kernel) / stride + 1,
            outputs,
        );
        let quant = Quant { scale: 0.02, zero: 117 };
        let data = bytes(input_layout, quant, 1);
        let input = Bytes::new(&data, input_layout, quant);
        let weights = noise(outputs * inputs * kernel * kernel, 2);
        let bias = noise(outputs, 3);
        let out_quant = match self.activation {
            Activation::Relu | Activation::Relu6 => Quant::over(0.0, 6.0),
            _ => Quant { scale: 0.05 * (inputs as f32).sqrt(), zero: 120 },
        };
        let residual_layout = layout.with_halo(Halo { top: 1, bottom: 0, left: 2, right: 1 });
        let residual_quant = Quant { scale: 0.03, zero: 90 };
        let residual_data = bytes(residual_layout, residual_quant, 4);
        let residual = self.residual.then(|| Bytes::new(&residual_data, residual_layout, residual_quant));

        let output = if self.floats { Output::Floats } else { Output::Bytes(out_quant) };
        let conv = QuantConv::new(isa, self.shape, &weights, &bias, quant, self.activation, output);
        let quantised = plain_weights(self.shape, &weights);
        let plain = naive::Convolution {
            shape: self.shape,
            groups: 1,
            weights: &quantised,
            bias: &bias,
            padding: (pad.top, pad.left),
            activation: self.activation,
        };
        let expected = naive::convolve(&plain, &input, residual.as_ref(), layout, output);
        let pool = ThreadPool::new(threads);
        let halo = Halo { top: 0, bottom: 1, left: 1, right: 2 };
        let out_layout = layout.with_halo(halo);
        let what = format!("{:?} {:?} on {}", self.shape, self.size, isa.name());
        if self.floats {
            let mut data = vec![f32::NAN; layout.len()];
            let mut view = ViewMut::new(&mut data, layout);
            conv.run(&pool, input, (pad.top, pad.left), residual, OutputMut::Floats(&mut view));
            assert_eq!(data, expected, "{what}");
        } else {
            let mut data = vec![1; out_layout.len() + SLACK];
            let mut view = BytesMut::new(&mut data, out_layout, out_quant);
            conv.run(&pool, input, (pad.top, pad.left), residual, OutputMut::Bytes(&mut view));
            assert_eq!(picture(&data, out_layout), expected, "{what}");
            assert!(data[..out_layout.index(0, 0, 0)].iter().all(|byte| *byte == out_quant.zero), "{what}");
            assert!(data[out_layout.len()..].iter().all(|byte| *byte == 1), "{what}: written beyond the end");
        }
    }
}

fn everywhere(case: &Case) {
    for isa in IntIsa::available() {
        for threads in [1, 3] {
            case.run(isa, threads);
        }
    }
}

#[test]
fn pointwise_around_the_tiles() {
    for outputs in [1, 4, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 64] {
        for inputs in [1, 4, 7, 8, 9, 16, 24] {
            for size in [(1, 1), (1, 3), (3, 3), (2, 7), (5, 5)] {
                everywhere(&Case::pointwise(inputs, outputs, size));
            }
        }
    }
}

#[test]
fn tiles_of_every_height() {
    for pixels in 1..=26 {
        for outputs in [16, 33] {
            everywhere(&Case::pointwise(9, outputs, (1, pixels)));
        }
    }
}

#[test]
fn large_sums_and_blocks() {
    for (inputs, outputs, size) in [(1152, 24, (2, 3)), (480, 40, (20, 20)), (16, 96, (40, 40))] {
        everywhere(&Case::pointwise(inputs, outputs, size));
    }
}

#[test]
fn activations_residuals_and_floats() {
    for activation in [Activation::Identity, Activation::Relu, Activation::Relu6, Activation::Swish] {
        for residual in [false, true] {
            for floats in [false, true] {
                for outputs in [9, 24, 32] {
                    let case = Case::pointwise(16, outputs, (4, 5));
                    everywhere(&Case { activation, residual, floats, images: 2, ..case });
                }
            }
        }
    }
}

#[test]
fn kernels_strides_and_paddings() {
    for kernel in [3, 5] {
        for stride in [1, 2] {
            for inputs in [1, 3, 8, 10] {
                let half = kernel / 2;
                for (top, left) in [(half, half), (half - 1, half - 1)] {
                    let case = Case {
                        shape: ConvShape { inputs, outputs: 20, kernel, stride },
                        padding: Halo { top, left, bottom: half, right: half },
                        images: 2,
                        activation: Activation::Swish,
                        ..Case::pointwise(1, 1, (9, 7))
                    };
                    everywhere(&case);
                }
            }
        }
    }
}
