//! Moves of a picture's pixels. What comes from outside is grey, as in google/automl's policies.

use effigy_vision::Picture;

/// What comes from outside.
const GREY: [u8; 3] = [128; 3];

/// Where the pixels of a picture come from: a line each for x and y, over x, y and 1, pixels having their centres
/// at halves.
type Affine = [[f64; 3]; 2];

/// Rows moved against each other, by `share` of a pixel each: `Image.transform` with (1, share, 0, 0, 1, 0).
#[must_use]
pub fn shear_x(picture: &Picture, share: f64) -> Picture {
    moved(picture, [[1.0, share, 0.0], [0.0, 1.0, 0.0]])
}

/// Columns moved against each other, by `share` of a pixel each.
#[must_use]
pub fn shear_y(picture: &Picture, share: f64) -> Picture {
    moved(picture, [[1.0, 0.0, 0.0], [share, 1.0, 0.0]])
}

/// Moved to the left by so many pixels.
#[must_use]
pub fn translate_x(picture: &Picture, pixels: f64) -> Picture {
    moved(picture, [[1.0, 0.0, pixels], [0.0, 1.0, 0.0]])
}

/// Moved up by so many pixels.
#[must_use]
pub fn translate_y(picture: &Picture, pixels: f64) -> Picture {
    moved(picture, [[1.0, 0.0, 0.0], [0.0, 1.0, pixels]])
}

/// Turned around its middle, counter-clockwise: `Image.rotate`.
#[must_use]
pub fn rotate(picture: &Picture, degrees: f64) -> Picture {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (x, y) = (picture.width() as f64 / 2.0, picture.height() as f64 / 2.0);
    moved(picture, [[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]])
}

/// A grey square of twice `reach` around a pixel, cut off at the picture's edges: DeVries and Taylor 2017
/// (arXiv 1708.04552), as google/automl draws it.
#[must_use]
pub fn cutout(mut picture: Picture, [x, y]: [usize; 2], reach: usize) -> Picture {
    let (width, height) = (picture.width(), picture.height());
    let columns = x.saturating_sub(reach)..(x + reach).min(width);
    let (pixels, _) = picture.pixels_mut().as_chunks_mut::<3>();
    for row in y.saturating_sub(reach)..(y + reach).min(height) {
        pixels[row * width + columns.start..row * width + columns.end].fill(GREY);
    }
    picture
}

/// Each pixel is the one that its centre comes from.
fn moved(picture: &Picture, [[xx, xy, x0], [yx, yy, y0]]: Affine) -> Picture {
    let (width, height) = (picture.width(), picture.height());
    let mut out = picture.clone();
    let (from, _) = picture.pixels().as_chunks::<3>();
    let (to, _) = out.pixels_mut().as_chunks_mut::<3>();
    let mut at = 0;
    for row in 0..height {
        for column in 0..width {
            let (x, y) = (column as f64 + 0.5, row as f64 + 0.5);
            let (x, y) = (xx * x + xy * y + x0, yx * x + yy * y + y0);
            let inside = x >= 0.0 && y >= 0.0 && x < width as f64 && y < height as f64;
            to[at] = if inside { from[y as usize * width + x as usize] } else { GREY };
            at += 1;
        }
    }
    out
}
