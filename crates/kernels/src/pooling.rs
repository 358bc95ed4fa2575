//! Means over height and width.

use crate::layout::{Layout, View, ViewMut};
use crate::pool::split;

/// Sums of every channel over parts of a picture's rows: `[N, parts, C]`.
///
/// The number of parts depends on the picture alone, so that the mean does not depend on how many
/// threads computed it.
#[derive(Debug)]
pub struct PartialSums<'a> {
    pub(crate) data: &'a mut [f32],
}

/// Tasks enough for any machine, and few enough to add up.
const PARTS: usize = 16;

impl<'a> PartialSums<'a> {
    /// Parts that the rows of a picture are cut into.
    pub(crate) fn parts(height: usize) -> usize {
        if height <= 16 { 1 } else { height.min(PARTS) }
    }

    /// The rows of a part.
    pub(crate) fn rows(height: usize, part: usize) -> std::ops::Range<usize> {
        split(height, Self::parts(height), part)
    }

    /// The part that a row belongs to, and whether the row is its first.
    pub(crate) fn part_of(height: usize, row: usize) -> (usize, bool) {
        let parts = Self::parts(height);
        // The last part that starts at or before the row.
        let part = ((row + 1) * parts - 1) / height;
        (part, part * height / parts == row)
    }

    /// Values needed for activations of this layout.
    #[must_use]
    pub fn len_for(layout: &Layout) -> usize {
        layout.images * Self::parts(layout.height) * layout.channels
    }

    /// Room for the sums.
    #[must_use]
    pub fn new(data: &'a mut [f32]) -> Self {
        Self { data }
    }

    pub(crate) fn check(&self, layout: &Layout) {
        assert!(self.data.len() >= Self::len_for(layout), "{} sums for {layout:?}", self.data.len());
    }
}

/// Turns the sums that [`depthwise`](crate::depthwise) left for an activation of `layout` into means,
/// `[N, C]`.
///
/// # Panics
/// When a length does not fit.
pub fn mean_of_sums(sums: &[f32], layout: &Layout, means: &mut [f32]) {
    let (channels, parts) = (layout.channels, PartialSums::parts(layout.height));
    assert_eq!(means.len(), layout.images * channels, "means for {layout:?}");
    for (mean, sums) in means.chunks_exact_mut(channels).zip(sums.chunks_exact(parts * channels)) {
        mean.fill(0.0);
        for part in sums.chunks_exact(channels) {
            mean.iter_mut().zip(part).for_each(|(mean, sum)| *mean += sum);
        }
        mean.iter_mut().for_each(|mean| *mean /= layout.pixels() as f32);
    }
}

/// The mean of every channel: `[N, H, W, C]` → `[N, 1, 1, C]`, with room for [`PartialSums::len_for`] the
/// input.
///
/// # Panics
/// When the shapes or the room do not fit.
pub fn global_average(input: View<'_>, sums: &mut [f32], output: &mut ViewMut<'_>) {
    let layout = input.layout;
    let expected = Layout::dense(layout.images, 1, 1, layout.channels);
    assert_eq!(output.layout, expected, "means of {layout:?}");
    let parts = PartialSums::parts(layout.height);
    let sums = &mut sums[..PartialSums::len_for(&layout)];
    sums.fill(0.0);
    for (i, sum) in sums.chunks_exact_mut(layout.channels).enumerate() {
        let (image, part) = (i / parts, i % parts);
        for y in PartialSums::rows(layout.height, part) {
            let start = layout.index(image, y, 0);
            for pixel in
                input.data[start..start + layout.width * layout.channels].chunks_exact(layout.channels)
            {
                sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
            }
        }
    }
    mean_of_sums(sums, &layout, &mut output.data[..expected.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_of_one_part() {
        for height in 1..300 {
            for part in 0..PartialSums::parts(height) {
                for (i, row) in PartialSums::rows(height, part).enumerate() {
                    assert_eq!(PartialSums::part_of(height, row), (part, i == 0), "row {row} of {height}");
                }
            }
        }
    }
    use crate::layout::Halo;

    #[test]
    fn averages_inside_the_halo() {
        for height in [1, 5, 16, 17, 40] {
            let halo = Halo { top: 1, bottom: 2, left: 1, right: 0 };
            let layout = Layout::dense(2, height, 3, 5).with_halo(halo);
            let mut data = vec![f32::NAN; layout.len()];
            for image in 0..2 {
                for y in 0..height {
                    for x in 0..3 {
                        for c in 0..5 {
                            data[layout.index(image, y, x) + c] = (image * 100 + c * 10 + x) as f32;
                        }
                    }
                }
            }
            let mut means = [0.0; 10];
            let out = Layout::dense(2, 1, 1, 5);
            let mut sums = vec![f32::NAN; PartialSums::len_for(&layout)];
            global_average(View::new(&data, layout), &mut sums, &mut ViewMut::new(&mut means, out));
            assert_eq!(means, [1., 11., 21., 31., 41., 101., 111., 121., 131., 141.]);
        }
    }
}
