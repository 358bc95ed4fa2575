//! JPEG: baseline and progressive; grey, YCbCr, RGB, CMYK and YCCK.

use image::metadata::Orientation;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::{Source, Stored};
use crate::VisionError;

pub(super) fn decode(source: &Source) -> Result<Stored, VisionError> {
    // Not strict: like libjpeg, forgive stray bytes between segments. A file that ends early is refused
    // here, for the decoder would fill the rest with grey.
    if !ends(source.bytes) {
        return Err(source.damaged(&"the file ends before the picture does"));
    }
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(source.bytes), options);
    decoder.decode_headers().map_err(|error| explained(source, &error))?;
    let (width, height) = decoder.dimensions().ok_or_else(|| source.damaged(&"it states no size"))?;
    source.check(width as u64, height as u64, bytes_per_pixel(&decoder))?;

    let mut pixels = vec![0; width * height * 3];
    decoder.decode_into(&mut pixels).map_err(|error| explained(source, &error))?;
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    Ok(Stored { width, height, pixels, orientation: orientation.unwrap_or(Orientation::NoTransforms) })
}

/// The picture, once more for turning it, and for a progressive file all its coefficients.
fn bytes_per_pixel(decoder: &JpegDecoder<ZCursor<&[u8]>>) -> u64 {
    let Some(info) = decoder.info() else { return 6 };
    let coefficients = if info.sof.is_sequential_dct() { 0 } else { 2 * u64::from(info.components) };
    3 + coefficients.max(3)
}

fn explained(source: &Source, error: &DecodeErrors) -> VisionError {
    match error {
        DecodeErrors::Unsupported(scheme) => source.unsupported(&format!("{scheme:?}")),
        error => source.damaged(error),
    }
}

/// Whether the end-of-image marker comes, walking the segments so that a thumbnail's does not count.
fn ends(bytes: &[u8]) -> bool {
    const END: u8 = 0xd9;
    let mut rest = &bytes[2.min(bytes.len())..];
    while let Some(marker_at) = rest.iter().position(|&byte| byte == 0xff) {
        rest = &rest[marker_at + 1..];
        match rest.first() {
            Some(&END) => return true,
            // Fill bytes, stuffed data, a start of image or a restart: no length follows.
            Some(0xff | 0x00 | 0x01 | 0xd0..=0xd8) => {}
            _ => {
                let Some(&[_, high, low]) = rest.first_chunk() else { return false };
                let length = usize::from(u16::from_be_bytes([high, low])) + 1;
                rest = rest.get(length..).unwrap_or(&[]);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::ends;

    #[test]
    fn the_end_is_that_of_the_picture() {
        assert!(ends(&[0xff, 0xd8, 0xff, 0xd9]));
        // A segment holding an end marker, scan data with stuffing and a restart, then the end.
        let whole =
            [0xff, 0xd8, 0xff, 0xe1, 0, 4, 0xff, 0xd9, 0xff, 0xda, 0, 2, 7, 0xff, 0, 0xff, 0xd3, 0xff, 0xd9];
        assert!(ends(&whole));
        for end in 0..whole.len() {
            assert!(!ends(&whole[..end]), "{end}");
        }
    }
}
