//! Shapes, aligned memory and mapped files: what every other crate holds numbers in.

mod arena;
mod buffer;
mod map;
mod tensor;

pub use arena::Arena;
pub use buffer::AlignedBuf;
pub use map::MappedFile;
pub use tensor::{Tensor, TensorError};
