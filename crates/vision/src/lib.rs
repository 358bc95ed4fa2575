//! From the bytes of a picture to a network's input.
//!
//! ```text
//! decode_file / decode_bytes   any supported file → Picture (8-bit RGB, upright)
//! resize                       Pillow's bilinear and bicubic, equal to the byte
//! preprocess                   resize, centre crop, normalise → f32, NHWC
//! ```
//!
//! And the boxes of a picture: [`PixelBox`] by corners, [`CocoBox`] by corner and size.

mod boxes;
mod decode;
mod error;
mod orientation;
mod picture;
mod preprocess;
mod resize;

pub use boxes::{CocoBox, PixelBox};
pub use decode::{EXTENSIONS, Limits, decode_bytes, decode_file};
pub use error::VisionError;
pub use picture::Picture;
pub use preprocess::{preprocess, preprocess_into};
pub use resize::resize;
