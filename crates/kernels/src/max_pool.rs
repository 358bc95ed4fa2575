//! The largest value of every window.

use crate::Cpu;
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
/// `border`: −∞, so that only real pixels count, or 0 as some ports have it. The halo is not read.
///
/// # Panics
/// When a window lies wholly outside the picture, or the shapes do not fit.
pub fn max_pool(cpu: &Cpu, window: Window, border: f32, input: View<'_>, output: &mut ViewMut<'_>) {
    let (from, to) = (input.layout, output.layout);
    assert_eq!((from.images, from.channels), (to.images, to.channels), "{from:?} → {to:?}");
    output.clear_halo();
    let Window { kernel, stride, padding } = window;
    let channels = to.channels;
    let out = SharedPtr::new(output.data);
    // Positions of a window along an axis that lie in the picture, and whether some do not.
    let inside = |at: usize, before: usize, size: usize| {
        let (start, end) = (at * stride, at * stride + kernel);
        let range = start.max(before) - before..end.min(before + size).saturating_sub(before);
        assert!(!range.is_empty(), "window {at} of {window:?} sees nothing of {from:?}");
        let cut = range.len() < kernel;
        (range, cut)
    };
    cpu.pool.run(to.images * to.height, |task| {
        let (image, y) = (task / to.height, task % to.height);
        let (rows, rows_cut) = inside(y, padding.0, from.height);
        for x in 0..to.width {
            let (columns, columns_cut) = inside(x, padding.1, from.width);
            // SAFETY: a pixel of the view, in a row that is this task's own.
            let to = unsafe { std::slice::from_raw_parts_mut(out.at(to.index(image, y, x)), channels) };
            to.fill(if rows_cut || columns_cut { border } else { f32::NEG_INFINITY });
            for row in rows.clone() {
                for column in columns.clone() {
                    let from = &input.data[from.index(image, row, column)..][..channels];
                    // Not `f32::max`, which would swallow a NaN.
                    let larger = |a: f32, b: f32| if b > a || b.is_nan() { b } else { a };
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = larger(*to, *from));
                }
            }
        }
    });
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
