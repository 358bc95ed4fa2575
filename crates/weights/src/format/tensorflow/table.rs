//! A sorted table of keys and values, as LevelDB has it.
//!
//! <https://github.com/google/leveldb/blob/main/doc/table_format.md>; TensorFlow's `core/lib/io/table`
//! keeps the format. Blocks hold entries whose keys leave out what they share with the key before; an index
//! block at the end, found through the footer, says where the others are.

use std::ops::Range;

use crate::format::tensorflow::proto::Reader;
use crate::format::tensorflow::{MAX_NAME_BYTES, is_intact};
use crate::format::{FormatError, MAX_TENSORS, slice};

const FOOTER: usize = 48;
const MAGIC: [u8; 8] = 0xdb47_7524_8b80_fb57_u64.to_le_bytes();
/// The kind of compression and the checksum, after each block.
const TRAILER: usize = 5;

pub(super) fn is_table(bytes: &[u8]) -> bool {
    bytes.len() >= FOOTER && bytes.ends_with(&MAGIC)
}

/// Calls `each` with every key and its value, in order.
pub(super) fn read(
    bytes: &[u8],
    mut each: impl FnMut(&[u8], Reader<'_>) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let start =
        bytes.len().checked_sub(FOOTER).ok_or(FormatError::Truncated { what: "the table's footer" })?;
    let mut footer = Reader::new(&bytes[start..], start);
    // The block before the index is about filters, of which TensorFlow writes none.
    let _ = (footer.varint()?, footer.varint()?);
    let index = block(bytes, &mut footer)?.0;
    let (mut key, mut count, mut end) = (Vec::new(), 0, 0);
    entries(index, &mut Vec::new(), |_, mut handle| {
        let (block, range) = block(bytes, &mut handle)?;
        // A block that is given again and again would make much work of a small file.
        if range.start < end {
            return Err(handle.malformed("the table's blocks overlap"));
        }
        end = range.end;
        entries(block, &mut key, |key, value| {
            count += 1;
            if count > MAX_TENSORS {
                return Err(FormatError::Limit { what: "the number of tensors", limit: MAX_TENSORS });
            }
            each(key, value)
        })
    })
}

/// The entries of the block to which `handle`, an offset and a length, points; and where the block is.
fn block<'a>(bytes: &'a [u8], handle: &mut Reader<'_>) -> Result<(Reader<'a>, Range<usize>), FormatError> {
    const WHAT: &str = "a block of the table";
    let (offset, len) = (handle.varint()?, handle.varint()?);
    let number = |n| usize::try_from(n).map_err(|_| FormatError::Truncated { what: WHAT });
    let (offset, len) = (number(offset)?, number(len)?);
    let whole = slice(bytes, offset, len.saturating_add(TRAILER), WHAT)?;
    let malformed = |what| FormatError::Malformed { what, at: offset };
    let (content, checksum) = whole.split_at(len + 1);
    if !is_intact(content, u32::from_le_bytes(checksum.try_into().expect("four bytes are left"))) {
        return Err(malformed("a block of the table has another checksum than it should"));
    }
    match content[len] {
        0 => {}
        1 => {
            return Err(FormatError::Unsupported {
                what: "the index is compressed (Snappy), which TensorFlow does not do by itself; load the checkpoint \
                       with TensorFlow and save it again"
                    .to_owned(),
            });
        }
        _ => return Err(malformed("a block of the table is compressed in an unknown way")),
    }
    // At the end are offsets of entries from which a search may start, and their number.
    let (entries, restarts) =
        content[..len].split_last_chunk::<4>().ok_or_else(|| malformed("a block has no end"))?;
    let restarts = usize::try_from(u32::from_le_bytes(*restarts)).unwrap_or(usize::MAX);
    let end = entries.len().checked_sub(restarts.saturating_mul(4));
    let end = end.ok_or_else(|| malformed("a block has more restarts than it has room"))?;
    Ok((Reader::new(&entries[..end], offset), offset..offset + whole.len()))
}

/// Calls `each` with every entry of a block. `key` is the last key before it, and becomes its last.
fn entries(
    mut block: Reader<'_>,
    key: &mut Vec<u8>,
    mut each: impl FnMut(&[u8], Reader<'_>) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let mut is_first = key.is_empty();
    let mut before = Vec::new();
    let mut shareable = 0;
    while !block.is_empty() {
        let (shared, new, len) = (block.varint()?, block.varint()?, block.varint()?);
        let shared = usize::try_from(shared).ok().filter(|&shared| shared <= shareable);
        let shared = shared.ok_or_else(|| block.malformed("a key shares more than the key before it has"))?;
        let new = block.take(new, "a key")?;
        if shared + new.len() > MAX_NAME_BYTES {
            return Err(FormatError::Limit { what: "a tensor's name in bytes", limit: MAX_NAME_BYTES });
        }
        before.clone_from(key);
        key.truncate(shared);
        key.extend_from_slice(new);
        if !is_first && *key <= before {
            return Err(block.malformed("the table's keys do not ascend"));
        }
        (is_first, shareable) = (false, key.len());
        let value = block.take(len, "a value")?;
        each(key, block.over(value))?;
    }
    Ok(())
}
