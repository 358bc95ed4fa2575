//! The largest value of every window.

use crate::Cpu;
use crate::isa::{Kernel, Simd};
use crate::layout::{SharedPtr, View, ViewMut};

/// A window that slides over the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Rows above and columns left of the picture at which the first window starts.
    pub padding: (usize, usize),
}

/// The largest value of every window, per channel. Where a window passes the picture's border it sees
/// `border`: −∞, so that only real pixels count, or 0 as some ports have it. The halo is not read. A window
/// that holds a NaN, or an infinite value, gives a NaN.
///
/// # Panics
/// When a window lies wholly outside the picture, or the shapes do not fit.
pub fn max_pool(cpu: &Cpu, window: Window, border: f32, input: View<'_>, output: &mut ViewMut<'_>) {
    let to = output.layout;
    let pool = MaxPool { window, border, input, size: (to.height, to.width) };
    assert_eq!((input.layout.images, input.layout.channels), (to.images, to.channels), "{pool:?} → {to:?}");
    pool.check();
    output.clear_halo();
    let out = SharedPtr::new(output.data);
    cpu.pool.run(to.images * to.height, |task| {
        let (image, y) = (task / to.height, task % to.height);
        // SAFETY: a row of the view, which is this task's own.
        unsafe { pool.row(cpu.isa, (image, y), out.at(to.index(image, y, 0))) }
    });
}

/// Max-pooling of a batch, row by row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxPool<'a> {
    pub(crate) window: Window,
    pub(crate) border: f32,
    pub(crate) input: View<'a>,
    /// Height and width of the result.
    pub(crate) size: (usize, usize),
}

impl MaxPool<'_> {
    /// Panics when a window lies wholly outside the picture.
    pub(crate) fn check(&self) {
        let Self { window: Window { kernel, stride, padding }, input, size, .. } = self;
        for (size, before, side) in
            [(size.0, padding.0, input.layout.height), (size.1, padding.1, input.layout.width)]
        {
            let last = (size - 1) * stride;
            assert!(size > 0 && *kernel > before && last < before + side, "{self:?}: a window sees nothing");
        }
    }

    /// Row `y` of `image`, dense, to `out`.
    ///
    /// # Safety
    /// The row must be one of the result, which `check` has passed, and `out` valid for writing it.
    pub(crate) unsafe fn row(&self, isa: crate::Isa, (image, y): (usize, usize), out: *mut f32) {
        isa.run(Row { pool: self, image, y, out });
    }

    /// Positions of a window along an axis that lie in the picture, and whether some do not.
    #[inline(always)]
    fn inside(&self, at: usize, before: usize, side: usize) -> (std::ops::Range<usize>, bool) {
        let Window { kernel, stride, .. } = self.window;
        let (start, end) = (at * stride, at * stride + kernel);
        let range = start.max(before) - before..end.min(before + side) - before;
        let cut = range.len() < kernel;
        (range, cut)
    }
}

struct Row<'a> {
    pool: &'a MaxPool<'a>,
    image: usize,
    y: usize,
    out: *mut f32,
}

impl Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { pool, image, y, out } = self;
        let View { data, layout } = pool.input;
        let channels = layout.channels;
        let (rows, rows_cut) = pool.inside(y, pool.window.padding.0, layout.height);
        for x in 0..pool.size.1 {
            let (columns, columns_cut) = pool.inside(x, pool.window.padding.1, layout.width);
            let start = s.splat(if rows_cut || columns_cut { pool.border } else { f32::NEG_INFINITY });
            let corner = layout.index(image, rows.start, columns.start);
            let corner = &data[corner..][..(rows.len() - 1) * layout.row_pitch() + columns.len() * channels];
            let mut channel = 0;
            while channel < channels {
                let lanes = S::LANES.min(channels - channel);
                // A maximum swallows a NaN, so the products with zero are added up beside it.
                let (mut largest, mut nan) = (start, s.splat(0.0));
                for row in 0..rows.len() {
                    for column in 0..columns.len() {
                        let at = row * layout.row_pitch() + column * channels + channel;
                        // SAFETY: the last pixel of the window ends with the slice `corner`, and the
                        // channels from `channel` on are at least `lanes`.
                        let value = unsafe { load(s, corner.as_ptr().add(at), lanes) };
                        largest = s.max(largest, value);
                        nan = s.fma(value, s.splat(0.0), nan);
                    }
                }
                // SAFETY: pixel x of the row, whose `lanes` channels from `channel` on exist.
                unsafe {
                    let to = out.add(x * channels + channel);
                    let value = s.add(largest, nan);
                    if lanes == S::LANES { s.store(to, value) } else { s.store_first(to, lanes, value) }
                }
                channel += S::LANES;
            }
        }
    }
}

/// # Safety
/// `p` must be valid for reading `lanes` values.
#[inline(always)]
unsafe fn load<S: Simd>(s: S, p: *const f32, lanes: usize) -> S::V {
    // SAFETY: the caller's promise.
    unsafe { if lanes == S::LANES { s.load(p) } else { s.load_first(p, lanes) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::layout::{Halo, Layout};
    use crate::naive::noise;

    #[test]
    fn takes_the_largest_and_minds_the_border() {
        let cpu = Cpu::new(Isa::best(), 2);
        for (height, width) in [(1, 1), (2, 3), (5, 4), (7, 8)] {
            for before in [0, 1] {
                for border in [f32::NEG_INFINITY, 0.0] {
                    let input = Layout::dense(2, height, width, 5);
                    let out = Layout::dense(2, height.div_ceil(2), width.div_ceil(2), 5).with_halo(Halo {
                        top: 1,
                        left: 2,
                        ..Halo::default()
                    });
                    let values: Vec<f32> = noise(input.len(), 7).iter().map(|v| v - 0.5).collect();
                    let mut result = vec![f32::NAN; out.len()];
                    let window = Window { kernel: 3, stride: 2, padding: (before, before) };
                    let mut view = ViewMut::new(&mut result, out);
                    max_pool(&cpu, window, border, View::new(&values, input), &mut view);
                    for image in 0..2 {
                        for (y, x, c) in grid(out) {
                            let mut expected = f32::NEG_INFINITY;
                            for ky in 0..3 {
                                for kx in 0..3 {
                                    let (iy, ix) = (y * 2 + ky, x * 2 + kx);
                                    let inside = iy >= before
                                        && ix >= before
                                        && iy < before + height
                                        && ix < before + width;
                                    let value = match inside {
                                        true => values[input.index(image, iy - before, ix - before) + c],
                                        false => border,
                                    };
                                    expected = expected.max(value);
                                }
                            }
                            assert_eq!(result[out.index(image, y, x) + c], expected, "({y}, {x}, {c})");
                        }
                    }
                }
            }
        }
    }

    fn grid(layout: Layout) -> impl Iterator<Item = (usize, usize, usize)> {
        let Layout { height, width, channels, .. } = layout;
        (0..height * width * channels)
            .map(move |i| (i / channels / width, i / channels % width, i % channels))
    }
}
