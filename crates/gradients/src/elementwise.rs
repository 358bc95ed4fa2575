//! Sums and copies of maps.

use effigy_kernels::{Cpu, Layout, SharedPtr, View, ViewMut};

use crate::blocks::Blocks;

/// `output = a + b`.
///
/// # Panics
/// When the shapes differ.
pub fn add(cpu: &Cpu, a: View<'_>, b: View<'_>, output: &mut ViewMut<'_>) {
    let to = output.layout;
    assert!(to.same_shape(&a.layout) && to.same_shape(&b.layout), "{:?} + {:?} → {to:?}", a.layout, b.layout);
    let out = SharedPtr::new(output.data);
    let blocks = Blocks::of(&to);
    let len = to.width * to.channels;
    cpu.pool.run(blocks.count, |task| {
        let (image, rows) = blocks.at(task);
        // SAFETY: this task's own rows.
        unsafe { blocks.clear_halo(task, out, &to) };
        for y in rows {
            let a = &a.data[a.layout.index(image, y, 0)..][..len];
            let b = &b.data[b.layout.index(image, y, 0)..][..len];
            // SAFETY: a row of the view, this task's own.
            let out = unsafe { std::slice::from_raw_parts_mut(out.at(to.index(image, y, 0)), len) };
            for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                *out = a + b;
            }
        }
    });
}

/// `total += values`.
///
/// # Panics
/// When the lengths differ.
pub fn add_to(total: &mut [f32], values: &[f32]) {
    assert_eq!(total.len(), values.len(), "as many values");
    total.iter_mut().zip(values).for_each(|(total, value)| *total += value);
}

/// The rows of a picture of `from`, or zeros, into one whose layout is that of a batch's every picture.
pub(crate) fn copy_image(from: Option<View<'_>>, image: usize, to: &mut [f32], layout: &Layout) {
    let len = layout.width * layout.channels;
    for y in 0..layout.height {
        let to = &mut to[layout.index(0, y, 0)..][..len];
        match from {
            Some(from) => to.copy_from_slice(&from.data[from.layout.index(image, y, 0)..][..len]),
            None => to.fill(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use effigy_kernels::naive::noise;
    use effigy_kernels::{Halo, Isa};

    #[test]
    fn adds_under_any_halo() {
        let cpu = Cpu::new(Isa::best(), 2);
        let dense = Layout::dense(2, 3, 5, 7);
        let padded = dense.with_halo(Halo { top: 1, left: 2, ..Halo::default() });
        let (a, b) = (noise(dense.len(), 1), noise(padded.len(), 2));
        let mut sum = vec![9.0; padded.len()];
        add(&cpu, View::new(&a, dense), View::new(&b, padded), &mut ViewMut::new(&mut sum, padded));
        for (image, y, x) in [(0, 0, 0), (1, 2, 4)] {
            let (i, j) = (dense.index(image, y, x), padded.index(image, y, x));
            assert_eq!(sum[j], a[i] + b[j]);
        }
        assert_eq!(sum[0], 0.0);
    }
}
