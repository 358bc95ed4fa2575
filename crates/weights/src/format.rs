//! File formats, told apart by their content.

mod legacy;
mod pickle;
mod pth;
mod safetensors;
mod tensorflow;
mod zip;

use std::fmt;

pub(crate) use safetensors::{Header as SafetensorsHeader, HeaderTensor as SafetensorsTensor};
pub(crate) use tensorflow::{Files as TensorFlowFiles, Index as TensorFlowIndex};

use crate::bytes::Bytes;
use crate::state_dict::{StateDict, StoredTensor};

/// Tensors that one file may hold. EfficientNet-L2 has about 2 500; a training checkpoint with an
/// optimiser and averaged weights five times as many.
pub const MAX_TENSORS: usize = 65_536;
/// Length of a safetensors header, in bytes. EfficientNet-L2's has about 250 kB.
pub const MAX_HEADER_BYTES: usize = 16 << 20;
/// Operations of one pickle. EfficientNet-L2 takes about 60 000; what one operation allocates is
/// bounded, and so this bounds the memory that a pickle can ask for (about 200 MB).
pub const MAX_PICKLE_OPERATIONS: usize = 1 << 20;
/// Containers within containers that are searched for tensors.
pub const MAX_NESTING: usize = 64;
/// Entries of a zip archive's directory.
pub const MAX_ZIP_ENTRIES: usize = 2 * MAX_TENSORS;
/// Axes of a tensor.
pub const MAX_AXES: usize = 16;

/// A checkpoint file's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// What `torch.save` writes since PyTorch 1.6: a zip archive around a pickle.
    TorchZip,
    /// What `torch.save` wrote before: pickles, then the numbers.
    TorchLegacy,
    /// Hugging Face's safetensors.
    Safetensors,
    /// TensorFlow's checkpoints (V2): an index and shards.
    TensorFlow,
}

/// Why a file's bytes are not what their format asks for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FormatError {
    /// No known format starts like this.
    #[error(
        "this is neither a PyTorch checkpoint (.pth, .pt, .bin) nor a safetensors file nor the index of a TensorFlow \
         checkpoint; it starts with {start:02x?}"
    )]
    Unknown {
        /// The first bytes.
        start: Vec<u8>,
    },
    /// The file ends too early.
    #[error("the file ends within {what}; it is truncated, so download or copy it again")]
    Truncated {
        /// What was being read.
        what: &'static str,
    },
    /// A stated limit is exceeded.
    #[error("{what} exceeds the limit of {limit}; no EfficientNet needs that many")]
    Limit {
        /// What was counted.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The bytes contradict the format.
    #[error("{what} at byte {at}; the file is damaged or was made by a program that errs")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where, from the start of the file (or of the archive's member).
        at: usize,
    },
    /// A safetensors header that is not the JSON it should be.
    #[error("the header is not valid: {reason}")]
    Header {
        /// What the JSON parser says.
        reason: String,
    },
    /// Valid, but not something that effigy reads.
    #[error("{what}")]
    Unsupported {
        /// What it is, and what to do about it.
        what: String,
    },
    /// A tensor reaches outside of its numbers.
    #[error("tensor `{tensor}`: {what}")]
    Tensor {
        /// The tensor's name in the file.
        tensor: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// What a reader finds in a file.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) tensors: Vec<StoredTensor>,
    pub(crate) metadata: std::collections::BTreeMap<String, String>,
    pub(crate) notes: Vec<String>,
}

/// Reads whatever format the bytes have.
pub(crate) fn read(bytes: Bytes) -> Result<StateDict, FormatError> {
    let (format, contents) = if zip::is_zip(&bytes) {
        (Format::TorchZip, pth::read_zip(&bytes)?)
    } else if legacy::is_legacy(&bytes) {
        (Format::TorchLegacy, legacy::read(&bytes)?)
    } else if safetensors::is_safetensors(&bytes) {
        (Format::Safetensors, safetensors::read(&bytes)?)
    } else if tensorflow::is_index(&bytes) {
        let what = "this is the index of a TensorFlow checkpoint, whose numbers are in files beside it; \
                    name it by its path"
            .to_owned();
        return Err(FormatError::Unsupported { what });
    } else {
        return Err(unknown(&bytes));
    };
    Ok(StateDict::new(vec![bytes], format, contents))
}

/// Says what the bytes are, where that helps.
fn unknown(bytes: &[u8]) -> FormatError {
    let unsupported = |what: &str| FormatError::Unsupported { what: what.to_owned() };
    let start = &bytes[..bytes.len().min(16)];
    match start {
        [] => FormatError::Truncated { what: "its first byte: it is empty" },
        [b'<', ..] => unsupported("this is a web page, not a checkpoint; open its address in a browser"),
        _ if start.starts_with(b"version https://") => unsupported(
            "this is a Git LFS pointer, not the checkpoint; run `git lfs pull` where it came from",
        ),
        _ if start.starts_with(b"PK") => {
            unsupported("this is the beginning of a zip archive without its end; download or copy it again")
        }
        [0x80, 2..=5, ..] => {
            unsupported("this is a pickle that torch.save did not write; save a state dict with torch.save")
        }
        _ if bytes.get(257..262) == Some(b"ustar") => unsupported(
            "this is a tar checkpoint of PyTorch 0.1; load and save it with PyTorch 1.x or later first",
        ),
        _ => FormatError::Unknown { start: start.to_vec() },
    }
}

/// `len` bytes of `bytes` from `start`, which need not exist.
pub(crate) fn slice<'a>(
    bytes: &'a [u8],
    start: usize,
    len: usize,
    what: &'static str,
) -> Result<&'a [u8], FormatError> {
    let end = start.checked_add(len).ok_or(FormatError::Truncated { what })?;
    bytes.get(start..end).ok_or(FormatError::Truncated { what })
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TorchZip => "PyTorch (zip)",
            Self::TorchLegacy => "PyTorch (legacy)",
            Self::Safetensors => "safetensors",
            Self::TensorFlow => "TensorFlow",
        })
    }
}
