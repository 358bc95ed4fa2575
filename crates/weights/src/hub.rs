//! Published checkpoints: where they are, and a cache for them.

mod table;

pub(crate) use table::ADVPROP;
pub use table::{Checkpoint, Host, checkpoints};
