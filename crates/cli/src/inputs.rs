//! What the user points at: files, folders, `-`.

use std::fmt;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};

use effigy::Picture;
use effigy::vision::{Limits, VisionError, decode_bytes, decode_file};

use crate::failure::Failure;
use crate::report;

/// One picture to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A file.
    File(PathBuf),
    /// Standard input, called `-`.
    Stdin,
}

/// The pictures that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    /// In the order given; those of a folder sorted by path.
    pub(crate) pictures: Vec<Input>,
    /// What each is called below a folder of results: its path in the folder that was given, or its name.
    pub(crate) names: Vec<PathBuf>,
    /// Folders that could not be read or hold no pictures; each was named on standard error.
    pub(crate) failed: usize,
}

impl Inputs {
    /// Lists the pictures at `paths`. A file need not exist: reading it will tell.
    pub(crate) fn list(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut inputs = Self::default();
        for path in paths {
            if path == Path::new("-") {
                if inputs.pictures.contains(&Input::Stdin) {
                    return Err(Failure::Usage("standard input (`-`) can be read only once".into()));
                }
                inputs.pictures.push(Input::Stdin);
                inputs.names.push("stdin.png".into());
            } else if path.is_dir() {
                inputs.list_folder(path);
            } else {
                inputs.pictures.push(Input::File(path.clone()));
                inputs.names.push(path.file_name().unwrap_or(path.as_os_str()).into());
            }
        }
        Ok(inputs)
    }

    fn list_folder(&mut self, folder: &Path) {
        match effigy_data::pictures(folder) {
            Ok(pictures) if !pictures.is_empty() => {
                let name = |path: &PathBuf| path.strip_prefix(folder).unwrap_or(path).to_owned();
                self.names.extend(pictures.iter().map(name));
                self.pictures.extend(pictures.into_iter().map(Input::File));
                return;
            }
            Ok(_) => report::error(format_args!("{}: no pictures in this folder", folder.display())),
            Err(error) => report::error(error),
        }
        self.failed += 1;
    }
}

impl Input {
    pub(crate) fn decode(&self) -> Result<Picture, VisionError> {
        let limits = Limits::default();
        match self {
            Self::File(path) => decode_file(path, &limits),
            Self::Stdin => {
                let mut bytes = Vec::new();
                stdin()
                    .take(limits.max_bytes.saturating_add(1))
                    .read_to_end(&mut bytes)
                    .map_err(|source| VisionError::Read { name: self.to_string(), source })?;
                decode_bytes(&bytes, "-", &limits)
            }
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stdin => f.write_str("-"),
        }
    }
}
