//! Resizing that equals Pillow's bilinear and bicubic to the byte on 8-bit pictures.
//!
//! Two passes, horizontal and vertical, each rounding to 8 bits. A pass is a table of taps: for each
//! output sample the run of input samples under the filter and their weights in fixed point. When
//! shrinking, the filter is stretched by the scale, so every input pixel counts (antialiasing).

mod taps;

use effigy_arch::Interpolation;

use crate::Picture;
use taps::{Taps, weigh};

/// The part of a resized picture that is wanted, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) left: usize,
    pub(crate) top: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// Resizes to `width`×`height` pixels as Pillow's `Image.resize` does, equal to the byte.
///
/// # Panics
/// Where `width` or `height` is zero.
pub fn resize(picture: &Picture, width: usize, height: usize, interpolation: Interpolation) -> Picture {
    let whole = Window { left: 0, top: 0, width, height };
    let pixels = resize_window(picture, [width, height], whole, interpolation);
    Picture::new(width, height, pixels).expect("a resized picture fills its width and height")
}

/// The `window` of the picture resized to `size` (width, height): the same bytes as resizing the whole
/// and cropping, but only the samples that the window needs are computed.
pub(crate) fn resize_window(
    picture: &Picture,
    [width, height]: [usize; 2],
    window: Window,
    interpolation: Interpolation,
) -> Vec<u8> {
    assert!(width > 0 && height > 0, "a picture cannot be resized to {width}×{height}");
    let columns = Taps::new(picture.width(), width, window.left..window.left + window.width, interpolation);
    let rows = Taps::new(picture.height(), height, window.top..window.top + window.height, interpolation);

    let sources = rows.inputs().map(|y| &picture.row(y)[columns.inputs()]);
    if vertical_first(picture, width, height) {
        let lowered = Strip::copied(sources, columns.inputs().len()).filtered_down(&rows);
        let (lowered, _) = lowered.as_chunks();
        Strip::filtered(lowered.chunks_exact(columns.inputs().len()), &columns).into_pixels()
    } else {
        Strip::filtered(sources, &columns).filtered_down(&rows)
    }
}

/// Whether the vertical pass comes first. As both passes round, the order shows in the last bit.
///
/// Pillow 13 (python-pillow/Pillow#9549) begins with it where the height loses more than twice as many
/// pixels as the width; older versions always begin with the horizontal pass.
fn vertical_first(picture: &Picture, width: usize, height: usize) -> bool {
    let lost = |from: usize, to: usize| from as i128 - to as i128;
    let (columns, rows) = (lost(picture.width(), width), lost(picture.height(), height));
    rows > 0 && 2 * columns < rows
}

/// Bytes of a strip's row that the vertical pass weighs at once.
const TILE: usize = 16;
/// Rows that the horizontal pass weighs at once.
const ROWS: usize = 8;

/// Rows of RGB pixels between the passes; each row is padded to whole tiles.
struct Strip {
    width: usize,
    tiles_per_row: usize,
    tiles: Vec<[u8; TILE]>,
}

impl Strip {
    fn new(width: usize, height: usize) -> Self {
        let tiles_per_row = (width * 3).div_ceil(TILE);
        Self { width, tiles_per_row, tiles: vec![[0; TILE]; tiles_per_row * height] }
    }

    /// The pixels of row `y`, without its padding.
    fn row_mut(&mut self, y: usize) -> &mut [[u8; 3]] {
        let bytes = self.tiles[y * self.tiles_per_row..(y + 1) * self.tiles_per_row].as_flattened_mut();
        bytes[..self.width * 3].as_chunks_mut().0
    }

    /// The rows as they are.
    fn copied<'a>(rows: impl ExactSizeIterator<Item = &'a [[u8; 3]]>, width: usize) -> Self {
        let mut strip = Self::new(width, rows.len());
        for (y, row) in rows.enumerate() {
            strip.row_mut(y).copy_from_slice(row);
        }
        strip
    }

    /// The horizontal pass over each row; the rows hold just the taps' inputs.
    ///
    /// One weight applies to three bytes only, too few for a vector register. So [`ROWS`] rows are
    /// interleaved pixel by pixel, which makes a block of `3 · ROWS` bytes share each weight.
    fn filtered<'a>(mut rows: impl ExactSizeIterator<Item = &'a [[u8; 3]]>, taps: &Taps) -> Self {
        const BLOCK: usize = 3 * ROWS;
        let mut strip = Self::new(taps.len(), rows.len());
        let inputs = taps.inputs();
        let mut interleaved = vec![[0; BLOCK]; inputs.len()];
        let mut y = 0;
        while rows.len() > 0 {
            let count = rows.len().min(ROWS);
            for (lane, row) in rows.by_ref().take(ROWS).enumerate() {
                for (block, pixel) in interleaved.iter_mut().zip(row) {
                    block.as_chunks_mut().0[lane] = *pixel;
                }
            }
            let weighed: Vec<[u8; BLOCK]> =
                taps.iter().map(|tap| weigh(&tap, interleaved[tap.start - inputs.start..].iter())).collect();
            for lane in 0..count {
                for (pixel, block) in strip.row_mut(y + lane).iter_mut().zip(&weighed) {
                    *pixel = block.as_chunks().0[lane];
                }
            }
            y += count;
        }
        strip
    }

    /// The vertical pass; the strip's rows are just the taps' inputs.
    fn filtered_down(&self, taps: &Taps) -> Vec<u8> {
        let row_bytes = self.width * 3;
        let mut pixels = Vec::with_capacity(taps.len() * row_bytes);
        for tap in taps.iter() {
            let rows = &self.tiles[(tap.start - taps.inputs().start) * self.tiles_per_row..];
            let row_end = pixels.len() + row_bytes;
            for tile in 0..self.tiles_per_row {
                let column = rows[tile..].iter().step_by(self.tiles_per_row);
                pixels.extend_from_slice(&weigh(&tap, column)[..TILE.min(row_end - pixels.len())]);
            }
        }
        pixels
    }

    fn into_pixels(self) -> Vec<u8> {
        let row_bytes = self.width * 3;
        let padded = self.tiles.as_flattened().chunks_exact(self.tiles_per_row * TILE);
        padded.flat_map(|row| &row[..row_bytes]).copied().collect()
    }
}
