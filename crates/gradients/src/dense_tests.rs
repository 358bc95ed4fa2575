use super::*;
use crate::naive;
use effigy_kernels::naive::noise;
use effigy_kernels::{Halo, Isa, ViewMut};

/// Largest error allowed, as a share of the largest value.
const TOLERANCE: f32 = 1e-5;

fn compare(shape: ConvShape, (height, width): (usize, usize), gated: bool) {
    let ConvShape { inputs, outputs, kernel, stride } = shape;
    let pad = (kernel - 1) / 2;
    let halo = Halo { top: pad, left: pad, bottom: kernel - 1, right: kernel - 1 };
    let x = Layout::dense(2, height, width, inputs).with_halo(halo);
    let d = Layout::dense(2, height.div_ceil(stride), width.div_ceil(stride), outputs);
    let mut x_values = noise(x.len(), 1);
    ViewMut::new(&mut x_values, x).clear_halo();
    let d_values = noise(d.len(), 2);
    let gate = noise(2 * inputs, 3);
    let gate = gated.then_some(&gate[..]);
    let d_view = View::new(&d_values, d);
    let mut gated_values = x_values.clone();
    if let Some(gate) = gate {
        for (i, value) in gated_values.iter_mut().enumerate() {
            *value *= gate[i / x.image_pitch() * inputs + i % inputs];
        }
    }
    let expected = naive::conv_weights(shape, 1, View::new(&gated_values, x), (pad, pad), d_view);
    for isa in Isa::available() {
        let results = [1, 2, 3].map(|threads| {
            let mut weights = vec![0.0; expected.len()];
            let cpu = Cpu::new(isa, threads);
            dense_weights(&cpu, shape, View::new(&x_values, x), gate, (pad, pad), d_view, &mut weights);
            weights
        });
        naive::check_flat(&results[0], &expected, TOLERANCE);
        assert!(results.iter().all(|result| *result == results[0]), "{shape:?}: threads");
    }
}

#[test]
fn equals_the_plain_gradient_around_its_tiles() {
    for inputs in [1, 7, 8, 16, 17, 24, 33] {
        for outputs in [1, 6, 7, 13, 16] {
            let shape = ConvShape { inputs, outputs, kernel: 1, stride: 1 };
            compare(shape, (7, 7), false);
            compare(shape, (7, 7), true);
        }
    }
}

#[test]
fn of_any_kernel_and_stride() {
    for (kernel, stride) in [(1, 2), (3, 1), (3, 2), (5, 2), (7, 3)] {
        for (inputs, outputs) in [(3, 32), (8, 5)] {
            compare(ConvShape { inputs, outputs, kernel, stride }, (9, 14), false);
        }
    }
}

#[test]
fn sums_over_many_pixels_are_cut_alike() {
    compare(ConvShape { inputs: 9, outputs: 6, kernel: 1, stride: 1 }, (70, 90), false);
    compare(ConvShape { inputs: 9, outputs: 6, kernel: 1, stride: 1 }, (70, 90), true);
    compare(ConvShape { inputs: 3, outputs: 9, kernel: 3, stride: 1 }, (70, 90), false);
}
