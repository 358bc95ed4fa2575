//! Every format but JPEG, through the `image` crate.

use std::io::Cursor;

use image::codecs::{
    bmp::BmpDecoder, gif::GifDecoder, png::PngDecoder, tiff::TiffDecoder, webp::WebPDecoder,
};
use image::{ColorType, ImageDecoder, ImageError, ImageFormat};

use super::{Source, Stored};
use crate::VisionError;

pub(super) fn decode(source: &Source) -> Result<Stored, VisionError> {
    let reader = Cursor::new(source.bytes);
    let explain = |error| explained(source, error);
    match source.format {
        ImageFormat::Png => {
            // The limit must be known before the header's chunks are read.
            let mut limits = image::Limits::default();
            limits.max_alloc = Some(source.limits.max_bytes);
            read(source, PngDecoder::with_limits(reader, limits).map_err(explain)?)
        }
        ImageFormat::WebP => {
            let container = super::webp::checked(source, 4 + 3 + scratch(source.format))?;
            read(source, WebPDecoder::new(Cursor::new(container)).map_err(explain)?)
        }
        ImageFormat::Bmp => read(source, BmpDecoder::new(reader).map_err(explain)?),
        ImageFormat::Gif => read(source, GifDecoder::new(reader).map_err(explain)?),
        _ => {
            super::tiff::check(source)?;
            read(source, TiffDecoder::new(reader).map_err(explain)?)
        }
    }
}

fn read(source: &Source, mut decoder: impl ImageDecoder) -> Result<Stored, VisionError> {
    let explain = |error| explained(source, error);
    let (width, height) = decoder.dimensions();
    let colour = decoder.color_type();
    let stored = u64::from(colour.bytes_per_pixel());
    source.check(u64::from(width), u64::from(height), stored + 3 + scratch(source.format))?;

    let left = source.limits.max_bytes - u64::from(width) * u64::from(height) * (stored + 3);
    let mut limits = image::Limits::default();
    // The GIF decoder counts a frame's colours, but not the palette indices that it holds beside them.
    limits.max_alloc = Some(if source.format == ImageFormat::Gif { left / 4 * 3 } else { left });
    decoder.set_limits(limits).map_err(explain)?;
    let orientation = decoder.orientation().map_err(explain)?;

    let mut samples = vec![0; (u64::from(width) * u64::from(height) * stored) as usize];
    decoder.read_image(&mut samples).map_err(explain)?;
    let pixels = to_rgb(samples, colour).ok_or_else(|| source.unsupported(&format!("{colour:?} samples")))?;
    Ok(Stored { width: width as usize, height: height as usize, pixels, orientation })
}

/// Bytes per pixel that a decoder holds beside its result, where it does not heed a limit itself.
fn scratch(format: ImageFormat) -> u64 {
    match format {
        ImageFormat::WebP | ImageFormat::Gif => 8,
        _ => 0,
    }
}

/// 8-bit RGB from a decoder's samples; 16-bit ones are in native byte order and keep their high byte.
/// None for floats.
fn to_rgb(samples: Vec<u8>, colour: ColorType) -> Option<Vec<u8>> {
    const HIGH: usize = if cfg!(target_endian = "little") { 1 } else { 0 };
    let pixels = match colour {
        ColorType::Rgb8 => samples,
        ColorType::L8 => samples.iter().flat_map(|&grey| [grey; 3]).collect(),
        ColorType::La8 => map::<2>(&samples, |[grey, _]| [grey; 3]),
        ColorType::Rgba8 => map::<4>(&samples, |[r, g, b, _]| [r, g, b]),
        ColorType::L16 => map::<2>(&samples, |grey| [grey[HIGH]; 3]),
        ColorType::La16 => map::<4>(&samples, |grey| [grey[HIGH]; 3]),
        ColorType::Rgb16 => map::<6>(&samples, |rgb| [rgb[HIGH], rgb[2 + HIGH], rgb[4 + HIGH]]),
        ColorType::Rgba16 => map::<8>(&samples, |rgba| [rgba[HIGH], rgba[2 + HIGH], rgba[4 + HIGH]]),
        _ => return None,
    };
    Some(pixels)
}

fn map<const BYTES: usize>(samples: &[u8], pixel: impl Fn([u8; BYTES]) -> [u8; 3]) -> Vec<u8> {
    let (samples, _) = samples.as_chunks::<BYTES>();
    let mut pixels = Vec::with_capacity(samples.len() * 3);
    for &sample in samples {
        pixels.extend_from_slice(&pixel(sample));
    }
    pixels
}

fn explained(source: &Source, error: ImageError) -> VisionError {
    match error {
        ImageError::Limits(_) => source.too_much_memory(),
        ImageError::Unsupported(error) => source.unsupported(&error),
        error => source.damaged(&error),
    }
}
