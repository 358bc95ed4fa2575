//! Where a checkpoint's bytes live.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use effigy_tensor::MappedFile;

/// A checkpoint's bytes, shared by all the tensors that lie in them. Cloning is cheap.
#[derive(Clone)]
pub enum Bytes {
    /// A mapped file: pages are read when touched.
    Mapped(Arc<MappedFile>),
    /// Part of the program.
    Static(&'static [u8]),
    /// In memory.
    Owned(Arc<[u8]>),
}

impl Bytes {
    /// Says that a part will not be read for now: a mapped file's pages are given back to the system, which
    /// reads them once more if need be.
    pub(crate) fn release(&self, range: Range<usize>) {
        if let Self::Mapped(file) = self {
            file.release(range);
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(file) => file,
            Self::Static(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl From<&'static [u8]> for Bytes {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Static(bytes)
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Owned(bytes.into())
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.len())
    }
}
