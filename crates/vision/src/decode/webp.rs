//! A look at a WebP's chunks before the decoder sees them.
//!
//! A frame states its own size beside the canvas's, and a chunk its length; the decoder makes room for both
//! before it compares them with what there is. A few bytes could so ask for gigabytes.

use super::Source;
use crate::VisionError;

/// Bytes of a data partition's largest size: the decoder makes room for it before it finds it cut off.
const PARTITION: u64 = 1 << 24;
/// Bytes of an animation frame's own header, before its chunks.
const FRAME_HEADER: usize = 16;

/// The bytes of the container alone, after checking that its chunks lie in the file, the size that each
/// frame states at `bytes_per_pixel`, and the room for a partition.
pub(super) fn checked<'a>(source: &Source<'a>, bytes_per_pixel: u64) -> Result<&'a [u8], VisionError> {
    let stated =
        source.bytes.get(4..).and_then(|bytes| bytes.first_chunk().copied()).map_or(0, u32::from_le_bytes);
    let container = &source.bytes[..source.bytes.len().min((stated as usize).saturating_add(8))];
    let mut at = 12;
    while let Some(header) = container.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let [kind @ .., a, b, c, d] = *header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let body = &container[at + 8..];
        at += 8;
        if length > body.len() {
            return Err(source.damaged(&"the file ends before the picture does"));
        }
        let size = match &kind {
            // Its chunks are walked like the others.
            b"ANMF" => {
                at += FRAME_HEADER;
                continue;
            }
            b"VP8 " => lossy_size(body),
            b"VP8L" => lossless_size(body),
            _ => None,
        };
        if let Some((width, height)) = size {
            source.check(width, height, bytes_per_pixel)?;
            if kind == *b"VP8 " && width * height * bytes_per_pixel + PARTITION > source.limits.max_bytes {
                return Err(source.too_much_memory());
            }
        }
        at += length + length % 2;
    }
    Ok(container)
}

/// Width and height of a VP8 frame: 14 bits each, behind a tag and a signature of 3 bytes each.
fn lossy_size(body: &[u8]) -> Option<(u64, u64)> {
    let &[_, _, _, _, _, _, a, b, c, d] = body.first_chunk()?;
    let side = |low, high| u64::from(u16::from_le_bytes([low, high]) & 0x3fff);
    Some((side(a, b), side(c, d)))
}

/// Width and height of a VP8L frame: 14 bits each, less one, behind a signature byte.
fn lossless_size(body: &[u8]) -> Option<(u64, u64)> {
    let &[_, a, b, c, d] = body.first_chunk()?;
    let bits = u64::from(u32::from_le_bytes([a, b, c, d]));
    Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
}
