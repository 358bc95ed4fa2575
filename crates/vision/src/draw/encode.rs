//! From a picture to the bytes of a file.

use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageFormat};

use crate::Picture;

/// JPEG's quality, 1 to 100: text and thin lines stay clean.
const QUALITY: u8 = 92;

/// How a picture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureFormat {
    /// Small, nearly as it was.
    Jpeg,
    /// Exactly as it was.
    Png,
    /// Exactly as it was.
    WebP,
    /// Exactly as it was, not compressed.
    Bmp,
    /// 256 colours.
    Gif,
    /// Exactly as it was, not compressed.
    Tiff,
}

/// A picture that a format cannot hold.
#[derive(Debug, thiserror::Error)]
#[error("a picture of {width}×{height} cannot be written as {format:?} ({reason}); write it as PNG")]
pub struct EncodeError {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// The format.
    pub format: PictureFormat,
    /// The encoder's words.
    pub reason: String,
}

impl PictureFormat {
    /// The format that a path's extension stands for, if any.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_lowercase();
        Some(match extension.as_str() {
            "jpg" | "jpeg" | "jpe" | "jfif" => Self::Jpeg,
            "png" => Self::Png,
            "webp" => Self::WebP,
            "bmp" | "dib" => Self::Bmp,
            "gif" => Self::Gif,
            "tif" | "tiff" => Self::Tiff,
            _ => return None,
        })
    }
}

/// The bytes of a file that holds `picture`.
///
/// # Errors
/// [`EncodeError`] where the format cannot hold it: JPEG and GIF have at most 65535 pixels a side, WebP 16383.
pub fn encode(picture: &Picture, format: PictureFormat) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Cursor::new(Vec::new());
    let (width, height) = (picture.width(), picture.height());
    let error = |reason: String| EncodeError { width, height, format, reason };
    let side = |side: usize| u32::try_from(side).map_err(|_| error("too large".into()));
    let (columns, rows, colour) = (side(width)?, side(height)?, ExtendedColorType::Rgb8);
    let mut write =
        |format| image::write_buffer_with_format(&mut bytes, picture.pixels(), columns, rows, colour, format);
    let written = match format {
        PictureFormat::Jpeg => JpegEncoder::new_with_quality(&mut bytes, QUALITY).write_image(
            picture.pixels(),
            columns,
            rows,
            colour,
        ),
        PictureFormat::Png => write(ImageFormat::Png),
        PictureFormat::WebP => write(ImageFormat::WebP),
        PictureFormat::Bmp => write(ImageFormat::Bmp),
        PictureFormat::Gif => write(ImageFormat::Gif),
        PictureFormat::Tiff => write(ImageFormat::Tiff),
    };
    written.map_err(|reason| error(reason.to_string()))?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, decode_bytes};

    #[test]
    fn what_is_written_can_be_read() {
        // 240 colours, which GIF's palette holds.
        let pixels =
            (0..48 * 45).flat_map(|i| [(i % 48 / 3 * 16) as u8, (i / 48 / 3 * 16) as u8, 90]).collect();
        let picture = Picture::new(48, 45, pixels).unwrap();
        let names = [("a.jpg", 24), ("a.PNG", 0), ("a.webp", 0), ("a.bmp", 0), ("a.gif", 0), ("a.tiff", 0)];
        for (name, tolerance) in names {
            let format = PictureFormat::of(Path::new(name)).unwrap();
            let bytes = encode(&picture, format).unwrap();
            let read = decode_bytes(&bytes, name, &Limits::default()).unwrap();
            assert_eq!((read.width(), read.height()), (48, 45));
            let pairs = read.pixels().iter().zip(picture.pixels());
            let worst = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(worst <= tolerance, "{name}: {worst}");
        }
        assert_eq!(PictureFormat::of(Path::new("a.mp4")), None);
    }

    #[test]
    fn too_large_for_a_format() {
        let picture = Picture::new(70_000, 1, vec![0; 210_000]).unwrap();
        let error = encode(&picture, PictureFormat::Jpeg).unwrap_err();
        assert!(error.to_string().starts_with("a picture of 70000×1 cannot be written as Jpeg"), "{error}");
        assert!(encode(&picture, PictureFormat::Png).is_ok());
    }
}
