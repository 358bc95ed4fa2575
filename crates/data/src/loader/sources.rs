//! What the sources of both kinds of batches share.

use std::path::Path;

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
