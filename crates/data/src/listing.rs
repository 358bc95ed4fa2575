//! Finding pictures in folders.

use std::fs;
use std::path::{Path, PathBuf};

use crate::DataError;

/// The pictures in `folder` and the folders below it, sorted by path.
///
/// A picture is told by its extension, of any case ([`effigy_vision::EXTENSIONS`]). Hidden files and
/// folders (`.name`) are left out, and links to folders are not followed.
///
/// # Errors
/// [`DataError::Read`] where a folder cannot be read.
pub fn pictures(folder: impl AsRef<Path>) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    let mut folders = vec![folder.as_ref().to_path_buf()];
    while let Some(folder) = folders.pop() {
        let (below, files) = entries(&folder)?;
        folders.extend(below);
        found.extend(files.into_iter().filter(|file| is_picture(file)));
    }
    found.sort();
    Ok(found)
}

/// The folders and the files directly in `folder`, without hidden ones, each sorted.
pub(crate) fn entries(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), DataError> {
    let read = |source| DataError::Read { path: folder.into(), source };
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if entry.file_type().map_err(read)?.is_dir() {
            folders.push(entry.path());
        } else {
            files.push(entry.path());
        }
    }
    folders.sort();
    files.sort();
    Ok((folders, files))
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| effigy_vision::EXTENSIONS.contains(&extension.as_str()))
}
