//! How maps are cut for the threads, and how sums over pixels are put together again.

use std::ops::Range;

use effigy_kernels::{Cpu, Layout, SharedPtr, View};

/// Pixels of a block: enough to be worth a task, few enough that what a kernel reads twice stays in the cache, and
/// that sums over them are exact to single precision.
const PIXELS: usize = 256;

/// A batch cut into whole rows of one picture each. Depends on the shape alone.
#[derive(Clone, Copy)]
pub(crate) struct Blocks {
    height: usize,
    width: usize,
    rows: usize,
    per_image: usize,
    pub(crate) count: usize,
}

impl Blocks {
    pub(crate) fn of(layout: &Layout) -> Self {
        let Layout { images, height, width, .. } = *layout;
        let rows = (PIXELS / width).clamp(1, height);
        let per_image = height.div_ceil(rows);
        Self { height, width, rows, per_image, count: images * per_image }
    }

    /// Image and rows of block `index`.
    pub(crate) fn at(&self, index: usize) -> (usize, Range<usize>) {
        let first = index % self.per_image * self.rows;
        (index / self.per_image, first..self.height.min(first + self.rows))
    }

    /// The blocks of an image.
    pub(crate) fn of_image(&self, image: usize) -> Range<usize> {
        image * self.per_image..(image + 1) * self.per_image
    }

    /// Writes zeros into the halo beside block `index` of a map of this shape.
    ///
    /// # Safety
    /// `out` must have all values of the layout, and the block must be the calling task's own.
    pub(crate) unsafe fn clear_halo(&self, index: usize, out: SharedPtr, layout: &Layout) {
        let (image, rows) = self.at(index);
        let first = image * self.height;
        // SAFETY: the caller's promise.
        unsafe { out.clear_halo(layout, first + rows.start..first + rows.end) };
    }

    /// Pixels of block `index`.
    pub(crate) fn pixels(&self, index: usize) -> usize {
        self.at(index).1.len() * self.width
    }

    /// The block's pixels as stretches without a gap: how many, and how long each is. They start at its rows, or
    /// all of it is one, where no layout has a halo.
    pub(crate) fn stretches(&self, index: usize, dense: bool) -> (usize, usize) {
        let rows = self.at(index).1.len();
        if dense { (1, rows * self.width) } else { (rows, self.width) }
    }
}

/// What every block of `a` leaves per channel, `[blocks][channels]`: the sum of its products with `b` pixel by pixel, or
/// of `a` itself where there is no `b`.
pub(crate) fn channel_sums(cpu: &Cpu, a: View<'_>, b: Option<View<'_>>) -> (Blocks, Vec<f32>) {
    let layout = a.layout;
    let channels = layout.channels;
    let blocks = Blocks::of(&layout);
    let mut sums = vec![0.0; blocks.count * channels];
    let out = SharedPtr::new(&mut sums);
    cpu.pool.run(blocks.count, |task| {
        // SAFETY: the task's own sums.
        let out = unsafe { std::slice::from_raw_parts_mut(out.at(task * channels), channels) };
        let (image, rows) = blocks.at(task);
        for y in rows {
            let len = layout.width * channels;
            let a = &a.data[layout.index(image, y, 0)..][..len];
            let Some(b) = b else {
                for a in a.chunks_exact(channels) {
                    out.iter_mut().zip(a).for_each(|(out, a)| *out += a);
                }
                continue;
            };
            let b = &b.data[b.layout.index(image, y, 0)..][..len];
            for (a, b) in a.chunks_exact(channels).zip(b.chunks_exact(channels)) {
                for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                    *out += a * b;
                }
            }
        }
    });
    (blocks, sums)
}

/// Sums that blocks have left, `[blocks][channels]` from `first` on with a stride of `pitch`, added in double
/// precision for `channels` channels.
pub(crate) fn total(
    sums: &[f32],
    blocks: Range<usize>,
    pitch: usize,
    first: usize,
    channels: usize,
) -> Vec<f64> {
    let mut total = vec![0.0; channels];
    for block in blocks {
        let sums = &sums[block * pitch + first..][..channels];
        for (total, sum) in total.iter_mut().zip(sums) {
            *total += f64::from(*sum);
        }
    }
    total
}
