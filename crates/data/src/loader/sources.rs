//! What the sources of both kinds of batches share.

use std::borrow::Cow;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use effigy_vision::{Limits, Picture, decode_file};

use super::Request;
use crate::random::{Purpose, Random};
use crate::{DataError, OnProblem, Problem, ProblemKind};

/// Others that are tried for a picture that cannot be read.
const SUBSTITUTES: u64 = 10;

/// Decodes a picture, upright.
pub(crate) fn read(path: &Path) -> Result<Picture, Problem> {
    decode_file(path, &Limits::default()).map_err(|error| {
        let (message, name) = (error.to_string(), format!("{}: ", path.display()));
        let words = message.strip_prefix(&name).unwrap_or(&message).to_owned();
        Problem { path: path.into(), place: String::new(), kind: ProblemKind::Picture(words) }
    })
}

/// Decoded pictures, kept for the next epoch as far as there is room.
#[derive(Debug)]
pub(super) struct Cache {
    pictures: Box<[OnceLock<Picture>]>,
    /// Bytes that may still be taken.
    room: AtomicUsize,
}

impl Cache {
    /// A cache of at most so many bytes for the samples `0..samples`.
    pub(super) fn new(samples: usize, bytes: usize) -> Self {
        let samples = if bytes == 0 { 0 } else { samples };
        Self { pictures: (0..samples).map(|_| OnceLock::new()).collect(), room: AtomicUsize::new(bytes) }
    }

    /// The picture of a sample, decoded where it is not kept.
    pub(super) fn read(&self, sample: usize, path: &Path) -> Result<Cow<'_, Picture>, Problem> {
        let Some(kept) = self.pictures.get(sample) else { return read(path).map(Cow::Owned) };
        if let Some(picture) = kept.get() {
            return Ok(Cow::Borrowed(picture));
        }
        let picture = read(path)?;
        let bytes = picture.pixels().len();
        let taken =
            self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(bytes));
        if taken.is_err() {
            return Ok(Cow::Owned(picture));
        }
        if kept.set(picture).is_err() {
            // Another thread was faster: its copy is the one that is kept.
            self.room.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(Cow::Borrowed(kept.get().expect("it is set")))
    }
}

/// What `make` makes of the `index`-th picture of a batch or, where it is to be replaced, of another one, with
/// its sample; `None` where it is left out. Problems are refused or collected, as `policy` says.
pub(super) fn usable<T>(
    request: &Request,
    index: usize,
    pictures: usize,
    policy: OnProblem,
    problems: &mut Vec<Problem>,
    mut make: impl FnMut(usize) -> Result<T, Problem>,
) -> Result<Option<(usize, T)>, DataError> {
    let mut sample = request.samples[index];
    let tries = if request.replace { SUBSTITUTES } else { 0 };
    for attempt in 0..=tries {
        if attempt > 0 {
            let key = [request.seed, request.place.epoch, request.samples[index] as u64 + (attempt << 48)];
            sample = Random::new(Purpose::Substitute, key).below(pictures);
        }
        match (make(sample), policy) {
            (Ok(made), _) => return Ok(Some((sample, made))),
            (Err(problem), OnProblem::Refuse) => return Err(DataError::Problem(problem)),
            (Err(problem), OnProblem::Skip) => problems.push(problem),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_kept_as_far_as_there_is_room() {
        let root = tempfile::tempdir().unwrap();
        let path = |index: usize| root.path().join(format!("{index}.png"));
        for index in 0..3 {
            let picture = Picture::new(4, 2, vec![index as u8; 24]).unwrap();
            let bytes = effigy_vision::encode(&picture, effigy_vision::PictureFormat::Png).unwrap();
            std::fs::write(path(index), bytes).unwrap();
        }
        let cache = Cache::new(3, 50);
        let first = |index: usize| cache.read(index, &path(index)).unwrap().pixels()[0];
        assert_eq!([0, 1, 2, 0].map(first), [0, 1, 2, 0]);
        (0..3).for_each(|index| std::fs::remove_file(path(index)).unwrap());
        let kept = [0, 1, 2].map(|index| cache.read(index, &path(index)).is_ok());
        assert_eq!(kept, [true, true, false]);
        assert!(Cache::new(3, 0).read(0, &path(0)).is_err());
    }
}
