//! Operations on single values, for nodes that no fusion has swallowed.

use crate::Cpu;
use crate::epilogue::{Activation, Map, WithMap};
use crate::gemm::flushed;
use crate::isa::{Kernel, Simd};
use crate::layout::{Layout, SharedPtr, View, ViewMut};
use crate::pool::{ThreadPool, split};

/// Values that a task passes over.
const TASK_VALUES: usize = 16 << 10;

/// Calls `row` with matching rows (without halos) of one picture after another.
fn each_row(layouts: [&Layout; 2], mut row: impl FnMut(usize, usize, usize)) {
    let [from, to] = layouts;
    assert!(from.same_shape(to), "{from:?} and {to:?} differ in shape");
    for image in 0..from.images {
        for y in 0..from.height {
            row(image, from.index(image, y, 0), to.index(image, y, 0));
        }
    }
}

/// Copies an activation into another layout and clears the halo.
///
/// # Panics
/// When the shapes differ.
pub fn copy(cpu: &Cpu, input: View<'_>, output: &mut ViewMut<'_>) {
    map_rows(cpu, input, output, |_, from, to| to.copy_from_slice(from));
}

/// Calls `f` with every row of the input (its image, its values) and where it goes.
fn map_rows(
    cpu: &Cpu,
    input: View<'_>,
    output: &mut ViewMut<'_>,
    f: impl Fn(usize, &[f32], &mut [f32]) + Sync,
) {
    let (from, to) = (input.layout, output.layout);
    assert!(from.same_shape(&to), "{from:?} and {to:?} differ in shape");
    output.clear_halo();
    let len = from.width * from.channels;
    let out = SharedPtr::new(output.data);
    share_rows(&cpu.pool, &from, |image, y| {
        // SAFETY: a row of the view (its length was checked), and this task's own.
        let to = unsafe { std::slice::from_raw_parts_mut(out.at(to.index(image, y, 0)), len) };
        f(image, &input.data[from.index(image, y, 0)..][..len], to);
    });
}

/// Calls `f` with the image and the number of every row, several of them a task.
pub(crate) fn share_rows(pool: &ThreadPool, layout: &Layout, f: impl Fn(usize, usize) + Sync) {
    let (rows, len) = (layout.images * layout.height, layout.width * layout.channels);
    let tasks = (rows * len / TASK_VALUES).clamp(1, rows);
    pool.run(tasks, |task| {
        split(rows, tasks, task).for_each(|row| f(row / layout.height, row % layout.height));
    });
}

/// `output = f(input)`, value by value.
///
/// # Panics
/// When the shapes differ.
pub fn activation(cpu: &Cpu, function: Activation, input: View<'_>, output: &mut ViewMut<'_>) {
    map_rows(cpu, input, output, |_, from, to| cpu.isa.run(Apply { function, from, to }));
}

struct Apply<'a> {
    function: Activation,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.function.select(ApplyLoop { s, from: self.from, to: self.to });
    }
}

struct ApplyLoop<'a, S> {
    s: S,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl<S: Simd> WithMap for ApplyLoop<'_, S> {
    type Output = ();

    #[inline(always)]
    fn with<M: Map>(self) {
        for (from, to) in self.from.chunks(S::LANES).zip(self.to.chunks_mut(S::LANES)) {
            // SAFETY: both chunks hold `from.len()` values: the slices are equally long.
            unsafe {
                let value = self.s.load_first(from.as_ptr(), from.len());
                self.s.store_first(to.as_mut_ptr(), to.len(), M::map(self.s, value));
            }
        }
    }
}

/// `output = input · scale + shift` per channel (BatchNorm where it could not be folded).
///
/// # Panics
/// When the shapes or lengths differ.
pub fn affine(cpu: &Cpu, scale: &[f32], shift: &[f32], input: View<'_>, output: &mut ViewMut<'_>) {
    let channels = input.layout.channels;
    assert_eq!((scale.len(), shift.len()), (channels, channels), "one scale and shift per channel");
    map_rows(cpu, input, output, |_, from, to| {
        for (from, to) in from.chunks_exact(channels).zip(to.chunks_exact_mut(channels)) {
            for (((to, from), scale), shift) in to.iter_mut().zip(from).zip(scale).zip(shift) {
                *to = from * scale + shift;
            }
        }
    });
}

/// `output = input · gate`, the gate one value per image and channel: `[N, 1, 1, C]`.
///
/// # Panics
/// When the shapes differ.
pub fn scale(cpu: &Cpu, input: View<'_>, gate: &[f32], output: &mut ViewMut<'_>) {
    let channels = input.layout.channels;
    assert_eq!(gate.len(), input.layout.images * channels, "one gate per image and channel");
    map_rows(cpu, input, output, |image, from, to| {
        let gate = &gate[image * channels..(image + 1) * channels];
        for (from, to) in from.chunks_exact(channels).zip(to.chunks_exact_mut(channels)) {
            to.iter_mut().zip(from).zip(gate).for_each(|((to, from), gate)| *to = from * gate);
        }
    });
}

/// `values = values · gate`, the gate one value per image and channel: `[N, 1, 1, C]`.
///
/// # Panics
/// When the shapes differ.
pub fn scale_in_place(cpu: &Cpu, values: &mut ViewMut<'_>, gate: &[f32]) {
    let layout = values.layout;
    let (channels, len) = (layout.channels, layout.width * layout.channels);
    assert_eq!(gate.len(), layout.images * channels, "one gate per image and channel");
    let data = SharedPtr::new(values.data);
    cpu.pool.run(layout.images * layout.height, |task| {
        let (image, y) = (task / layout.height, task % layout.height);
        let gate = &gate[image * channels..(image + 1) * channels];
        // SAFETY: a row of the view (its length was checked), and this task's own.
        let row = unsafe { std::slice::from_raw_parts_mut(data.at(layout.index(image, y, 0)), len) };
        cpu.isa.run(ScaleRow { row, gate });
    });
}

struct ScaleRow<'a> {
    row: &'a mut [f32],
    gate: &'a [f32],
}

impl Kernel for ScaleRow<'_> {
    type Output = ();

    /// A plain loop, which the compiler vectorises for the instruction set.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for pixel in self.row.chunks_exact_mut(self.gate.len()) {
            for (value, gate) in pixel.iter_mut().zip(self.gate) {
                *value = flushed(*value * gate);
            }
        }
    }
}

/// `output = a + b`.
///
/// # Panics
/// When the shapes differ.
pub fn add(cpu: &Cpu, a: View<'_>, b: View<'_>, output: &mut ViewMut<'_>) {
    copy(cpu, a, output);
    let len = b.layout.width * b.layout.channels;
    each_row([&b.layout, &output.layout], |_, from, to| {
        let (to, from) = (&mut output.data[to..to + len], &b.data[from..from + len]);
        to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::layout::Halo;
    use crate::naive;

    fn filled(layout: Layout, seed: u32) -> Vec<f32> {
        naive::noise(layout.len(), seed)
    }

    #[test]
    fn every_operation_equals_its_plain_form_under_any_halo() {
        let two = Cpu::new(Isa::best(), 2);
        let halo = Halo { top: 1, bottom: 1, left: 2, right: 1 };
        for channels in [1, 3, 16, 37] {
            let dense = Layout::dense(2, 3, 5, channels);
            let from = filled(dense, 1);
            let gate = filled(Layout::dense(2, 1, 1, channels), 2);
            let mut padded = vec![9.0; dense.with_halo(halo).len()];
            let mut back = vec![9.0; dense.len()];

            let input = View::new(&from, dense);
            copy(&two, input, &mut ViewMut::new(&mut padded, dense.with_halo(halo)));
            let total: f32 = padded.iter().sum();
            assert!((total - from.iter().sum::<f32>()).abs() < 1e-3, "the halo is not clear");
            let padded = View::new(&padded, dense.with_halo(halo));

            scale(&two, padded, &gate, &mut ViewMut::new(&mut back, dense));
            for (i, value) in back.iter().enumerate() {
                let image = i / (15 * channels);
                assert_eq!(*value, from[i] * gate[image * channels + i % channels]);
            }
            let mut in_place = vec![0.0; dense.with_halo(halo).len()];
            let mut view = ViewMut::new(&mut in_place, dense.with_halo(halo));
            copy(&two, input, &mut view);
            scale_in_place(&two, &mut view, &gate);
            let mut scaled = vec![9.0; dense.len()];
            copy(&two, view.as_view(), &mut ViewMut::new(&mut scaled, dense));
            assert_eq!(scaled, back);
            affine(&two, &gate[..channels], &gate[channels..], padded, &mut ViewMut::new(&mut back, dense));
            for (i, value) in back.iter().enumerate() {
                let c = i % channels;
                assert_eq!(*value, from[i] * gate[c] + gate[channels + c]);
            }
            add(&two, padded, input, &mut ViewMut::new(&mut back, dense));
            assert!(back.iter().zip(&from).all(|(sum, x)| *sum == x + x));
            for isa in Isa::available() {
                let cpu = Cpu::new(isa, 1);
                for function in [Activation::Relu, Activation::Relu6, Activation::Swish, Activation::Sigmoid]
                {
                    activation(&cpu, function, padded, &mut ViewMut::new(&mut back, dense));
                    for (value, x) in back.iter().zip(&from) {
                        assert!((value - naive::activation(function, *x)).abs() < 1e-6);
                    }
                }
            }
        }
    }

    #[test]
    fn a_gate_that_is_all_but_shut_leaves_no_denormal_number() {
        let layout = Layout::dense(1, 3, 5, 37);
        for isa in Isa::available() {
            let mut values = filled(layout, 1);
            let gate = vec![1e-39; 37];
            scale_in_place(&Cpu::new(isa, 1), &mut ViewMut::new(&mut values, layout), &gate);
            assert!(values.iter().all(|value| *value == 0.0));
        }
    }
}
