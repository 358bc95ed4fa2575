//! TensorFlow's checkpoints (V2): an index, which is a sorted table, and shards with the numbers.
//!
//! `PREFIX.index` has an entry for every tensor: type, shape, shard, place and checksum
//! (TensorFlow's `tensor_bundle.proto`). `PREFIX.data-00000-of-00001` and so on have the bytes.

mod files;
mod proto;
mod table;

use std::collections::BTreeSet;

pub(crate) use files::Files;

use proto::{Entry, Header, Reader};

use super::{Contents, FormatError};
use crate::bytes::Bytes;
use crate::state_dict::{DType, StoredTensor, View, checked_product, row_major};

/// Length of a tensor's name, in bytes. EfficientDet's longest has 90.
const MAX_NAME_BYTES: usize = 512;
/// Shards of one checkpoint. TensorFlow writes one for each machine that holds variables.
pub(super) const MAX_SHARDS: usize = 1024;
/// The version of the format that this reads (`kTensorBundleVersion`).
const VERSION: u64 = 1;
/// The graph of the objects that Keras saved.
const OBJECT_GRAPH: &str = "_CHECKPOINTABLE_OBJECT_GRAPH";

/// What the index says.
#[derive(Debug)]
pub(crate) struct Index {
    shards: usize,
    tensors: Vec<(String, DType, Entry)>,
    notes: Vec<String>,
}

pub(super) fn is_index(bytes: &[u8]) -> bool {
    table::is_table(bytes)
}

/// The number of shards, if this is something that is read here.
fn shards(header: &Header) -> Result<usize, FormatError> {
    let unsupported = |what: &str| Err(FormatError::Unsupported { what: what.to_owned() });
    if header.big_endian {
        return unsupported(
            "this checkpoint was written on a big-endian machine; load and save it with TensorFlow on another",
        );
    }
    if header.min_consumer > VERSION {
        return unsupported("this checkpoint is of a newer format than effigy reads");
    }
    let shards = usize::try_from(header.shards).ok().filter(|&shards| shards <= MAX_SHARDS);
    shards.ok_or(FormatError::Limit { what: "the number of shards", limit: MAX_SHARDS })
}

impl Index {
    /// Reads an index. The blocks of its table have checksums, which are checked.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut index = Self { shards: 0, tensors: Vec::new(), notes: Vec::new() };
        table::read(bytes, |key, value| match key {
            [] => {
                index.shards = shards(&Header::read(value)?)?;
                Ok(())
            }
            name => index.add(name, value),
        })?;
        match index.shards {
            0 => Err(FormatError::Unsupported {
                what:
                    "this is a sorted table (LevelDB's format), but not the index of a TensorFlow checkpoint"
                        .to_owned(),
            }),
            _ => Ok(index),
        }
    }

    fn add(&mut self, name: &[u8], value: Reader<'_>) -> Result<(), FormatError> {
        // Slices of divided tensors have keys that start with a zero byte; their tensor says so itself.
        if name[0] == 0 {
            return Ok(());
        }
        let malformed = value.malformed("a tensor's name is not UTF-8");
        let name = String::from_utf8(name.to_vec()).map_err(|_| malformed)?;
        let entry = Entry::read(value)?;
        if name == OBJECT_GRAPH {
            return Err(FormatError::Unsupported {
                what: "this checkpoint names its tensors by Keras' objects (`.ATTRIBUTES/VARIABLE_VALUE`), which effigy \
                       does not read; it reads those that `tf.compat.v1.train.Saver` writes, with the variables' own \
                       names"
                    .to_owned(),
            });
        }
        if entry.has_slices {
            let what =
                "it is divided into slices, which effigy does not read; save it whole, without a partitioner";
            return Err(FormatError::Tensor { tensor: name, what });
        }
        if entry.shard >= self.shards as u64 {
            return Err(FormatError::Tensor { tensor: name, what: "it is in a shard that does not exist" });
        }
        match dtype(entry.dtype) {
            Ok(dtype) => self.tensors.push((name, dtype, entry)),
            Err(kind) => self.notes.push(format!("passed over `{name}`: effigy does not read {kind}")),
        }
        Ok(())
    }

    /// How many shards the checkpoint has.
    pub(crate) fn shards(&self) -> usize {
        self.shards
    }

    /// The shards in which there are tensors.
    pub(crate) fn used_shards(&self) -> BTreeSet<usize> {
        self.tensors.iter().map(|(.., entry)| entry.shard as usize).collect()
    }

    /// The tensors, whose checksums are checked. `shards` are the files' bytes; a missing one counts as
    /// empty.
    pub(crate) fn contents(self, shards: &[Bytes]) -> Result<Contents, FormatError> {
        let tensors = self.tensors.into_iter().map(|(name, dtype, entry)| {
            let shard = entry.shard as usize;
            tensor(name, dtype, &entry, shards.get(shard).map_or(&[], |bytes| bytes))
                .map(|tensor| tensor.of_part(shard))
        });
        Ok(Contents { tensors: tensors.collect::<Result<_, _>>()?, notes: self.notes, ..Contents::default() })
    }
}

fn tensor(name: String, dtype: DType, entry: &Entry, shard: &[u8]) -> Result<StoredTensor, FormatError> {
    let refuse = |what| FormatError::Tensor { tensor: name.clone(), what };
    let bytes = checked_product(&entry.shape).and_then(|count| count.checked_mul(dtype.size()));
    if bytes.map(|bytes| bytes as u64) != Some(entry.len) {
        return Err(refuse("its shape and its length in bytes do not agree"));
    }
    let start = usize::try_from(entry.offset).ok();
    let range = start.zip(bytes).and_then(|(start, bytes)| Some(start..start.checked_add(bytes)?));
    let storage = range.filter(|range| range.end <= shard.len());
    let storage = storage
        .ok_or_else(|| refuse("it ends beyond the end of its shard (`.data-…`), which may be truncated"))?;
    if !is_intact(&shard[storage.clone()], entry.checksum) {
        return Err(refuse(
            "its numbers have another checksum than the index says; the files are damaged or not of one checkpoint",
        ));
    }
    let strides = row_major(&entry.shape);
    let view = View { dtype, storage, offset: 0, shape: &entry.shape, strides: &strides, big_endian: false };
    StoredTensor::new(name, &view)
}

/// Whether CRC-32C of `bytes` is `masked`, as LevelDB masks it: rotated, and a constant added.
fn is_intact(bytes: &[u8], masked: u32) -> bool {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8) == masked
}

/// `types.proto`; what is not read, in words.
fn dtype(number: u64) -> Result<DType, &'static str> {
    Ok(match number {
        1 => DType::F32,
        2 => DType::F64,
        3 => DType::I32,
        4 => DType::U8,
        5 => DType::I16,
        6 => DType::I8,
        9 => DType::I64,
        10 => DType::Bool,
        14 => DType::Bf16,
        19 => DType::F16,
        7 => return Err("text"),
        21 => return Err("a variant"),
        _ => return Err("numbers of its type"),
    })
}
