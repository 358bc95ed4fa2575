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
        for (i, (input, weight)) in inputs.iter().enumerate() {
            add_row(input, *weight, i == 0, image, y, &layout, row);
        }
        if activation != Activation::Identity {
            cpu.isa.run(InPlace { activation, row });
        }
    });
}

/// Adds (or, for the first input, writes) the row of `input` nearest to output row `y`.
fn add_row(
    input: &View<'_>,
    weight: f32,
    first: bool,
    image: usize,
    y: usize,
    out: &Layout,
    row: &mut [f32],
) {
    let from = &input.layout;
    let source = from.index(image, y * from.height / out.height, 0);
    let source = &input.data[source..source + from.width * from.channels];
    let add = |to: &mut [f32], from: &[f32]| {
        let pairs = to.iter_mut().zip(from);
        if first {
            pairs.for_each(|(to, from)| *to = weight * from);
        } else {
            pairs.for_each(|(to, from)| *to += weight * from);
        }
    };
    if from.width == out.width {
        return add(row, source);
    }
    for (x, to) in row.chunks_exact_mut(out.channels).enumerate() {
        add(to, &source[x * from.width / out.width * from.channels..]);
    }
}

struct InPlace<'a> {
    activation: Activation,
    row: &'a mut [f32],
}

impl Kernel for InPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.activation.select(InPlaceLoop { s, row: self.row });
    }
}

struct InPlaceLoop<'a, S> {
    s: S,
    row: &'a mut [f32],
}

impl<S: Simd> WithMap for InPlaceLoop<'_, S> {
    type Output = ();

    #[inline(always)]
    fn with<M: Map>(self) {
        for chunk in self.row.chunks_mut(S::LANES) {
            // SAFETY: the chunk holds as many values as are read and written.
            unsafe {
                let value = self.s.load_first(chunk.as_ptr(), chunk.len());
                self.s.store_first(chunk.as_mut_ptr(), chunk.len(), M::map(self.s, value));
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
