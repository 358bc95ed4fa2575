//! Checkpoints: file formats, families of names, and the hub.
//!
//! [`load`] goes from a file to a network with its weights: [`read`] gives the file's tensors under
//! the file's names, `detect` finds the family and the variant, `assume` settles what no tensor
//! tells, `check` compares every name and shape, and [`Weights`] holds the result under canonical
//! names, still in the mapped file where possible.

mod adapt;
mod assume;
mod bytes;
mod card;
mod check;
mod convert;
mod detect;
mod error;
pub mod format;
mod hint;
pub mod hub;
mod inspect;
mod layout;
mod load;
mod names;
mod state_dict;
mod weights;

pub use adapt::CannotAdapt;
pub use assume::NoModel;
pub use bytes::Bytes;
pub use card::BadCard;
pub use check::{Differences, Misshapen};
pub use convert::{Precision, convert, convert_quantised};
pub use detect::Unrecognised;
pub use error::WeightsError;
pub use inspect::{Inspection, TensorInfo, inspect};
pub use load::{ClassifierPolicy, LoadOptions, Loaded, load, load_bytes};
pub use names::Family;
pub use state_dict::{DType, Entry, StateDict, StoredTensor, read, read_bytes, read_shards};
pub use weights::{Param, Weights};
