//! Where an activation's values lie: NHWC, with a halo of zeros around each picture.
//!
//! A convolution that pads reads the halo instead of asking, pixel by pixel, whether it is at a
//! border; whoever writes an activation clears its halo.

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
        if layout.is_dense() {
            return;
        }
        let (pitch, channels) = (layout.row_pitch(), layout.channels);
        for picture in self.data[..layout.len()].chunks_exact_mut(layout.image_pitch()) {
            let (above, rest) = picture.split_at_mut(layout.halo.top * pitch);
            let (rows, below) = rest.split_at_mut(layout.height * pitch);
            above.fill(0.0);
            below.fill(0.0);
            for row in rows.chunks_exact_mut(pitch) {
                row[..layout.halo.left * channels].fill(0.0);
                row[(layout.halo.left + layout.width) * channels..].fill(0.0);
            }
        }
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
