//! Dense convolutions against the plain form, on a grid around the register tiles.

use super::*;
use crate::layout::Halo;
use crate::naive::{self, noise};

/// Largest difference allowed, for sums of up to a few hundred products of values in −1..1.
const TOLERANCE: f32 = 2e-5;

struct Case {
    shape: ConvShape,
    images: usize,
    size: (usize, usize),
    padding: Halo,
    extra_halo: usize,
    activation: Activation,
    residual: bool,
    gated: bool,
}

impl Case {
    fn pointwise(inputs: usize, outputs: usize, size: (usize, usize)) -> Self {
        Self {
            shape: ConvShape { inputs, outputs, kernel: 1, stride: 1 },
            images: 1,
            size,
            padding: Halo::default(),
            extra_halo: 0,
            activation: Activation::Identity,
            residual: false,
            gated: false,
        }
    }

    fn run(&self, cpu: &Cpu) {
        self.compare(cpu, false);
        self.compare(cpu, true);
    }

    /// With bf16, the plain form is given the rounded numbers: their products are exact, so that the
    /// tolerance is the same.
    fn compare(&self, cpu: &Cpu, bf16: bool) {
        let ConvShape { inputs, outputs, kernel, stride } = self.shape;
        let (height, width) = self.size;
        let pad = self.padding;
        let extra = self.extra_halo;
        let halo = Halo {
            top: pad.top + extra,
            bottom: pad.bottom + extra,
            left: pad.left + extra,
            right: pad.right + extra,
        };
        let layout = Layout::dense(self.images, height, width, inputs).with_halo(halo);
        let out = Layout::dense(
            self.images,
            (height + pad.top + pad.bottom - kernel) / stride + 1,
            (width + pad.left + pad.right - kernel) / stride + 1,
            outputs,
        )
        .with_halo(Halo { top: extra, bottom: 0, left: 2 * extra, right: extra });
        let dense = Layout::dense(self.images, height, width, inputs);
        let values = noise(dense.len(), 1);
        let mut data = vec![f32::NAN; layout.len()];
        crate::copy(cpu, View::new(&values, dense), &mut ViewMut::new(&mut data, layout));
        let weights = noise(outputs * inputs * kernel * kernel, 2);
        let bias = noise(outputs, 3);
        let residual_layout = out.with_halo(Halo { top: 1, bottom: 2, left: 3, right: 0 });
        let residual = noise(residual_layout.len(), 4);
        let epilogue = Epilogue {
            activation: self.activation,
            residual: self.residual.then(|| View::new(&residual, residual_layout)),
        };
        let gate = noise(self.images * inputs, 5);

        let pack = if bf16 { PackedConv::bf16 } else { PackedConv::scaled };
        let conv = pack(cpu.isa, self.shape, &weights, None, &bias);
        let mut result = vec![f32::NAN; out.len()];
        let mut scratch = AlignedBuf::zeroed(conv.scratch_len());
        let gating = self.gated.then_some((&gate[..], &mut scratch));
        let mut view = ViewMut::new(&mut result, out);
        conv2d(cpu, &conv, View::new(&data, layout), (pad.top, pad.left), gating, &mut view, epilogue);

        let mut gated = values.clone();
        if self.gated {
            let mut view = ViewMut::new(&mut gated, dense);
            crate::scale(cpu, View::new(&values, dense), &gate, &mut view);
        }
        let rounded = |values: Vec<f32>| match bf16 {
            true => values.into_iter().map(crate::bf16::round).collect(),
            false => values,
        };
        let (gated, weights) = (rounded(gated), rounded(weights));
        let expected = naive::conv2d(
            self.shape,
            1,
            &weights,
            &bias,
            View::new(&gated, dense),
            (pad.top, pad.left),
            out,
            epilogue,
        );
        let dense_out = out.with_halo(Halo::default());
        let mut compact = vec![0.0; dense_out.len()];
        crate::copy(cpu, View::new(&result, out), &mut ViewMut::new(&mut compact, dense_out));
        for (i, (a, b)) in compact.iter().zip(&expected).enumerate() {
            let what = format!("{} bf16 {bf16} {:?} {:?}: value {i}", cpu.isa.name(), self.shape, self.size);
            assert!((a - b).abs() <= TOLERANCE, "{what}: {a} instead of {b}");
        }
        let halo_is_clear = result.iter().filter(|v| **v == 0.0).count();
        assert!(halo_is_clear >= out.len() - dense_out.len(), "the output's halo is not clear");
    }
}

fn each_cpu(test: impl Fn(&Cpu)) {
    for isa in Isa::available() {
        for threads in [1, 3] {
            test(&Cpu::new(isa, threads));
        }
    }
}

#[test]
fn pointwise_around_the_tile() {
    each_cpu(|cpu| {
        for pixels in [1, 2, 5, 6, 7, 8, 9, 13, 14, 15, 27, 28, 29, 49, 57] {
            for outputs in [1, 4, 8, 15, 16, 17, 24, 31, 32, 33, 40, 48, 49, 64, 65, 80] {
                Case::pointwise(7, outputs, (1, pixels)).run(cpu);
            }
        }
        for inputs in [1, 2, 3, 16, 33, 200] {
            Case::pointwise(inputs, 24, (5, 6)).run(cpu);
        }
    });
}

#[test]
fn pointwise_with_everything_around_it() {
    each_cpu(|cpu| {
        for activation in [Activation::Relu, Activation::Relu6, Activation::Swish, Activation::Sigmoid] {
            for (images, extra_halo, residual, gated) in [
                (1, 0, false, false),
                (3, 0, true, false),
                (3, 0, true, true),
                (2, 1, true, true),
                (2, 2, false, false),
            ] {
                let case = Case::pointwise(20, 40, (9, 7));
                Case { images, extra_halo, activation, residual, gated, ..case }.run(cpu);
            }
        }
    });
}

#[test]
fn large_enough_for_many_tasks_and_blocks() {
    each_cpu(|cpu| {
        Case::pointwise(16, 96, (50, 60)).run(cpu);
        Case::pointwise(300, 72, (30, 20)).run(cpu);
        Case::pointwise(160, 400, (5, 5)).run(cpu);
    });
}

#[test]
fn kernels_strides_and_paddings() {
    each_cpu(|cpu| {
        for (kernel, stride) in [(3, 1), (3, 2), (5, 2), (1, 2), (7, 3)] {
            for size in [(9, 8), (16, 31), (7, 7)] {
                for (top, left, bottom, right) in [(0, 0, 0, 0), (0, 0, 1, 1), (1, 1, 1, 1), (2, 1, 0, 2)] {
                    if kernel == 1 && top + left + bottom + right > 0 {
                        continue;
                    }
                    let case = Case::pointwise(3, 20, size);
                    let shape = ConvShape { inputs: 3, outputs: 20, kernel, stride };
                    let padding = Halo { top, bottom, left, right };
                    Case { shape, padding, images: 2, extra_halo: 1, ..case }.run(cpu);
                    let case = Case::pointwise(3, 20, size);
                    Case { shape, padding, activation: Activation::Swish, ..case }.run(cpu);
                }
            }
        }
    });
}

#[test]
fn results_do_not_depend_on_the_threads() {
    for isa in Isa::available() {
        let input = Layout::dense(1, 40, 40, 24);
        let out = Layout::dense(1, 40, 40, 72);
        let (values, weights, bias) = (noise(input.len(), 1), noise(24 * 72, 2), noise(72, 3));
        let shape = ConvShape { inputs: 24, outputs: 72, kernel: 1, stride: 1 };
        for pack in [PackedConv::scaled, PackedConv::bf16] {
            let conv = pack(isa, shape, &weights, None, &bias);
            let results = [1, 2, 5].map(|threads| {
                let mut result = vec![0.0; out.len()];
                let mut view = ViewMut::new(&mut result, out);
                let cpu = Cpu::new(isa, threads);
                let epilogue = Epilogue { activation: Activation::Swish, residual: None };
                conv2d(&cpu, &conv, View::new(&values, input), (0, 0), None, &mut view, epilogue);
                result
            });
            assert!(results[0] == results[1] && results[1] == results[2]);
        }
    }
}

#[test]
fn a_gate_that_is_all_but_shut_makes_no_denormal_weights() {
    each_cpu(|cpu| {
        let layouts = [Layout::dense(1, 2, 2, 24), Layout::dense(1, 2, 2, 40)];
        let (values, weights, bias) = (noise(4 * 24, 1), noise(24 * 40, 2), noise(40, 3));
        let shape = ConvShape { inputs: 24, outputs: 40, kernel: 1, stride: 1 };
        let conv = PackedConv::scaled(cpu.isa, shape, &weights, None, &bias);
        let mut scratch = AlignedBuf::zeroed(conv.scratch_len());
        let mut result = vec![0.0; layouts[1].len()];
        let gate = Some((&[1e-39; 24][..], &mut scratch));
        let mut output = ViewMut::new(&mut result, layouts[1]);
        conv2d(cpu, &conv, View::new(&values, layouts[0]), (0, 0), gate, &mut output, Epilogue::default());
        assert!(scratch.iter().all(|weight| *weight == 0.0));
        assert!(result.chunks_exact(40).all(|pixel| pixel == bias));
    });
}
