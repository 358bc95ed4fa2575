//! Read-only memory-mapped files.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
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

    /// Says that a part will not be read for now: its pages no longer count as this process's memory, and
    /// are had from the file (which the system most likely still holds) when they are read once more.
    ///
    /// # Panics
    /// When the range does not lie in the file.
    pub fn release(&self, range: Range<usize>) {
        let len = self.0[range.clone()].len();
        #[cfg(unix)]
        if len > 0 {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the mapping is read-only, so that there is nothing to lose: whoever reads these bytes,
            // also at this moment, gets them from the file again.
            let released = unsafe { self.0.unchecked_advise_range(advice, range.start, len) };
            // Where the system does not take it, the pages stay, as without.
            let _ = released;
        }
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_released_is_read_again() {
        let path = std::env::temp_dir().join(format!("effigy-map-{}", std::process::id()));
        let bytes: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = MappedFile::open(&path).unwrap();
        for range in [0..0, 5..6, 4096..8192, 4097..200_000, 0..300_000] {
            assert_eq!(file[..], bytes[..]);
            file.release(range);
        }
        assert_eq!(file[..], bytes[..]);
        std::fs::remove_file(&path).unwrap();
    }
}
