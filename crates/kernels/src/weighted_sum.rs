//! Feature maps of a pyramid, weighed and added, each scaled to the output's size on the way.

use crate::Cpu;
use crate::epilogue::{Activation, Map, WithMap};
use crate::isa::{Kernel, Simd};
use crate::layout::{Layout, SharedPtr, View, ViewMut};

/// `activation(Σ weightᵢ · inputᵢ)`. An input of another height or width is read at the nearest pixel,
/// `⌊y · height / output height⌋` (as PyTorch's and TensorFlow's nearest-neighbour resize).
///
/// # Panics
/// When there is no input, or images or channels differ.
pub fn weighted_sum(cpu: &Cpu, inputs: &[(View<'_>, f32)], activation: Activation, output: &mut ViewMut<'_>) {
    let layout = output.layout;
    assert!(!inputs.is_empty(), "nothing to add");
    for (input, _) in inputs {
        let shape = (input.layout.images, input.layout.channels);
        assert_eq!(shape, (layout.images, layout.channels), "{:?} into {layout:?}", input.layout);
    }
    output.clear_halo();
    let out = SharedPtr::new(output.data);
    let len = layout.width * layout.channels;
    cpu.pool.run(layout.images * layout.height, |task| {
        let (image, y) = (task / layout.height, task % layout.height);
        // SAFETY: a row of the view, and this task's own.
        let row = unsafe { std::slice::from_raw_parts_mut(out.at(layout.index(image, y, 0)), len) };
        cpu.isa.run(Row { inputs, activation, layout, image, y, row });
    });
}

/// One row of the output.
struct Row<'a> {
    inputs: &'a [(View<'a>, f32)],
    activation: Activation,
    layout: Layout,
    image: usize,
    y: usize,
    row: &'a mut [f32],
}

impl Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.activation.select(RowLoop { s, row: self });
    }
}

struct RowLoop<'a, S> {
    s: S,
    row: Row<'a>,
}

impl<S: Simd> WithMap for RowLoop<'_, S> {
    type Output = ();

    #[inline(always)]
    fn with<M: Map>(self) {
        let Row { inputs, layout: Layout { height, width, channels, .. }, image, y, row, .. } = self.row;
        // Where no pixel is read twice a row is one piece.
        let flat = inputs.iter().all(|(input, _)| input.layout.width == width);
        let piece = if flat { row.len() } else { channels };
        for (x, to) in row.chunks_exact_mut(piece).enumerate() {
            for (i, (input, weight)) in inputs.iter().enumerate() {
                let from = &input.layout;
                let pixel = from.index(image, y * from.height / height, x * from.width / width);
                let from = &input.data[pixel..][..piece];
                for (to, from) in to.chunks_mut(S::LANES).zip(from.chunks(S::LANES)) {
                    // SAFETY: both chunks hold as many values as are read and written.
                    unsafe {
                        let value = self.s.load_first(from.as_ptr(), from.len());
                        let before = match i {
                            0 => self.s.splat(0.0),
                            _ => self.s.load_first(to.as_ptr(), to.len()),
                        };
                        let sum = self.s.fma(value, self.s.splat(*weight), before);
                        let sum = if i + 1 == inputs.len() { M::map(self.s, sum) } else { sum };
                        self.s.store_first(to.as_mut_ptr(), to.len(), sum);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::layout::Halo;
    use crate::naive::{self, noise};

    #[test]
    fn adds_maps_of_any_size() {
        let out = Layout::dense(2, 5, 7, 19).with_halo(Halo { top: 1, left: 1, ..Halo::default() });
        let layouts = [
            Layout::dense(2, 5, 7, 19),
            Layout::dense(2, 3, 4, 19).with_halo(Halo { bottom: 2, right: 1, ..Halo::default() }),
            Layout::dense(2, 10, 9, 19),
        ];
        let values: Vec<Vec<f32>> = layouts.iter().zip(1..).map(|(l, seed)| noise(l.len(), seed)).collect();
        let weights = [0.5, -1.25, 2.0];
        for isa in Isa::available() {
            for activation in [Activation::Identity, Activation::Swish] {
                let mut result = vec![f32::NAN; out.len()];
                let inputs: Vec<_> = layouts
                    .iter()
                    .zip(&values)
                    .zip(weights)
                    .map(|((layout, values), weight)| (View::new(values, *layout), weight))
                    .collect();
                let cpu = Cpu::new(isa, 2);
                weighted_sum(&cpu, &inputs, activation, &mut ViewMut::new(&mut result, out));
                for i in 0..2 * 5 * 7 * 19 {
                    let (image, y, x, c) = (i / (5 * 7 * 19), i / (7 * 19) % 5, i / 19 % 7, i % 19);
                    let terms = layouts.iter().zip(&values).zip(weights).map(|((l, values), weight)| {
                        weight * values[l.index(image, y * l.height / 5, x * l.width / 7) + c]
                    });
                    let expected = naive::activation(activation, terms.sum());
                    assert!((result[out.index(image, y, x) + c] - expected).abs() < 1e-6);
                }
                assert_eq!(result[0], 0.0);
            }
        }
    }
}
