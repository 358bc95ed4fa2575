//! The input gradient of dense convolutions: every output pixel's gradient becomes that of its patch by a matrix
//! product, and patches are added up where they overlap.

use effigy_kernels::{ConvShape, Cpu, Epilogue, Layout, PackedConv, SharedPtr, View, ViewMut, conv2d};

use crate::elementwise::copy_image;

/// Writes `d_input` for `output = weights ∗ input`, where `packed` is [`PackedConv::backward`] of the weights;
/// `plus`, of the input's shape, is added. `padding` is the convolution's, above and left.
///
/// # Panics
/// When shapes do not fit together.
pub fn dense_input(
    cpu: &Cpu,
    shape: ConvShape,
    packed: &PackedConv,
    d_output: View<'_>,
    padding: (usize, usize),
    plus: Option<View<'_>>,
    d_input: &mut ViewMut<'_>,
) {
    let ConvShape { inputs, outputs, kernel, stride } = shape;
    let (d, x) = (d_output.layout, d_input.layout);
    assert_eq!((d.channels, x.channels, d.images), (outputs, inputs, x.images), "{d:?} → {x:?}");
    assert!(plus.is_none_or(|plus| plus.layout.same_shape(&x)), "{plus:?} for {x:?}");
    if kernel == 1 && stride == 1 {
        let epilogue = Epilogue { residual: plus, ..Epilogue::default() };
        return conv2d(cpu, packed, d_output, (0, 0), None, d_input, epilogue);
    }
    d_input.clear_halo();
    let out = SharedPtr::new(d_input.data);
    let patch = kernel * kernel * inputs;
    let row = Layout::dense(1, 1, d.width, patch);
    cpu.pool.run(d.images, |image| {
        // SAFETY: this task's own picture of the view.
        let to = unsafe { std::slice::from_raw_parts_mut(out.at(image * x.image_pitch()), x.image_pitch()) };
        copy_image(plus, image, to, &x);
        let mut patches = vec![0.0; row.len()];
        for y in 0..d.height {
            let from = &d_output.data[d.index(image, y, 0)..][..d.width * outputs];
            let from = View::new(from, Layout::dense(1, 1, d.width, outputs));
            let mut view = ViewMut::new(&mut patches, row);
            conv2d(cpu, packed, from, (0, 0), None, &mut view, Epilogue::default());
            add_patches(shape, padding, y, &patches, to, &x);
        }
    });
}

/// Adds the patches of output row `y` to a picture.
fn add_patches(
    ConvShape { inputs, kernel, stride, .. }: ConvShape,
    (top, left): (usize, usize),
    y: usize,
    patches: &[f32],
    picture: &mut [f32],
    layout: &Layout,
) {
    let segment = kernel * inputs;
    for (x, patch) in patches.chunks_exact(kernel * segment).enumerate() {
        for (ky, values) in patch.chunks_exact(segment).enumerate() {
            let Some(row) = (y * stride + ky).checked_sub(top).filter(|row| *row < layout.height) else {
                continue;
            };
            // What of the patch lies within the picture.
            let first = left.saturating_sub(x * stride);
            let last = kernel.min((layout.width + left).saturating_sub(x * stride));
            if first >= last {
                continue;
            }
            let to = layout.index(0, row, x * stride + first - left);
            let to = &mut picture[to..][..(last - first) * inputs];
            let values = &values[first * inputs..last * inputs];
            to.iter_mut().zip(values).for_each(|(to, value)| *to += value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naive;
    use effigy_kernels::naive::noise;
    use effigy_kernels::{Halo, Isa, bf16};

    /// Largest error allowed, as a share of the largest value.
    const TOLERANCE: f32 = 1e-5;

    type Pack = fn(Isa, ConvShape, &[f32]) -> PackedConv;
    type Round = fn(f32) -> f32;
    /// How weights are packed, and how numbers are rounded before they are multiplied.
    const PRECISIONS: [(Pack, Round); 2] =
        [(PackedConv::backward, |x| x), (PackedConv::bf16_backward, bf16::round)];

    #[test]
    fn equals_the_plain_gradient() {
        for (kernel, stride, inputs, outputs) in
            [(1, 1, 5, 9), (1, 2, 4, 3), (3, 1, 3, 8), (3, 2, 4, 6), (5, 2, 2, 3), (7, 3, 2, 2)]
        {
            let shape = ConvShape { inputs, outputs, kernel, stride };
            for (height, width, before) in [(7, 9, (kernel - 1) / 2), (8, 6, (kernel - 1) / 3)] {
                let x = Layout::dense(2, height, width, inputs);
                let out = |side: usize| side.div_ceil(stride);
                let d = Layout::dense(2, out(height), out(width), outputs);
                for (pack, round) in PRECISIONS {
                    check(shape, x, d, (before, before), pack, round);
                }
            }
        }
    }

    fn check(shape: ConvShape, x: Layout, d: Layout, padding: (usize, usize), pack: Pack, round: Round) {
        let rounded = |values: &[f32]| values.iter().map(|value| round(*value)).collect::<Vec<f32>>();
        let weights = noise(shape.outputs * shape.inputs * shape.kernel * shape.kernel, 1);
        let (d_values, plus) = (noise(d.len(), 2), noise(x.len(), 3));
        for plus in [None, Some(View::new(&plus, x))] {
            let (weights_read, d_read) = (rounded(&weights), rounded(&d_values));
            let d_read = View::new(&d_read, d);
            let expected = naive::dense_input(shape, &weights_read, d_read, padding, plus, x);
            for threads in [1, 2] {
                for halo in [Halo::default(), Halo { top: 1, left: 1, bottom: 2, right: 0 }] {
                    let cpu = Cpu::new(Isa::best(), threads);
                    let packed = pack(cpu.isa, shape, &weights);
                    let to = x.with_halo(halo);
                    let mut values = vec![9.0; to.len()];
                    let mut view = ViewMut::new(&mut values, to);
                    dense_input(&cpu, shape, &packed, View::new(&d_values, d), padding, plus, &mut view);
                    naive::check(&values, &to, &expected, TOLERANCE);
                }
            }
        }
    }
}
