//! Checkpoints: file formats, families of names, and the hub.

mod bytes;
mod error;
pub mod format;
mod state_dict;

pub use bytes::Bytes;
pub use error::WeightsError;
pub use state_dict::{DType, Entry, StateDict, StoredTensor, read, read_bytes};
