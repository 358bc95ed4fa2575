//! The folder that a run writes into.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::TrainError;

/// A run's folder, which no other process can write into meanwhile.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Held as long as the run; the system lets it go when the process ends in whatever way.
    _lock: File,
}

/// The name of the file that a run goes on from.
pub(crate) const STATE: &str = "state.safetensors";

impl Folder {
    /// Makes the folder, if it is not there, and takes it.
    pub(crate) fn open(path: &Path) -> Result<Self, TrainError> {
        fs::create_dir_all(path).map_err(TrainError::io(path))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(TrainError::io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(TrainError::Busy { out: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(TrainError::io(&lock_path)(error)),
        }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path.join(STATE)
    }

    pub(crate) fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    pub(crate) fn last(&self) -> PathBuf {
        self.path.join("last.safetensors")
    }

    pub(crate) fn metrics(&self) -> PathBuf {
        self.path.join("metrics.csv")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    pub(crate) fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once_at_a_time() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("a/b");
        let folder = Folder::open(&path).unwrap();
        assert!(matches!(Folder::open(&path), Err(TrainError::Busy { .. })));
        drop(folder);
        Folder::open(&path).unwrap();
    }
}
