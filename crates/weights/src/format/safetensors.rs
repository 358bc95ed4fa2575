//! safetensors: the length of a JSON header, the header, the numbers.
//!
//! See <https://github.com/huggingface/safetensors> (section Format).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use super::{Contents, FormatError, MAX_AXES, MAX_HEADER_BYTES, MAX_TENSORS, pth, slice};
use crate::state_dict::{DType, StoredTensor, View, checked_product, row_major};

const METADATA: &str = "__metadata__";

/// The header, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Header {
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) tensors: Vec<(String, HeaderTensor)>,
}

/// A tensor's entry.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct HeaderTensor {
    pub(crate) dtype: String,
    pub(crate) shape: Vec<usize>,
    /// First byte and byte after the last, counted from the end of the header.
    pub(crate) data_offsets: [usize; 2],
}

pub(super) fn is_safetensors(bytes: &[u8]) -> bool {
    bytes.get(8) == Some(&b'{') && pth::u64_at(bytes, 0, "").is_ok_and(|len| len >= 2)
}

pub(super) fn read(bytes: &[u8]) -> Result<Contents, FormatError> {
    let len = pth::u64_at(bytes, 0, "the header's length")?;
    if len > MAX_HEADER_BYTES {
        return Err(FormatError::Limit { what: "the header's length in bytes", limit: MAX_HEADER_BYTES });
    }
    let json = slice(bytes, 8, len, "the header")?;
    let header: Header =
        serde_json::from_slice(json).map_err(|e| FormatError::Header { reason: e.to_string() })?;
    let data = 8 + len;
    let mut contents = Contents { metadata: header.metadata, ..Contents::default() };
    for (name, entry) in header.tensors {
        match dtype(&entry.dtype) {
            Some(dtype) => contents.tensors.push(tensor(name, dtype, &entry, data, bytes.len())?),
            None => {
                let note = format!("passed over `{name}`: effigy does not read {}", entry.dtype);
                contents.notes.push(note);
            }
        }
    }
    Ok(contents)
}

fn tensor(
    name: String,
    dtype: DType,
    entry: &HeaderTensor,
    data: usize,
    end_of_file: usize,
) -> Result<StoredTensor, FormatError> {
    let refuse = |what| FormatError::Tensor { tensor: name.clone(), what };
    let [start, end] = entry.data_offsets;
    let count = checked_product(&entry.shape).filter(|_| entry.shape.len() <= MAX_AXES);
    let count = count.ok_or_else(|| refuse("its shape is absurd"))?;
    if end.checked_sub(start) != count.checked_mul(dtype.size()) {
        return Err(refuse("its shape and its length in bytes do not agree"));
    }
    if end > end_of_file - data {
        return Err(refuse("it ends beyond the end of the file, which may be truncated"));
    }
    let storage = data + start..data + end;
    let strides = row_major(&entry.shape);
    let view = View { dtype, storage, offset: 0, shape: &entry.shape, strides: &strides, big_endian: false };
    StoredTensor::new(name, &view)
}

fn dtype(name: &str) -> Option<DType> {
    Some(match name {
        "F64" => DType::F64,
        "F32" => DType::F32,
        "F16" => DType::F16,
        "BF16" => DType::Bf16,
        "I64" => DType::I64,
        "I32" => DType::I32,
        "I16" => DType::I16,
        "I8" => DType::I8,
        "U8" => DType::U8,
        "BOOL" => DType::Bool,
        _ => return None,
    })
}

impl Serialize for Header {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(METADATA, &self.metadata)?;
        for (name, tensor) in &self.tensors {
            map.serialize_entry(name, tensor)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a dictionary of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA {
                header.metadata = map.next_value()?;
                continue;
            }
            if header.tensors.len() == MAX_TENSORS {
                return Err(A::Error::custom(format_args!("more than {MAX_TENSORS} tensors")));
            }
            header.tensors.push((name, map.next_value()?));
        }
        // Two tensors of one name would let a file mean different things to different readers.
        let mut names: Vec<&str> = header.tensors.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(A::Error::custom(format_args!("two tensors are named `{}`", pair[0]))),
            None => Ok(header),
        }
    }
}
