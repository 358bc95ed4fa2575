//! The one kind of picture that everything after decoding sees.

use crate::VisionError;

/// An 8-bit RGB picture, upright, at least 1×1.
///
/// Rows from top to bottom, pixels from left to right, bytes R G B, nothing between rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    /// A picture from `width · height · 3` bytes.
    ///
    /// # Errors
    /// [`VisionError::Shape`] where a side is zero or the number of bytes is another.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self, VisionError> {
        let expected = width.checked_mul(height).and_then(|n| n.checked_mul(3));
        if pixels.is_empty() || expected != Some(pixels.len()) {
            return Err(VisionError::Shape { width, height, bytes: pixels.len() });
        }
        Ok(Self { width, height, pixels })
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> usize {
        self.height
    }

    /// `height · width · 3` bytes, row by row, R G B.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The pixels of row `y`, counted from the top.
    ///
    /// # Panics
    /// Where `y` is not below the height.
    pub fn row(&self, y: usize) -> &[[u8; 3]] {
        let (pixels, _) = self.pixels.as_chunks();
        &pixels[y * self.width..(y + 1) * self.width]
    }

    /// The picture without its colours: every channel is the luma of ITU-R BT.601, as Pillow's mode `L` has
    /// it to the byte.
    #[must_use]
    pub fn to_grey(&self) -> Self {
        let luma = |[r, g, b]: [u8; 3]| {
            ((19_595 * u32::from(r) + 38_470 * u32::from(g) + 7_471 * u32::from(b) + 0x8000) >> 16) as u8
        };
        let (pixels, _) = self.pixels.as_chunks();
        Self { pixels: pixels.iter().flat_map(|&pixel| [luma(pixel); 3]).collect(), ..*self }
    }

    /// A part of the picture.
    ///
    /// # Panics
    /// Where the part is empty or reaches outside the picture.
    #[must_use]
    pub fn crop(&self, left: usize, top: usize, width: usize, height: usize) -> Self {
        assert!(width > 0 && height > 0 && left + width <= self.width && top + height <= self.height);
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in top..top + height {
            pixels.extend_from_slice(self.row(y)[left..left + width].as_flattened());
        }
        Self { width, height, pixels }
    }

    /// The picture as a mirror shows it: left and right change places.
    #[must_use]
    pub fn mirrored(mut self) -> Self {
        let (pixels, _) = self.pixels.as_chunks_mut::<3>();
        pixels.chunks_exact_mut(self.width).for_each(<[_]>::reverse);
        self
    }

    /// The bytes of [`Picture::pixels`], to be changed.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// The bytes, as [`Picture::pixels`] gives them, without a copy.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_bytes_that_do_not_fill_the_picture() {
        assert!(Picture::new(2, 1, vec![0; 6]).is_ok());
        for (width, height, bytes) in [(0, 0, 0), (0, 5, 0), (2, 1, 5), (2, 1, 7), (usize::MAX, 2, 6)] {
            let error = Picture::new(width, height, vec![0; bytes]).unwrap_err();
            assert!(matches!(error, VisionError::Shape { .. }), "{error}");
        }
    }

    /// `Image.fromarray(…).convert("L")` of Pillow 13.0.0.
    #[test]
    fn grey_is_pillows() {
        let colours = [255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 1, 2, 3, 200, 100, 50];
        let grey = Picture::new(6, 1, colours.to_vec()).unwrap().to_grey();
        let expected = [76, 150, 29, 255, 2, 124];
        assert_eq!(grey.row(0), expected.map(|luma| [luma; 3]));
    }

    #[test]
    fn parts_and_mirrors() {
        let picture = Picture::new(3, 2, (0..18).collect()).unwrap();
        assert_eq!(picture.crop(0, 0, 3, 2), picture);
        assert_eq!(picture.crop(1, 1, 2, 1).pixels(), [12, 13, 14, 15, 16, 17]);
        assert_eq!(picture.clone().mirrored().row(1), [[15, 16, 17], [12, 13, 14], [9, 10, 11]]);
        assert_eq!(picture.clone().mirrored().mirrored(), picture);
    }

    #[test]
    fn rows_are_counted_from_the_top() {
        let picture = Picture::new(1, 2, vec![1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(picture.row(1), [[4, 5, 6]]);
    }
}
