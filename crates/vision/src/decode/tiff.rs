//! A look at a TIFF's directory before the decoder sees it.
//!
//! The decoder unfolds each tag's values into a list of about 90 bytes a value, reserved by the count that
//! the tag states, before any limit can be set. A few bytes could so ask for hundreds of megabytes.

use super::Source;
use crate::VisionError;

/// Bytes that the decoder may hold for one value of a tag.
const UNFOLDED: u64 = 96;

/// Checks that the values of each tag in the first directory lie in the file and unfold within the limit.
pub(super) fn check(source: &Source) -> Result<(), VisionError> {
    let file = File::new(source.bytes);
    let tags = file.and_then(|file| Some((file, file.tags()?)));
    let (file, tags) = tags.ok_or_else(|| source.damaged(&"its directory is not in the file"))?;
    for tag in tags {
        let size = file.value_bytes(tag).ok_or_else(|| source.damaged(&"its directory ends early"))?;
        if size > source.bytes.len() as u64 {
            return Err(source.damaged(&"a tag's values are not in the file"));
        }
        if size * UNFOLDED > source.limits.max_bytes {
            return Err(source.too_much_memory());
        }
    }
    Ok(())
}

/// The bytes with their byte order, and whether offsets are 64 bits wide (BigTIFF).
#[derive(Clone, Copy)]
struct File<'a> {
    bytes: &'a [u8],
    little: bool,
    big: bool,
}

impl<'a> File<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let mut file = Self { bytes, little: bytes.starts_with(b"II"), big: false };
        file.big = file.number(2, 2)? == 43;
        Some(file)
    }

    /// Where the first directory's tags begin, each 12 bytes long or 20 in a BigTIFF.
    fn tags(self) -> Option<impl Iterator<Item = u64>> {
        let (offset_at, offset_width, count_width, tag) =
            if self.big { (8, 8, 8, 20) } else { (4, 4, 2, 12) };
        let directory = self.number(offset_at, offset_width)?;
        let count = self.number(directory, count_width)?;
        let first = directory.checked_add(count_width as u64)?;
        let end = count.checked_mul(tag).and_then(|size| size.checked_add(first))?;
        (end <= self.bytes.len() as u64).then(|| (first..end).step_by(tag as usize))
    }

    /// Bytes of the values of the tag at `at`; a kind of value that is not known counts as a byte.
    fn value_bytes(self, at: u64) -> Option<u64> {
        let kind = self.number(at + 2, 2)?;
        let count = self.number(at + 4, if self.big { 8 } else { 4 })?;
        let size = match kind {
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            _ => 1,
        };
        Some(count.saturating_mul(size))
    }

    /// The unsigned number of `width` bytes, at most 8, at `at`.
    fn number(self, at: u64, width: usize) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let bytes = self.bytes.get(at..at.checked_add(width)?)?;
        let append = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        Some(if self.little { bytes.iter().rev().fold(0, append) } else { bytes.iter().fold(0, append) })
    }
}
