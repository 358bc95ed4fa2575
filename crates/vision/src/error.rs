//! What can go wrong with a picture; every message names the picture and says what to do.

use std::io;

/// Why a picture could not be had. `name` is the path, or the name the caller gave the bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VisionError {
    /// The file could not be opened or read.
    #[error("{name}: cannot be read: {source}")]
    Read {
        /// The picture.
        name: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The content is in none of the formats that are read, whatever its extension says.
    #[error(
        "{name}: no picture in a known format (JPEG, PNG, WebP, BMP, GIF, TIFF); convert it to one of these"
    )]
    NotAPicture {
        /// The picture.
        name: String,
    },
    /// A sound file that uses a part of its format that is not read.
    #[error("{name}: this kind of {format} is not supported ({reason}); save it as an 8-bit RGB PNG or JPEG")]
    Unsupported {
        /// The picture.
        name: String,
        /// The format its content has.
        format: &'static str,
        /// The decoder's words.
        reason: String,
    },
    /// The file ends early, or its content contradicts itself.
    #[error("{name}: damaged or truncated {format} ({reason}); fetch or export it again")]
    Damaged {
        /// The picture.
        name: String,
        /// The format its content has.
        format: &'static str,
        /// The decoder's words.
        reason: String,
    },
    /// More pixels than [`Limits::max_pixels`](crate::Limits::max_pixels).
    #[error(
        "{name}: {width}×{height} pixels, over the limit of {limit} pixels; shrink it or raise `max_pixels`"
    )]
    TooManyPixels {
        /// The picture.
        name: String,
        /// Width in pixels, as stored.
        width: u64,
        /// Height in pixels, as stored.
        height: u64,
        /// The limit, in pixels.
        limit: u64,
    },
    /// More memory than [`Limits::max_bytes`](crate::Limits::max_bytes).
    #[error("{name}: needs more than the limit of {limit} bytes of memory; shrink it or raise `max_bytes`")]
    TooMuchMemory {
        /// The picture.
        name: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Pixels that do not fill the stated width and height, or a side of no pixels.
    #[error("a picture of {width}×{height} needs width × height × 3 > 0 bytes, but has {bytes}")]
    Shape {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Bytes given.
        bytes: usize,
    },
}
