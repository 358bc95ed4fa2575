//! `activation(x · scale + shift) · keep + residual`, in one pass.

use effigy_kernels::isa::{Kernel, Simd};
use effigy_kernels::{Activation, Cpu, SharedPtr, View, ViewMut};

use super::Batch;
use crate::activation::{Function, WithFunction, select};
use crate::blocks::{Blocks, total};
use crate::lanes::{ahead, count, load, store};

/// What happens to a batch beside being normalised.
#[derive(Clone, Copy, Debug, Default)]
pub struct Normalised<'a> {
    /// Applied to the normalised values.
    pub activation: Activation,
    /// A factor for every image and channel, `[N, C]`: drop-connect's.
    pub keep: Option<&'a [f32]>,
    /// Added last; the output's shape.
    pub residual: Option<View<'a>>,
}

/// `output = activation(input · scale + shift) · keep + residual`, and the output's means over height and width,
/// `[N, C]`, where they are asked for.
///
/// # Panics
/// When shapes or lengths do not fit together.
pub fn batch_norm(
    cpu: &Cpu,
    batch: &Batch,
    input: View<'_>,
    then: Normalised<'_>,
    output: &mut ViewMut<'_>,
    means: Option<&mut [f32]>,
) {
    let (from, to) = (input.layout, output.layout);
    let channels = to.channels;
    assert!(to.same_shape(&from), "{from:?} → {to:?}");
    assert_eq!(batch.scale.len(), channels, "one scale per channel");
    assert!(then.residual.is_none_or(|r| r.layout.same_shape(&to)), "{:?} onto {to:?}", then.residual);
    assert!(
        then.keep.is_none_or(|keep| keep.len() == to.images * channels),
        "one factor an image and channel"
    );
    let blocks = Blocks::of(&to);
    let mut sums = vec![0.0; if means.is_some() { blocks.count * channels } else { 0 }];
    let (out, sums_out) = (SharedPtr::new(output.data), SharedPtr::new(&mut sums));
    let summed = means.is_some();
    let dense = [Some(from), Some(to), then.residual.map(|r| r.layout)];
    let dense = dense.iter().flatten().all(effigy_kernels::Layout::is_dense);
    cpu.pool.run(blocks.count, |task| {
        let (image, rows) = blocks.at(task);
        let (stretches, pixels) = blocks.stretches(task, dense);
        // SAFETY: this task's own rows.
        unsafe { blocks.clear_halo(task, out, &to) };
        for stretch in 0..stretches {
            let y = rows.start + stretch;
            // SAFETY: rows of the views; of the output's and the sums', this task's own.
            unsafe {
                cpu.isa.run(Stretch {
                    activation: then.activation,
                    x: input.data[from.index(image, y, 0)..].as_ptr(),
                    scale: batch.scale.as_ptr(),
                    shift: batch.shift.as_ptr(),
                    keep: then.keep.map(|keep| keep[image * channels..].as_ptr()),
                    residual: then.residual.map(|r| r.data[r.layout.index(image, y, 0)..].as_ptr()),
                    out: out.at(to.index(image, y, 0)),
                    sums: summed.then(|| sums_out.at(task * channels)),
                    pixels,
                    channels,
                });
            }
        }
    });
    let Some(means) = means else { return };
    for (image, means) in means.chunks_exact_mut(channels).enumerate() {
        let total = total(&sums, blocks.of_image(image), channels, 0, channels);
        for (mean, total) in means.iter_mut().zip(total) {
            *mean = (total / to.pixels() as f64) as f32;
        }
    }
}

/// Pixels without a gap between them.
struct Stretch {
    activation: Activation,
    x: *const f32,
    scale: *const f32,
    shift: *const f32,
    keep: Option<*const f32>,
    residual: Option<*const f32>,
    out: *mut f32,
    /// To which the values are added, per channel.
    sums: Option<*mut f32>,
    pixels: usize,
    channels: usize,
}

struct Loop<S> {
    s: S,
    of: Stretch,
}

impl Kernel for Stretch {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        select(self.activation, Loop { s, of: self });
    }
}

/// Pixels at a time, which share the loads of scales.
const GROUP: usize = 4;

impl<S: Simd> WithFunction for Loop<S> {
    #[inline(always)]
    fn with<F: Function>(self) {
        let pixels = self.of.pixels;
        let whole = pixels - pixels % GROUP;
        for p in (0..whole).step_by(GROUP) {
            self.group::<F, GROUP>(p);
        }
        for p in whole..pixels {
            self.group::<F, 1>(p);
        }
    }
}

impl<S: Simd> Loop<S> {
    #[inline(always)]
    fn group<F: Function, const N: usize>(&self, p: usize) {
        let Self { s, of: Stretch { x, scale, shift, keep, residual, out, sums, channels, .. } } = *self;
        let first = p * channels;
        let mut c = 0;
        while c < channels {
            let n = count::<S>(c, channels);
            // SAFETY: `N` pixels are there from `p` on, and `n` channels from `c` on; every pointer is to a
            // stretch as long, or to a value per channel.
            unsafe {
                let (scale, shift) = (load(s, scale.add(c), n), load(s, shift.add(c), n));
                let mut sum = s.splat(0.0);
                for pixel in 0..N {
                    let at = first + pixel * channels + c;
                    ahead(x.add(at));
                    ahead(out.add(at));
                    let mut y = F::value(s, s.fma(load(s, x.add(at), n), scale, shift));
                    if let Some(keep) = keep {
                        y = s.mul(y, load(s, keep.add(c), n));
                    }
                    if let Some(residual) = residual {
                        y = s.add(y, load(s, residual.add(at), n));
                    }
                    store(s, out.add(at), n, y);
                    sum = s.add(sum, y);
                }
                if let Some(sums) = sums {
                    store(s, sums.add(c), n, s.add(load(s, sums.add(c), n), sum));
                }
            }
            c += S::LANES;
        }
    }
}
