//! Nearest-neighbour resizing, and its gradient: every pixel gets what its copies got.

use effigy_kernels::{Activation, Cpu, SharedPtr, View, ViewMut, weighted_sum};

use crate::elementwise::copy_image;

/// `output = input`, each pixel the nearest one of the input.
///
/// # Panics
/// When images or channels differ.
pub fn upsample(cpu: &Cpu, input: View<'_>, output: &mut ViewMut<'_>) {
    weighted_sum(cpu, &[(input, 1.0)], Activation::Identity, output);
}

/// Writes `d_input` for `output = upsample(input)`; `plus`, of the input's shape, is added.
///
/// # Panics
/// When shapes do not fit together.
pub fn upsample_backward(cpu: &Cpu, d_output: View<'_>, plus: Option<View<'_>>, d_input: &mut ViewMut<'_>) {
    let (d, x) = (d_output.layout, d_input.layout);
    assert_eq!((d.images, d.channels), (x.images, x.channels), "{d:?} → {x:?}");
    assert!(plus.is_none_or(|plus| plus.layout.same_shape(&x)), "{plus:?} for {x:?}");
    d_input.clear_halo();
    let out = SharedPtr::new(d_input.data);
    cpu.pool.run(x.images, |image| {
        // SAFETY: this task's own picture of the view.
        let picture =
            unsafe { std::slice::from_raw_parts_mut(out.at(image * x.image_pitch()), x.image_pitch()) };
        copy_image(plus, image, picture, &x);
        for y in 0..d.height {
            for column in 0..d.width {
                let to = x.index(0, y * x.height / d.height, column * x.width / d.width);
                let from = &d_output.data[d.index(image, y, column)..][..d.channels];
                picture[to..][..x.channels].iter_mut().zip(from).for_each(|(to, from)| *to += from);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use effigy_kernels::naive::noise;
    use effigy_kernels::{Isa, Layout};

    /// Largest error allowed.
    const TOLERANCE: f64 = 1e-4;

    /// `⟨d, upsample(x)⟩ = ⟨upsample_backward(d), x⟩` for every x and d.
    #[test]
    fn is_the_transpose_of_upsampling() {
        let cpu = Cpu::new(Isa::best(), 2);
        for (from, to) in [((3, 4), (6, 8)), ((3, 2), (5, 3)), ((2, 2), (2, 2))] {
            let x_layout = Layout::dense(2, from.0, from.1, 5);
            let y_layout = Layout::dense(2, to.0, to.1, 5);
            let (x, d) = (noise(x_layout.len(), 1), noise(y_layout.len(), 2));
            let (mut y, mut dx) = (vec![0.0; y_layout.len()], vec![0.0; x_layout.len()]);
            upsample(&cpu, View::new(&x, x_layout), &mut ViewMut::new(&mut y, y_layout));
            upsample_backward(&cpu, View::new(&d, y_layout), None, &mut ViewMut::new(&mut dx, x_layout));
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            assert!((dot(&d, &y) - dot(&dx, &x)).abs() < TOLERANCE);
        }
    }
}
