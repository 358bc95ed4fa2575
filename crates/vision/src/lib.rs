//! From the bytes of a picture to a network's input.
//!
//! ```text
//! decode_file / decode_bytes   any supported file → Picture (8-bit RGB, upright)
//! resize                       Pillow's bilinear and bicubic, equal to the byte
//! preprocess                   resize, centre crop, normalise → f32, NHWC
//! letterbox                    resize to fit, normalise → f32, NHWC, and the way back to the picture
//! detections                   a detector's outputs → scored boxes in the picture's pixels
//! draw, encode                 marks drawn into a picture; a picture as a file's bytes
//! ```
//!
//! And the boxes of a picture: [`PixelBox`] by corners, [`CocoBox`] by corner and size.

mod boxes;
mod decode;
mod detection;
mod draw;
mod error;
mod letterbox;
mod normalised;
mod orientation;
mod picture;
mod preprocess;
mod resize;

pub use boxes::{CocoBox, PixelBox};
pub use decode::{Decoded, EXTENSIONS, Limits, decode_bytes, decode_file, decode_telling};
pub use detection::{
    Candidates, Clip, Level, NotFinite, PostProcessing, ScoredBox, Share, Suppression, Workers, detections,
    detections_shared,
};
pub use draw::{EncodeError, Mark, PictureFormat, class_colour, draw, encode};
pub use error::VisionError;
pub use letterbox::{InputBox, Placement, fill_into, letterbox, letterbox_into, place_into};
pub use normalised::normalise_into;
pub use picture::Picture;
pub use preprocess::{cropped, preprocess, preprocess_into};
pub use resize::resize;
