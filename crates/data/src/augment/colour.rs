//! Changes of colour, each as Pillow makes it, to the byte.

use effigy_vision::Picture;

/// What each byte of a channel becomes.
type Table = [u8; 256];

/// Towards black (`factor` 0) or away from it (above 1): `ImageEnhance.Brightness`.
#[must_use]
pub fn brightness(picture: Picture, factor: f32) -> Picture {
    let table = blended(0, factor);
    mapped(picture, [&table; 3])
}

/// Towards its mean grey or away from it: `ImageEnhance.Contrast`.
#[must_use]
pub fn contrast(picture: Picture, factor: f32) -> Picture {
    let sum: u64 = pixels(&picture).iter().map(|&pixel| u64::from(luma(pixel))).sum();
    let mean = (sum as f64 / pixels(&picture).len() as f64 + 0.5) as u8;
    let table = blended(mean, factor);
    mapped(picture, [&table; 3])
}

/// Towards grey or away from it: `ImageEnhance.Color`.
#[must_use]
pub fn saturation(mut picture: Picture, factor: f32) -> Picture {
    for pixel in picture.pixels_mut().as_chunks_mut::<3>().0 {
        let grey = luma(*pixel);
        *pixel = pixel.map(|sample| blend(grey, sample, factor));
    }
    picture
}

/// Towards a smoothed picture or away from it: `ImageEnhance.Sharpness`. The outermost pixels stay.
#[must_use]
pub fn sharpness(picture: &Picture, factor: f32) -> Picture {
    let (width, height) = (picture.width(), picture.height());
    let mut sharp = picture.clone();
    let (outputs, _) = sharp.pixels_mut().as_chunks_mut::<3>();
    for y in 1..height.saturating_sub(1) {
        let rows = [picture.row(y - 1), picture.row(y), picture.row(y + 1)];
        for x in 1..width.saturating_sub(1) {
            outputs[y * width + x] = std::array::from_fn(|channel| {
                let sum: u32 =
                    rows.iter().flat_map(|row| &row[x - 1..x + 2]).map(|p| u32::from(p[channel])).sum();
                let own = rows[1][x][channel];
                // The middle counts five times, thirteen in all; rounded.
                let smooth = (2 * (sum + 4 * u32::from(own)) + 13) / 26;
                blend(smooth as u8, own, factor)
            });
        }
    }
    sharp
}

/// Every channel spread over all values: `ImageOps.autocontrast`.
#[must_use]
pub fn autocontrast(picture: Picture) -> Picture {
    let tables = histograms(&picture).map(|counts| {
        let low = counts.iter().position(|&count| count > 0).unwrap_or(0);
        let high = counts.iter().rposition(|&count| count > 0).unwrap_or(0);
        if high <= low {
            return identity();
        }
        let scale = 255.0 / (high - low) as f64;
        let offset = -(low as f64) * scale;
        // Cut off below 0 and above 255.
        std::array::from_fn(|value| (value as f64 * scale + offset) as u8)
    });
    mapped(picture, tables.each_ref())
}

/// Every channel so that its values are equally frequent: `ImageOps.equalize`.
#[must_use]
pub fn equalize(picture: Picture) -> Picture {
    let tables = histograms(&picture).map(|counts| {
        let last = counts.iter().rfind(|&&count| count > 0).copied().unwrap_or(0);
        let step = (counts.iter().sum::<usize>() - last) / 255;
        if step == 0 {
            return identity();
        }
        let mut below = step / 2;
        counts.map(|count| {
            let value = (below / step).min(255) as u8;
            below += count;
            value
        })
    });
    mapped(picture, tables.each_ref())
}

/// Its negative: `ImageOps.invert`.
#[must_use]
pub fn invert(picture: Picture) -> Picture {
    let table = std::array::from_fn(|value| 255 - value as u8);
    mapped(picture, [&table; 3])
}

/// The negative of all values from `threshold` on: `ImageOps.solarize`.
#[must_use]
pub fn solarize(picture: Picture, threshold: u16) -> Picture {
    let flip = |value: u8| if u16::from(value) < threshold { value } else { 255 - value };
    let table = std::array::from_fn(|value| flip(value as u8));
    mapped(picture, [&table; 3])
}

/// Values below 128 raised by `amount`: google/automl's `solarize_add`.
#[must_use]
pub fn solarize_add(picture: Picture, amount: u8) -> Picture {
    let table = std::array::from_fn(|value| match value as u8 {
        value if value < 128 => value.saturating_add(amount),
        value => value,
    });
    mapped(picture, [&table; 3])
}

/// Only so many bits, 0 to 8, of every value: `ImageOps.posterize`.
#[must_use]
pub fn posterize(picture: Picture, bits: u8) -> Picture {
    let mask = !(0xff_u16 >> bits.min(8)) as u8;
    let table = std::array::from_fn(|value| value as u8 & mask);
    mapped(picture, [&table; 3])
}

fn pixels(picture: &Picture) -> &[[u8; 3]] {
    picture.pixels().as_chunks().0
}

/// The luma of ITU-R BT.601 in Pillow's fixed point.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((19_595 * u32::from(r) + 38_470 * u32::from(g) + 7_471 * u32::from(b) + 0x8000) >> 16) as u8
}

/// Pillow's `Image.blend`: cut off to whole numbers, and to 0 and 255.
fn blend(from: u8, to: u8, share: f32) -> u8 {
    (f32::from(from) + share * (f32::from(to) - f32::from(from))) as u8
}

fn blended(from: u8, share: f32) -> Table {
    std::array::from_fn(|value| blend(from, value as u8, share))
}

fn identity() -> Table {
    std::array::from_fn(|value| value as u8)
}

fn histograms(picture: &Picture) -> [[usize; 256]; 3] {
    let mut counts = [[0; 256]; 3];
    for pixel in pixels(picture) {
        for (counts, &sample) in counts.iter_mut().zip(pixel) {
            counts[usize::from(sample)] += 1;
        }
    }
    counts
}

fn mapped(mut picture: Picture, tables: [&Table; 3]) -> Picture {
    for pixel in picture.pixels_mut().as_chunks_mut::<3>().0 {
        *pixel = std::array::from_fn(|channel| tables[channel][usize::from(pixel[channel])]);
    }
    picture
}
