//! Where an activation's values lie: NHWC, with a halo of zeros around each picture.
//!
//! A convolution that pads reads the halo instead of asking, pixel by pixel, whether it is at a
//! border; whoever writes an activation clears its halo.

use std::ops::Range;

/// Rows and columns of zeros around a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Halo {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Halo {
    /// The smallest halo that covers both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            top: self.top.max(other.top),
            bottom: self.bottom.max(other.bottom),
            left: self.left.max(other.left),
            right: self.right.max(other.right),
        }
    }
}

/// The layout of an activation: `[N, H, W, C]`, the last axis contiguous, each picture in its halo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Pictures in the batch, N.
    pub images: usize,
    /// Rows, H, without the halo.
    pub height: usize,
    /// Columns, W, without the halo.
    pub width: usize,
    /// Channels, C.
    pub channels: usize,
    /// Zeros around each picture.
    pub halo: Halo,
}

impl Layout {
    /// A layout without a halo.
    #[must_use]
    pub fn dense(images: usize, height: usize, width: usize, channels: usize) -> Self {
        Self { images, height, width, channels, halo: Halo::default() }
    }

    /// The same activation in a halo.
    #[must_use]
    pub fn with_halo(self, halo: Halo) -> Self {
        Self { halo, ..self }
    }

    /// Values from a row to the next.
    #[must_use]
    pub fn row_pitch(&self) -> usize {
        (self.halo.left + self.width + self.halo.right) * self.channels
    }

    /// Values from a picture to the next.
    #[must_use]
    pub fn image_pitch(&self) -> usize {
        (self.halo.top + self.height + self.halo.bottom) * self.row_pitch()
    }

    /// Values in all, halos included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.images * self.image_pitch()
    }

    /// Whether there is no value at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Index of channel 0 of pixel (`y`, `x`), counted from the picture's corner inside the halo.
    #[must_use]
    pub fn index(&self, image: usize, y: usize, x: usize) -> usize {
        image * self.image_pitch()
            + (y + self.halo.top) * self.row_pitch()
            + (x + self.halo.left) * self.channels
    }

    /// Where some rows of an image begin, their left halo included, and how they lie from there on, without any above or
    /// below.
    pub(crate) fn rows(&self, image: usize, rows: &Range<usize>) -> (usize, Self) {
        let halo = Halo { top: 0, bottom: 0, ..self.halo };
        let start = self.index(image, rows.start, 0) - halo.left * self.channels;
        (start, Self { images: 1, height: rows.len(), halo, ..*self })
    }

    /// Whether rows follow each other without a gap.
    #[must_use]
    pub fn is_dense(&self) -> bool {
        self.halo == Halo::default()
    }

    /// Pixels of one picture.
    #[must_use]
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// The same shape, whatever the halos.
    #[must_use]
    pub fn same_shape(&self, other: &Self) -> bool {
        self.with_halo(Halo::default()) == other.with_halo(Halo::default())
    }
}

/// A pixel of a batch of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pixel {
    pub(crate) image: usize,
    pub(crate) y: usize,
    pub(crate) x: usize,
}

impl Pixel {
    /// The pixel of this number, counted row by row through the whole batch.
    pub(crate) fn new(layout: &Layout, number: usize) -> Self {
        let (image, rest) = (number / layout.pixels(), number % layout.pixels());
        Self { image, y: rest / layout.width, x: rest % layout.width }
    }

    /// Moves on by so many pixels.
    #[inline(always)]
    pub(crate) fn advance(&mut self, layout: &Layout, count: usize) {
        self.x += count;
        while self.x >= layout.width {
            self.x -= layout.width;
            self.y += 1;
            if self.y == layout.height {
                (self.image, self.y) = (self.image + 1, 0);
            }
        }
    }
}

/// Writes `value` into the halo beside some rows, counted through the batch, and above a picture's first and below
/// its last one.
///
/// # Safety
/// `data` must be valid for writing the layout's values, and the halo of these rows the caller's own.
pub(crate) unsafe fn fill_halo<T: Copy>(data: *mut T, layout: &Layout, value: T, rows: Range<usize>) {
    if layout.is_dense() {
        return;
    }
    let Layout { height, width, channels, halo, .. } = *layout;
    let pitch = layout.row_pitch();
    let fill = |from: usize, len: usize| {
        // SAFETY: a part of the layout, in the halo of these rows.
        unsafe { std::slice::from_raw_parts_mut(data.add(from), len) }.fill(value);
    };
    for row in rows {
        let (image, y) = (row / height, row % height);
        let start = layout.index(image, y, 0);
        let left = start - halo.left * channels;
        fill(left, halo.left * channels);
        fill(start + width * channels, halo.right * channels);
        if y == 0 {
            fill(left - halo.top * pitch, halo.top * pitch);
        }
        if y == height - 1 {
            fill(left + pitch, halo.bottom * pitch);
        }
    }
}

/// An activation to read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// At least [`Layout::len`] values.
    pub data: &'a [f32],
    /// Where they lie.
    pub layout: Layout,
}

/// An activation to write.
#[derive(Debug)]
pub struct ViewMut<'a> {
    /// At least [`Layout::len`] values.
    pub data: &'a mut [f32],
    /// Where they lie.
    pub layout: Layout,
}

impl<'a> View<'a> {
    /// A view of `data`.
    ///
    /// # Panics
    /// When there are fewer values than the layout needs.
    #[must_use]
    pub fn new(data: &'a [f32], layout: Layout) -> Self {
        assert!(data.len() >= layout.len(), "{} values for {layout:?}", data.len());
        Self { data, layout }
    }
}

impl<'a> ViewMut<'a> {
    /// A view of `data`.
    ///
    /// # Panics
    /// When there are fewer values than the layout needs.
    #[must_use]
    pub fn new(data: &'a mut [f32], layout: Layout) -> Self {
        assert!(data.len() >= layout.len(), "{} values for {layout:?}", data.len());
        Self { data, layout }
    }

    /// The same values, to read.
    #[must_use]
    pub fn as_view(&self) -> View<'_> {
        View { data: self.data, layout: self.layout }
    }

    /// Writes zeros into the halo of every picture.
    pub fn clear_halo(&mut self) {
        let layout = self.layout;
        let data = self.data[..layout.len()].as_mut_ptr();
        // SAFETY: the layout's values, which are this view's own.
        unsafe { fill_halo(data, &layout, 0.0, 0..layout.images * layout.height) };
    }
}

/// A pointer that tasks of one job share, each writing its own part.
#[derive(Clone, Copy, Debug)]
pub struct SharedPtr(*mut f32);

// SAFETY: the kernels give every task a part of its own.
unsafe impl Send for SharedPtr {}
// SAFETY: as above.
unsafe impl Sync for SharedPtr {}

impl SharedPtr {
    /// A pointer to the first of `data`.
    #[must_use]
    pub fn new(data: &mut [f32]) -> Self {
        Self(data.as_mut_ptr())
    }

    /// The same memory from `offset` on.
    ///
    /// # Safety
    /// `offset` must lie within the slice.
    #[must_use]
    pub unsafe fn from(self, offset: usize) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { self.0.add(offset) })
    }

    /// Writes zeros into the halo beside some rows, counted through the batch, of a map that begins here, and above a
    /// picture's first and below its last one.
    ///
    /// # Safety
    /// The layout must lie within the slice, and the halo of these rows must be the calling task's own.
    pub unsafe fn clear_halo(self, layout: &Layout, rows: Range<usize>) {
        // SAFETY: the caller's promise.
        unsafe { fill_halo(self.0, layout, 0.0, rows) };
    }

    /// A pointer to value `offset`.
    ///
    /// # Safety
    /// `offset` must lie within the slice, and what is written behind the pointer must be the
    /// calling task's own.
    #[must_use]
    pub unsafe fn at(self, offset: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(offset) }
    }
}
