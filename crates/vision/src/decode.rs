//! From bytes to a [`Picture`]. The content decides the format, never the name.

mod general;
mod jpeg;
mod tiff;
mod webp;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use image::{ImageFormat, metadata::Orientation};

use crate::orientation::upright;
use crate::{Picture, VisionError};

/// Extensions, in lower case, that pictures of the supported formats commonly have: for listing a folder.
/// Decoding itself does not look at them.
pub const EXTENSIONS: &[&str] =
    &["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "dib", "gif", "tif", "tiff"];

/// How much a picture may cost; guards against a small file that unfolds into a huge picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most pixels of a picture. The default is Pillow's limit for an error, 178 956 970.
    pub max_pixels: u64,
    /// Most bytes of memory that decoding one picture may hold at once, the finished picture included and
    /// the file's own bytes apart; also the most bytes a file may have. The default is 1 GiB.
    pub max_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_pixels: 178_956_970, max_bytes: 1 << 30 }
    }
}

/// Decodes the picture in a file.
///
/// # Errors
/// [`VisionError::Read`] where it cannot be read, and those of [`decode_bytes`].
pub fn decode_file(path: impl AsRef<Path>, limits: &Limits) -> Result<Picture, VisionError> {
    let path = path.as_ref();
    let name = path.display().to_string();
    let read = || {
        let mut bytes = Vec::new();
        // One byte more than allowed tells that there is more, without reading an endless file.
        File::open(path)?.take(limits.max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| VisionError::Read { name: name.clone(), source })?;
    decode_bytes(&bytes, &name, limits)
}

/// Decodes the picture in `bytes`: JPEG, PNG, WebP, BMP, GIF (its first frame) or TIFF. `name` is what
/// errors call it.
///
/// The result is what Pillow users get from `ImageOps.exif_transpose(Image.open(f)).convert("RGB")`: turned
/// upright by its EXIF orientation, alpha dropped without blending, grey repeated, palettes looked up, CMYK
/// as `(255 − C)(255 − K) / 255`, colour profiles ignored. Samples of 16 bits keep their high byte, grey
/// ones as well as RGB. JPEG and lossy WebP decoders may differ from Pillow's in rounding.
///
/// # Errors
/// [`VisionError::NotAPicture`], [`VisionError::Unsupported`], [`VisionError::Damaged`] (a truncated file
/// too), or a limit: [`VisionError::TooManyPixels`], [`VisionError::TooMuchMemory`].
pub fn decode_bytes(bytes: &[u8], name: &str, limits: &Limits) -> Result<Picture, VisionError> {
    Ok(decode_telling(bytes, name, limits)?.picture)
}

/// A picture, and how its file stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The picture, upright.
    pub picture: Picture,
    /// Width and height as stored, before the picture was turned upright.
    pub stored: [usize; 2],
    /// Whether the file asks for turning or mirroring, by its EXIF orientation.
    pub turned: bool,
}

/// As [`decode_bytes`], and tells how the file stores the picture.
///
/// # Errors
/// Those of [`decode_bytes`].
pub fn decode_telling(bytes: &[u8], name: &str, limits: &Limits) -> Result<Decoded, VisionError> {
    let source = Source { bytes, name, format: format(bytes, name)?, limits };
    if bytes.len() as u64 > limits.max_bytes {
        return Err(source.too_much_memory());
    }
    let Stored { width, height, pixels, orientation } = match source.format {
        ImageFormat::Jpeg => jpeg::decode(&source)?,
        _ => general::decode(&source)?,
    };
    let stored = [width, height];
    let turned = orientation != Orientation::NoTransforms;
    let (width, height, pixels) = upright(orientation, width, height, pixels);
    Ok(Decoded { picture: Picture::new(width, height, pixels)?, stored, turned })
}

fn format(bytes: &[u8], name: &str) -> Result<ImageFormat, VisionError> {
    match image::guess_format(bytes) {
        Ok(
            format @ (ImageFormat::Jpeg
            | ImageFormat::Png
            | ImageFormat::WebP
            | ImageFormat::Bmp
            | ImageFormat::Gif
            | ImageFormat::Tiff),
        ) => Ok(format),
        _ => Err(VisionError::NotAPicture { name: name.into() }),
    }
}

/// A picture as its file stores it, already 8-bit RGB.
struct Stored {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
    orientation: Orientation,
}

/// What a decoder works on, and how it words its errors.
struct Source<'a> {
    bytes: &'a [u8],
    name: &'a str,
    format: ImageFormat,
    limits: &'a Limits,
}

impl Source<'_> {
    /// Checks the size that a header states; `bytes_per_pixel` is all that decoding will hold at once.
    fn check(&self, width: u64, height: u64, bytes_per_pixel: u64) -> Result<(), VisionError> {
        let pixels = width.saturating_mul(height);
        if pixels == 0 {
            return Err(self.damaged(&"it has no pixels"));
        }
        if pixels > self.limits.max_pixels {
            let (name, limit) = (self.name.into(), self.limits.max_pixels);
            return Err(VisionError::TooManyPixels { name, width, height, limit });
        }
        if pixels.saturating_mul(bytes_per_pixel) > self.limits.max_bytes {
            return Err(self.too_much_memory());
        }
        Ok(())
    }

    fn too_much_memory(&self) -> VisionError {
        VisionError::TooMuchMemory { name: self.name.into(), limit: self.limits.max_bytes }
    }

    fn damaged(&self, reason: &impl ToString) -> VisionError {
        VisionError::Damaged { name: self.name.into(), format: self.label(), reason: reason.to_string() }
    }

    fn unsupported(&self, reason: &impl ToString) -> VisionError {
        VisionError::Unsupported { name: self.name.into(), format: self.label(), reason: reason.to_string() }
    }

    fn label(&self) -> &'static str {
        match self.format {
            ImageFormat::Jpeg => "JPEG",
            ImageFormat::Png => "PNG",
            ImageFormat::WebP => "WebP",
            ImageFormat::Bmp => "BMP",
            ImageFormat::Gif => "GIF",
            _ => "TIFF",
        }
    }
}
