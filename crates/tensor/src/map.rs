//! Read-only memory-mapped files.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

/// A file's bytes, mapped into memory: pages are read when touched and shared between processes.
///
/// The file must not be truncated while it is mapped; as with every mapping, the operating system
/// answers a read past the new end with a signal. Checkpoints are written under another name and
/// renamed into place, so effigy never does this to itself.
#[derive(Debug)]
pub struct MappedFile(memmap2::Mmap);

impl MappedFile {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// What the operating system says when the file cannot be opened or mapped.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the mapping is private and read-only; see the type's note on truncation.
        Ok(Self(unsafe { memmap2::Mmap::map(&file)? }))
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
