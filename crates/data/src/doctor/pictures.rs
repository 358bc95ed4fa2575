//! What pictures' files tell.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use effigy_vision::{Limits, VisionError, decode_telling};

use super::Check;
use super::finding::Findings;
use crate::Split;
use crate::ahead::Ahead;

/// A picture's file.
pub(super) struct Look {
    /// Of the file's bytes.
    fingerprint: Option<(u64, u64)>,
    /// What there is to see, or why not.
    pub(super) seen: Result<Seen, String>,
}

/// A decoded picture.
pub(super) struct Seen {
    /// Width and height, upright.
    pub(super) size: [usize; 2],
    /// Width and height as stored.
    pub(super) stored: [usize; 2],
    /// Whether it was turned.
    pub(super) turned: bool,
}

/// Decodes all pictures, on several threads; `done` is called after each.
pub(super) fn look(paths: Vec<PathBuf>, threads: usize, mut done: impl FnMut()) -> Vec<Look> {
    let count = paths.len() as u64;
    let paths: Arc<[PathBuf]> = paths.into();
    let mut ahead = Ahead::new(0, count, threads, &Arc::new(move |at| look_at(&paths[at as usize])));
    let next = std::iter::from_fn(|| ahead.next());
    next.inspect(|_| done()).collect()
}

fn look_at(path: &Path) -> Look {
    let limits = Limits::default();
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limits.max_bytes + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        return Look { fingerprint: None, seen: Err(format!("cannot be read: {error}")) };
    }
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let fingerprint = Some((hasher.finish(), bytes.len() as u64));
    let seen = match decode_telling(&bytes, "", &limits) {
        Ok(decoded) => Ok(Seen {
            size: [decoded.picture.width(), decoded.picture.height()],
            stored: decoded.stored,
            turned: decoded.turned,
        }),
        Err(error) => Err(reason(&error, bytes.is_empty())),
    };
    Look { fingerprint, seen }
}

fn reason(error: &VisionError, empty: bool) -> String {
    if empty {
        return "the file is empty".into();
    }
    let message = error.to_string();
    message.strip_prefix(": ").unwrap_or(&message).to_owned()
}

/// Tells of what cannot be read and what is turned.
pub(super) fn readable(findings: &mut Findings, split: &str, path: &Path, look: &Look) {
    match &look.seen {
        Err(reason) => findings.add(Check::Unreadable, split, path, "", reason.clone()),
        Ok(Seen { turned: true, size: [width, height], stored, .. }) => {
            let message =
                format!("stored as {}×{}, {width}×{height} when turned upright", stored[0], stored[1]);
            findings.add(Check::Turned, split, path, "", message);
        }
        Ok(_) => {}
    }
}

/// A picture as it is compared with others.
pub(super) struct Compared<'a> {
    pub(super) split: usize,
    pub(super) path: &'a Path,
    pub(super) class: Option<usize>,
    pub(super) look: &'a Look,
}

/// Tells of pictures of the same bytes: in two splits, under two classes, or twice.
pub(super) fn duplicates<D>(
    findings: &mut Findings,
    splits: &[Split<D>],
    classes: &[String],
    pictures: &[Compared],
) {
    let mut by_content: HashMap<(u64, u64), Vec<&Compared>> = HashMap::new();
    for picture in pictures {
        let Some(fingerprint) = picture.look.fingerprint else { continue };
        let alike = by_content.entry(fingerprint).or_default();
        // An empty file is no picture, and was told of.
        if let Some(first) = alike.iter().find(|first| fingerprint.1 > 0 && same(first.path, picture.path)) {
            let name = &splits[picture.split].name;
            let other = format!("{} (in {})", first.path.display(), splits[first.split].name);
            if first.class != picture.class {
                let class = |class: Option<usize>| class.map_or("", |class| classes[class].as_str());
                let (own, others) = (class(picture.class), class(first.class));
                let message = format!("class {own}, but the same bytes are class {others}: {other}");
                findings.add(Check::Conflict, name, picture.path, "", message);
            }
            let check = if first.split == picture.split { Check::Duplicate } else { Check::Leak };
            if check == Check::Leak || first.class == picture.class {
                findings.add(check, name, picture.path, "", format!("the same bytes as {other}"));
            }
        } else {
            alike.push(picture);
        }
    }
}

/// Whether two files hold the same, which their fingerprints only make likely.
fn same(a: &Path, b: &Path) -> bool {
    a == b || matches!((fs::read(a), fs::read(b)), (Ok(a), Ok(b)) if a == b)
}
