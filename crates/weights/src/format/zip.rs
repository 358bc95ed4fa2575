//! The members of a zip archive whose members are stored as they are, as `torch.save` writes them.
//!
//! Follows PKWARE's APPNOTE 6.3: the end record (4.3.16), its zip64 form (4.3.14), the central
//! directory (4.3.12) and the local headers (4.3.7).

use std::ops::Range;

use super::{FormatError, MAX_ZIP_ENTRIES, slice};

/// A member: its name and its bytes within the archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) range: Range<usize>,
}

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END64: &[u8] = b"PK\x06\x06";
const LOCATOR64: &[u8] = b"PK\x06\x07";
const END_LEN: usize = 22;
const LOCATOR64_LEN: usize = 20;
/// The longest comment that can stand behind the end record.
const MAX_COMMENT: usize = 0xffff;
const STORED: u16 = 0;
const ENCRYPTED: u16 = 1;

/// Whether the bytes begin and end like a zip archive.
pub(super) fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(LOCAL) && end_record(bytes).is_some()
}

/// Every member, in the order of the directory.
pub(super) fn members(bytes: &[u8]) -> Result<Vec<Member>, FormatError> {
    let end = end_record(bytes).ok_or(FormatError::Truncated { what: "the zip archive's directory" })?;
    let (count, mut at) = directory(bytes, end)?;
    if count > MAX_ZIP_ENTRIES {
        return Err(FormatError::Limit { what: "the number of members", limit: MAX_ZIP_ENTRIES });
    }
    let mut members = Vec::new();
    for _ in 0..count {
        let (member, next) = member(bytes, at)?;
        members.push(member);
        at = next;
    }
    Ok(members)
}

fn end_record(bytes: &[u8]) -> Option<usize> {
    let last = bytes.len().checked_sub(END_LEN)?;
    let first = last.saturating_sub(MAX_COMMENT);
    (first..=last).rev().find(|&at| bytes[at..].starts_with(END))
}

/// The directory's number of entries and its position.
fn directory(bytes: &[u8], end: usize) -> Result<(usize, usize), FormatError> {
    let record = Fields { bytes, start: end, what: "the zip archive's end record" };
    let (count, at) = (record.u16(10)?, record.u32(16)?);
    if count != u16::MAX && at != u32::MAX {
        return Ok((usize::from(count), at as usize));
    }
    let locator = end.checked_sub(LOCATOR64_LEN).filter(|&at| bytes[at..].starts_with(LOCATOR64));
    let Some(locator) = locator else { return Ok((usize::from(count), at as usize)) };
    let start = Fields { start: locator, ..record }.u64(8)?;
    let record = Fields { start, ..record };
    if record.get(0, 4)? != END64 {
        return Err(FormatError::Malformed { what: "no zip64 end record", at: start });
    }
    Ok((record.u64(32)?, record.u64(48)?))
}

/// The member whose directory entry is at `at`, and where the next entry is.
fn member(bytes: &[u8], at: usize) -> Result<(Member, usize), FormatError> {
    let entry = Fields { bytes, start: at, what: "the zip archive's directory" };
    if entry.get(0, 4)? != CENTRAL {
        return Err(FormatError::Malformed { what: "no entry of the zip directory", at });
    }
    let name_len = usize::from(entry.u16(28)?);
    let extra_len = usize::from(entry.u16(30)?);
    let comment_len = usize::from(entry.u16(32)?);
    let name = String::from_utf8_lossy(entry.get(46, name_len)?).into_owned();
    let extra = entry.get(46 + name_len, extra_len)?;
    if entry.u16(8)? & ENCRYPTED != 0 || entry.u16(10)? != STORED {
        let what = format!(
            "the archive's member `{name}` is compressed or encrypted, which torch.save never does; \
             unpack the archive and pack it again with `zip -0`"
        );
        return Err(FormatError::Unsupported { what });
    }
    // The three sizes that do not fit in 32 bits stand in the zip64 field, in this order.
    let mut wide = zip64(extra).chunks_exact(8).map(le);
    let mut field = |offset| -> Result<usize, FormatError> {
        let narrow = entry.u32(offset)?;
        let wide = if narrow == u32::MAX { wide.next() } else { None };
        Ok(wide.unwrap_or(narrow as usize))
    };
    let len = field(24)?;
    let packed = field(20)?;
    let header = field(42)?;
    if packed != len {
        return Err(FormatError::Malformed { what: "a stored member with two different sizes", at });
    }
    let local = Fields { start: header, what: "a member of the zip archive", ..entry };
    if local.get(0, 4)? != LOCAL {
        return Err(FormatError::Malformed { what: "no local header of a zip member", at: header });
    }
    let skip = 30 + usize::from(local.u16(26)?) + usize::from(local.u16(28)?);
    local.get(skip, len)?;
    let start = header + skip;
    Ok((Member { name, range: start..start + len }, at + 46 + name_len + extra_len + comment_len))
}

/// The zip64 field of a member's extra data; empty where there is none.
fn zip64(mut extra: &[u8]) -> &[u8] {
    while let [id0, id1, len0, len1, rest @ ..] = extra {
        let len = usize::from(u16::from_le_bytes([*len0, *len1])).min(rest.len());
        if u16::from_le_bytes([*id0, *id1]) == 1 {
            return &rest[..len];
        }
        extra = &rest[len..];
    }
    &[]
}

/// A little-endian number; one that no address can hold becomes the largest, and so lies outside.
fn le(bytes: &[u8]) -> usize {
    let value = bytes.iter().rev().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Little-endian fields of a record.
#[derive(Clone, Copy)]
struct Fields<'a> {
    bytes: &'a [u8],
    start: usize,
    what: &'static str,
}

impl<'a> Fields<'a> {
    fn get(&self, offset: usize, len: usize) -> Result<&'a [u8], FormatError> {
        let start = self.start.checked_add(offset).ok_or(FormatError::Truncated { what: self.what })?;
        slice(self.bytes, start, len, self.what)
    }

    fn u16(&self, offset: usize) -> Result<u16, FormatError> {
        self.get(offset, 2).map(|b| u16::from_le_bytes([b[0], b[1]]))
    }

    fn u32(&self, offset: usize) -> Result<u32, FormatError> {
        self.get(offset, 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn u64(&self, offset: usize) -> Result<usize, FormatError> {
        self.get(offset, 8).map(le)
    }
}
