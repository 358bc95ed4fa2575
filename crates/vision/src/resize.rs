//! Resizing that equals Pillow's bilinear and bicubic to the byte on 8-bit pictures.
//!
//! Two passes, horizontal and vertical, each rounding to 8 bits. A pass is a table of taps: for each
//! output sample the run of input samples under the filter and their weights in fixed point. When
//! shrinking, the filter is stretched by the scale, so every input pixel counts (antialiasing).

mod taps;

use effigy_arch::Interpolation;

use crate::Picture;
use taps::{Tap, Taps, weigh};

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
const ROWS: usize = TILE;
/// One pixel of each of these rows.
type Block = [[u8; TILE]; 3];

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
    /// One weight applies to three bytes only, too few for a vector register. With [`ROWS`]
    /// rows interleaved pixel by pixel, a block of `3 · ROWS` bytes shares each weight.
    fn filtered<'a>(mut rows: impl ExactSizeIterator<Item = &'a [[u8; 3]]>, taps: &Taps) -> Self {
        let mut strip = Self::new(taps.len(), rows.len());
        let inputs = taps.inputs();
        let mut interleaved = vec![Block::default(); inputs.len()];
        let mut weighed = vec![Block::default(); taps.len()];
        let mut y = 0;
        while rows.len() > 0 {
            let count = rows.len().min(ROWS);
            // A last group of fewer rows repeats its last one.
            let mut group = [&[][..]; ROWS];
            for lane in 0..ROWS {
                group[lane] = rows.next().unwrap_or(group[count - 1]);
            }
            interleave(&group, &mut interleaved);
            weigh_blocks(taps, &interleaved, &mut weighed);
            for lane in 0..count {
                for (pixel, block) in strip.row_mut(y + lane).iter_mut().zip(&weighed) {
                    *pixel = block.as_flattened().as_chunks().0[lane];
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
        let mut row = vec![[0; TILE]; self.tiles_per_row];
        for tap in taps.iter() {
            weigh_row(&tap, &self.tiles[(tap.start - taps.inputs().start) * self.tiles_per_row..], &mut row);
            pixels.extend_from_slice(&row.as_flattened()[..row_bytes]);
        }
        pixels
    }

    fn into_pixels(self) -> Vec<u8> {
        let row_bytes = self.width * 3;
        let padded = self.tiles.as_flattened().chunks_exact(self.tiles_per_row * TILE);
        padded.flat_map(|row| &row[..row_bytes]).copied().collect()
    }
}

/// A block for each pixel of the rows, which are all as long.
fn interleave(rows: &[&[[u8; 3]]; ROWS], blocks: &mut [Block]) {
    let rows = rows.map(|row| &row[..blocks.len()]);
    for (x, block) in blocks.iter_mut().enumerate() {
        let (pixels, _) = block.as_flattened_mut().as_chunks_mut();
        for lane in 0..ROWS {
            pixels[lane] = rows[lane][x];
        }
    }
}

/// Each output block of `taps` from its run of `inputs`, which begin at the first tap's first input.
fn weigh_blocks(taps: &Taps, inputs: &[Block], outputs: &mut [Block]) {
    let first = taps.inputs().start;
    for (output, tap) in outputs.iter_mut().zip(taps.iter()) {
        weigh_row(&tap, inputs[tap.start - first..].as_flattened(), output);
    }
}

/// One output row from the run of input rows that `rows` begins with, both in tiles.
fn weigh_row(tap: &Tap, rows: &[[u8; TILE]], output: &mut [[u8; TILE]]) {
    let tiles_per_row = output.len();
    for (tile, output) in output.iter_mut().enumerate() {
        *output = weigh(tap, rows[tile..].iter().step_by(tiles_per_row));
    }
}
