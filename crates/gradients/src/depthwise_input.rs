//! The input gradient of depthwise convolutions.

use std::ops::Range;

use effigy_kernels::isa::{Kernel, Simd};
use effigy_kernels::{
    Activation, Cpu, Halo, Isa, Layout, PackedDepthwise, SharedPtr, View, ViewMut, depthwise,
};
use effigy_tensor::AlignedBuf;

use crate::lanes::{count, load, store};

/// A depthwise convolution's weights, packed for the way back.
#[derive(Debug)]
pub enum PackedTransposed {
    /// Of stride 1 it is a depthwise convolution of its own, with the kernel turned by half a turn.
    Turned(PackedDepthwise),
    /// `[k·k][C rounded up to whole vectors]`, for any stride.
    Strided {
        /// The weights.
        weights: AlignedBuf,
        /// Height and width of the kernel, and its step.
        kernel: (usize, usize),
    },
}

impl PackedTransposed {
    /// Packs `weights: [C, 1, k, k]`.
    ///
    /// # Panics
    /// When the length does not fit.
    #[must_use]
    pub fn new(isa: Isa, (kernel, stride): (usize, usize), channels: usize, weights: &[f32]) -> Self {
        let area = kernel * kernel;
        assert_eq!(weights.len(), channels * area, "weights of a {kernel}×{kernel} depthwise convolution");
        if stride == 1 {
            let mut turned = weights.to_vec();
            turned.chunks_exact_mut(area).for_each(<[f32]>::reverse);
            return Self::Turned(PackedDepthwise::new(isa, kernel, 1, &turned, &vec![0.0; channels]));
        }
        let padded = channels.next_multiple_of(isa.lanes());
        let mut packed = AlignedBuf::zeroed(area * padded);
        for (c, weights) in weights.chunks_exact(area).enumerate() {
            for (row, weight) in packed.chunks_exact_mut(padded).zip(weights) {
                row[c] = *weight;
            }
        }
        Self::Strided { weights: packed, kernel: (kernel, stride) }
    }
}

/// The halo that the gradient of the output needs, so that every pixel of an input of `height` × `width` finds the
/// outputs it had a part in. `padding` is the convolution's, above and left.
#[must_use]
pub fn input_gradient_halo(
    (kernel, stride): (usize, usize),
    padding: (usize, usize),
    (height, width): (usize, usize),
    output: (usize, usize),
) -> Halo {
    let axis = |before: usize, side: usize, out: usize| {
        (outputs_before(kernel, stride, before), ((side - 1 + before) / stride + 1).saturating_sub(out))
    };
    let (top, bottom) = axis(padding.0, height, output.0);
    let (left, right) = axis(padding.1, width, output.1);
    Halo { top, bottom, left, right }
}

/// Outputs before the first whose windows would reach the first pixel.
fn outputs_before(kernel: usize, stride: usize, before: usize) -> usize {
    (kernel - 1).saturating_sub(before) / stride
}

/// Writes `d_input` for `output = weights ∗ input`, channel by channel. `padding` is the convolution's, above and
/// left; the halo of `d_output` must cover [`input_gradient_halo`].
///
/// # Panics
/// When shapes or halo do not fit together.
pub fn depthwise_input(
    cpu: &Cpu,
    packed: &PackedTransposed,
    d_output: View<'_>,
    padding: (usize, usize),
    d_input: &mut ViewMut<'_>,
) {
    let (d, x) = (d_output.layout, d_input.layout);
    assert_eq!((d.channels, d.images), (x.channels, x.images), "{d:?} → {x:?}");
    let (weights, kernel, stride) = match packed {
        // A convolution that pads more than its kernel is wide is none of a network's.
        PackedTransposed::Turned(turned) => {
            let before = |padding: usize| turned.kernel() - 1 - padding;
            let padding = (before(padding.0), before(padding.1));
            return depthwise(cpu, turned, d_output, padding, d_input, Activation::Identity, None);
        }
        PackedTransposed::Strided { weights, kernel: (kernel, stride) } => (weights, *kernel, *stride),
    };
    let halo = input_gradient_halo((kernel, stride), padding, (x.height, x.width), (d.height, d.width));
    assert_eq!(halo.union(d.halo), d.halo, "the halo of {d:?} must cover {halo:?}");
    let out = SharedPtr::new(d_input.data);
    cpu.pool.run(x.images * x.height.div_ceil(ROWS), |task| {
        let parts = x.height.div_ceil(ROWS);
        let (image, part) = (task / parts, task % parts);
        let rows = part * ROWS..x.height.min((part + 1) * ROWS);
        let first = image * x.height;
        // SAFETY: the rows are the task's own.
        unsafe { out.clear_halo(&x, first + rows.start..first + rows.end) };
        cpu.isa.run(Part { weights, kernel, stride, d_output, padding, x, image, rows, out });
    });
}

/// Rows of a task.
const ROWS: usize = 8;
/// Channels whose rows stay in the cache together.
const BLOCK_CHANNELS: usize = 16;
/// Pixels at a time, a stride apart.
const COLUMNS: usize = 4;

struct Part<'a> {
    weights: &'a [f32],
    kernel: usize,
    stride: usize,
    d_output: View<'a>,
    padding: (usize, usize),
    x: Layout,
    image: usize,
    rows: Range<usize>,
    out: SharedPtr,
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.x.channels;
        for block in (0..channels).step_by(BLOCK_CHANNELS) {
            for y in self.rows.clone() {
                let mut c = block;
                while c < channels.min(block + BLOCK_CHANNELS) {
                    self.row(s, y, c, count::<S>(c, channels));
                    c += S::LANES;
                }
            }
        }
    }
}

impl Part<'_> {
    /// Row `y`: the pixels of each remainder by the stride have the same taps.
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, y: usize, c: usize, n: usize) {
        for first in 0..self.stride.min(self.x.width) {
            let pixels = (self.x.width - first).div_ceil(self.stride);
            let mut t = 0;
            while t + COLUMNS <= pixels {
                self.columns::<S, COLUMNS>(s, y, first, t, c, n);
                t += COLUMNS;
            }
            while t < pixels {
                self.columns::<S, 1>(s, y, first, t, c, n);
                t += 1;
            }
        }
    }

    /// Pixels `first + (t + 0..N) · stride` of row `y`.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    fn columns<S: Simd, const N: usize>(&self, s: S, y: usize, first: usize, t: usize, c: usize, n: usize) {
        let Self { weights, kernel, stride, d_output, padding, x, image, out, .. } = *self;
        let d = d_output.layout;
        let padded = weights.len() / (kernel * kernel);
        let (top, left) = (y + padding.0, first + padding.1);
        // SAFETY: output pixels that the taps reach lie in the map or its halo (checked); `n` channels are left;
        // the rows are this task's own.
        unsafe {
            let base = d_output.data.as_ptr().add(image * d.image_pitch() + c);
            let mut sums = [s.splat(0.0); N];
            let mut ky = top % stride;
            while ky < kernel {
                // Never below zero: the halo has what lies before the picture.
                let row = d.halo.top + top / stride - ky / stride;
                let mut kx = left % stride;
                while kx < kernel {
                    let column = d.halo.left + left / stride + t - kx / stride;
                    let from = base.add(row * d.row_pitch() + column * d.channels);
                    let weight = s.load(weights.as_ptr().add((ky * kernel + kx) * padded + c));
                    for i in 0..N {
                        sums[i] = s.fma(load(s, from.add(i * d.channels), n), weight, sums[i]);
                    }
                    kx += stride;
                }
                ky += stride;
            }
            let to = out.at(x.index(image, y, first + t * stride) + c);
            for i in 0..N {
                store(s, to.add(i * stride * x.channels), n, sums[i]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naive;
    use effigy_kernels::ConvShape;
    use effigy_kernels::naive::noise;

    /// Largest error allowed, as a share of the largest value.
    const TOLERANCE: f32 = 1e-5;

    #[test]
    fn equals_the_plain_gradient() {
        for isa in Isa::available() {
            for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (3, 3)] {
                for (height, width, channels) in [(7, 7, 24), (20, 9, 9), (5, 14, 1), (33, 8, 40)] {
                    for pad in [kernel / 2, (kernel - stride.min(kernel)) / 2] {
                        let out = |side: usize| side.div_ceil(stride);
                        let output = (out(height), out(width));
                        let x = Layout::dense(2, height, width, channels).with_halo(Halo {
                            top: 1,
                            bottom: 0,
                            left: 2,
                            right: 1,
                        });
                        let halo = input_gradient_halo((kernel, stride), (pad, pad), (height, width), output);
                        let d = Layout::dense(2, output.0, output.1, channels).with_halo(halo);
                        let weights = noise(channels * kernel * kernel, 1);
                        let mut d_values = noise(d.len(), 2);
                        ViewMut::new(&mut d_values, d).clear_halo();
                        let d = View::new(&d_values, d);
                        let shape = ConvShape { inputs: channels, outputs: channels, kernel, stride };
                        let expected = naive::depthwise_input(shape, &weights, d, (pad, pad), x);
                        let packed = PackedTransposed::new(isa, (kernel, stride), channels, &weights);
                        let mut values = vec![9.0; x.len()];
                        let cpu = Cpu::new(isa, 2);
                        depthwise_input(&cpu, &packed, d, (pad, pad), &mut ViewMut::new(&mut values, x));
                        naive::check(&values, &x, &expected, TOLERANCE);
                    }
                }
            }
        }
    }
}
