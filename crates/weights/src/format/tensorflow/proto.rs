//! The few messages of a checkpoint's index, in protocol buffers' wire format.
//!
//! <https://protobuf.dev/programming-guides/encoding/>; the fields are those of TensorFlow's
//! `tensor_bundle.proto`, `tensor_shape.proto` and `types.proto`.

use crate::format::{FormatError, MAX_AXES, slice};

/// Bytes that are read from the front. `end` is where they end in the file, for messages.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    end: usize,
}

/// A field's number and what it holds.
enum Field<'a> {
    Number(u32, u64),
    Bytes(u32, Reader<'a>),
    /// Of a kind that no field read here has.
    Other,
}

/// `BundleHeaderProto`: what holds for the whole checkpoint.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) shards: u64,
    pub(super) big_endian: bool,
    pub(super) min_consumer: u64,
}

/// `BundleEntryProto`: where a tensor is.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// A number of `types.proto`.
    pub(super) dtype: u64,
    pub(super) shape: Vec<usize>,
    pub(super) shard: u64,
    pub(super) offset: u64,
    pub(super) len: u64,
    /// Masked, of the tensor's bytes.
    pub(super) checksum: u32,
    pub(super) has_slices: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], start: usize) -> Self {
        Self { bytes, end: start + bytes.len() }
    }

    /// Over what was just taken.
    pub(super) fn over(&self, taken: &'a [u8]) -> Self {
        Self { bytes: taken, end: self.end - self.bytes.len() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn malformed(&self, what: &'static str) -> FormatError {
        FormatError::Malformed { what, at: self.end - self.bytes.len() }
    }

    pub(super) fn take(&mut self, len: u64, what: &'static str) -> Result<&'a [u8], FormatError> {
        let len = usize::try_from(len).map_err(|_| FormatError::Truncated { what })?;
        let taken = slice(self.bytes, 0, len, what)?;
        self.bytes = &self.bytes[len..];
        Ok(taken)
    }

    /// Seven bits a byte, the lowest first; the last byte has no eighth bit.
    pub(super) fn varint(&mut self) -> Result<u64, FormatError> {
        let mut value = 0;
        for (i, &byte) in self.bytes.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.bytes = &self.bytes[i + 1..];
                return Ok(value);
            }
        }
        Err(self.malformed("a number does not end"))
    }

    fn field(&mut self) -> Result<Field<'a>, FormatError> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| self.malformed("a field's number is too large"))?;
        Ok(match tag & 7 {
            0 => Field::Number(number, self.varint()?),
            2 => {
                let len = self.varint()?;
                let bytes = self.take(len, "a field")?;
                Field::Bytes(number, self.over(bytes))
            }
            5 => {
                let bytes = self.take(4, "a number")?;
                Field::Number(number, bytes.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte)))
            }
            1 => {
                self.take(8, "a number")?;
                Field::Other
            }
            _ => return Err(self.malformed("a field of an unknown kind")),
        })
    }
}

impl Header {
    pub(super) fn read(mut from: Reader<'_>) -> Result<Self, FormatError> {
        let mut header = Self::default();
        while !from.is_empty() {
            match from.field()? {
                Field::Number(1, shards) => header.shards = shards,
                Field::Number(2, order) => header.big_endian = order != 0,
                Field::Bytes(3, mut version) => {
                    while !version.is_empty() {
                        if let Field::Number(2, min_consumer) = version.field()? {
                            header.min_consumer = min_consumer;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(header)
    }
}

impl Entry {
    pub(super) fn read(mut from: Reader<'_>) -> Result<Self, FormatError> {
        let mut entry = Self::default();
        while !from.is_empty() {
            match from.field()? {
                Field::Number(1, dtype) => entry.dtype = dtype,
                Field::Bytes(2, shape) => entry.shape = read_shape(shape)?,
                Field::Number(3, shard) => entry.shard = shard,
                Field::Number(4, offset) => entry.offset = offset,
                Field::Number(5, len) => entry.len = len,
                Field::Number(6, checksum) => entry.checksum = checksum as u32,
                Field::Bytes(7, _) => entry.has_slices = true,
                _ => {}
            }
        }
        Ok(entry)
    }
}

fn read_shape(mut from: Reader<'_>) -> Result<Vec<usize>, FormatError> {
    let mut shape = Vec::new();
    while !from.is_empty() {
        let Field::Bytes(2, mut axis) = from.field()? else { continue };
        if shape.len() == MAX_AXES {
            return Err(FormatError::Limit { what: "a tensor's number of axes", limit: MAX_AXES });
        }
        let mut length = 0;
        while !axis.is_empty() {
            if let Field::Number(1, claimed) = axis.field()? {
                // A length that is not known is −1 and so becomes too large.
                length = usize::try_from(claimed).map_err(|_| axis.malformed("an axis is too long"))?;
            }
        }
        shape.push(length);
    }
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_varints() {
        let number = |bytes: &[u8]| Reader::new(bytes, 0).varint().ok();
        assert_eq!(number(&[0xac, 0x02]), Some(300));
        assert_eq!(number(&[[0xff; 9].as_slice(), &[1]].concat()), Some(u64::MAX));
        assert_eq!(number(&[0x80]), None);
        assert_eq!(number(&[0x80; 11]), None);
    }

    #[test]
    fn an_entry_is_where_its_tensor_is() {
        // float32 [3, 5] at 300 of shard 1, 60 bytes.
        let bytes = [
            0x08, 1, 0x12, 8, 0x12, 2, 0x08, 3, 0x12, 2, 0x08, 5, 0x18, 1, 0x20, 0xac, 0x02, 0x28, 60, 0x35,
            1, 2, 3, 4,
        ];
        let entry = Entry::read(Reader::new(&bytes, 0)).unwrap();
        assert_eq!((entry.dtype, entry.shape), (1, vec![3, 5]));
        assert_eq!((entry.shard, entry.offset, entry.len, entry.checksum), (1, 300, 60, 0x0403_0201));
        for len in 0..bytes.len() {
            // No beginning is read beyond its end, whether or not it is a whole message.
            drop(Entry::read(Reader::new(&bytes[..len], 0)));
        }
    }
}
