//! Turning a picture upright, as its EXIF orientation asks.

use image::metadata::Orientation;

/// Where the pixel of the upright picture comes from in the stored one.
///
/// `width` and `height` are the stored picture's; the result has them swapped for the four quarter turns.
/// Returns the upright width, height and pixels (R G B).
pub(crate) fn upright(
    orientation: Orientation,
    width: usize,
    height: usize,
    pixels: Vec<u8>,
) -> (usize, usize, Vec<u8>) {
    let (right, bottom) = (width - 1, height - 1);
    match orientation {
        Orientation::NoTransforms => (width, height, pixels),
        Orientation::FlipHorizontal => gather(&pixels, width, [width, height], |x, y| (right - x, y)),
        Orientation::Rotate180 => gather(&pixels, width, [width, height], |x, y| (right - x, bottom - y)),
        Orientation::FlipVertical => gather(&pixels, width, [width, height], |x, y| (x, bottom - y)),
        Orientation::Rotate90FlipH => gather(&pixels, width, [height, width], |x, y| (y, x)),
        Orientation::Rotate90 => gather(&pixels, width, [height, width], |x, y| (y, bottom - x)),
        Orientation::Rotate270FlipH => {
            gather(&pixels, width, [height, width], |x, y| (right - y, bottom - x))
        }
        Orientation::Rotate270 => gather(&pixels, width, [height, width], |x, y| (right - y, x)),
    }
}

fn gather(
    pixels: &[u8],
    stored_width: usize,
    [width, height]: [usize; 2],
    source: impl Fn(usize, usize) -> (usize, usize),
) -> (usize, usize, Vec<u8>) {
    let (stored, _) = pixels.as_chunks::<3>();
    let mut upright = Vec::with_capacity(pixels.len());
    for y in 0..height {
        for x in 0..width {
            let (from_x, from_y) = source(x, y);
            upright.extend_from_slice(&stored[from_y * stored_width + from_x]);
        }
    }
    (width, height, upright)
}
