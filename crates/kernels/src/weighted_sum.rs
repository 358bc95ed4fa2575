//! Feature maps of a pyramid, weighed and added, each scaled to the output's size on the way.

use crate::epilogue::{Activation, Map, WithMap};
use crate::isa::{Kernel, Simd};
use crate::layout::{SharedPtr, View, ViewMut};
use crate::{Cpu, Isa};

/// The most maps that are added at once: what a node of any published pyramid reads, and a few more.
pub const MAX_TERMS: usize = 8;

/// `activation(Σ weightᵢ · inputᵢ)`. An input of another height or width is read at the nearest pixel,
/// `⌊y · height / output height⌋` (as PyTorch's and TensorFlow's nearest-neighbour resize).
///
/// # Panics
/// When there is no input, or more than [`MAX_TERMS`], or images or channels differ.
pub fn weighted_sum(cpu: &Cpu, inputs: &[(View<'_>, f32)], activation: Activation, output: &mut ViewMut<'_>) {
    let layout = output.layout;
    assert!((1..=MAX_TERMS).contains(&inputs.len()), "{} maps to add", inputs.len());
    for (input, _) in inputs {
        let shape = (input.layout.images, input.layout.channels);
        assert_eq!(shape, (layout.images, layout.channels), "{:?} into {layout:?}", input.layout);
    }
    output.clear_halo();
    let out = SharedPtr::new(output.data);
    cpu.pool.run(layout.images * layout.height, |task| {
        let (image, y) = (task / layout.height, task % layout.height);
        let mut terms = [RowTerm::NONE; MAX_TERMS];
        for (term, (input, weight)) in terms.iter_mut().zip(inputs) {
            *term = RowTerm::nearest(*input, *weight, (image, y), layout.height);
        }
        let terms = &terms[..inputs.len()];
        // SAFETY: the terms are rows of their views; a row of the output is this task's own.
        unsafe {
            let out = out.at(layout.index(image, y, 0));
            sum_row(cpu.isa, terms, activation, (layout.width, layout.channels), out);
        }
    });
}

/// A row of a map that a row of a sum reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowTerm {
    row: *const f32,
    /// Pixels of the row, which need not be as many as the sum's.
    width: usize,
    weight: f32,
}

impl RowTerm {
    /// A place for a term.
    pub(crate) const NONE: Self = Self { row: std::ptr::null(), width: 0, weight: 0.0 };

    /// The row of `map` nearest to row `y` of a sum of `height` rows.
    #[inline]
    pub(crate) fn nearest(map: View<'_>, weight: f32, (image, y): (usize, usize), height: usize) -> Self {
        let from = &map.layout;
        let start = from.index(image, y * from.height / height, 0);
        let row = &map.data[start..][..from.width * from.channels];
        Self::of(row, from.width, weight)
    }

    /// A row of `width` pixels.
    #[inline]
    pub(crate) fn of(row: &[f32], width: usize, weight: f32) -> Self {
        Self { row: row.as_ptr(), width, weight }
    }
}

/// One row of `width` pixels of the sum of at least one and at most [`MAX_TERMS`] terms.
///
/// # Safety
/// Every term's row must be readable for its pixels of `channels` values, `out` writable for `width` pixels.
pub(crate) unsafe fn sum_row(
    isa: Isa,
    terms: &[RowTerm],
    activation: Activation,
    (width, channels): (usize, usize),
    out: *mut f32,
) {
    isa.run(Row { terms, activation, width, channels, out });
}

/// One row of the output.
struct Row<'a> {
    terms: &'a [RowTerm],
    activation: Activation,
    width: usize,
    channels: usize,
    out: *mut f32,
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
        // As many terms as a pyramid's nodes have are kept in registers.
        match self.row.terms.len() {
            1 => self.pixels::<M, 1>(),
            2 => self.pixels::<M, 2>(),
            3 => self.pixels::<M, 3>(),
            _ => self.pixels::<M, MAX_TERMS>(),
        }
    }
}

// Loops, not closures: one that is not inlined would be compiled without the instruction set.
impl<S: Simd> RowLoop<'_, S> {
    #[inline(always)]
    fn pixels<M: Map, const N: usize>(&self) {
        let Row { terms, width, channels, out, .. } = self.row;
        let mut from = [std::ptr::null(); N];
        let mut flat = true;
        for (from, term) in from.iter_mut().zip(terms) {
            *from = term.row;
            flat &= term.width == width;
        }
        // Where no pixel is read twice a row is one piece.
        if flat {
            // SAFETY: `sum_row`'s contract.
            return unsafe { self.piece::<M, N>(&from, out, width * channels) };
        }
        for x in 0..width {
            // SAFETY: `sum_row`'s contract; a nearest pixel is one of its term's.
            unsafe {
                for (from, term) in from.iter_mut().zip(terms) {
                    *from = term.row.add(x * term.width / width * channels);
                }
                self.piece::<M, N>(&from, out.add(x * channels), channels);
            }
        }
    }

    /// # Safety
    /// `out` and each of the first pointers, as many as there are terms, must be valid for `len` values.
    #[inline(always)]
    unsafe fn piece<M: Map, const N: usize>(&self, from: &[*const f32; N], out: *mut f32, len: usize) {
        let Self { s, row: Row { terms, .. } } = self;
        let count = if N == MAX_TERMS { terms.len() } else { N };
        let mut weights = [s.splat(0.0); N];
        for (weight, term) in weights.iter_mut().zip(*terms) {
            *weight = s.splat(term.weight);
        }
        let whole = len - len % S::LANES;
        // SAFETY: the caller's promise; places stay below `len`.
        unsafe {
            for at in (0..whole).step_by(S::LANES) {
                let mut sum = s.splat(0.0);
                for i in 0..count {
                    sum = s.fma(s.load(from[i].add(at)), weights[i], sum);
                }
                s.store(out.add(at), M::map(*s, sum));
            }
            if whole < len {
                let rest = len - whole;
                let mut sum = s.splat(0.0);
                for i in 0..count {
                    sum = s.fma(s.load_first(from[i].add(whole), rest), weights[i], sum);
                }
                s.store_first(out.add(whole), rest, M::map(*s, sum));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Halo, Layout};
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
