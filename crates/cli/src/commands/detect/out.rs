//! The folder that annotated pictures and videos go to.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use effigy::Picture;
use effigy::vision::{PictureFormat, encode};

use crate::failure::Failure;
use crate::inputs::{Input, Inputs};
use crate::npy::{beside, keep};
use crate::video::annotated_name;

/// A folder of results, in which no two of them meet and no input is overwritten.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(folder: &Path, inputs: &Inputs, videos: &[PathBuf]) -> Result<Self, Failure> {
        let this = Self(folder.to_owned());
        let pictures = inputs.pictures.iter().zip(&inputs.names).map(|(input, name)| match input {
            Input::File(path) => (Some(path), this.picture(name)),
            Input::Stdin => (None, this.picture(name)),
        });
        let videos = videos.iter().map(|path| (Some(path), this.video(path)));
        let mut taken = HashSet::new();
        for (source, target) in pictures.chain(videos) {
            let is_source = |source: &PathBuf| match (source.canonicalize(), target.canonicalize()) {
                (Ok(source), Ok(target)) => source == target,
                _ => false,
            };
            if source.is_some_and(is_source) {
                let message = format!("--out {}: would overwrite {}", folder.display(), target.display());
                return Err(Failure::Usage(message));
            }
            if !taken.insert(target.clone()) {
                return Err(Failure::Usage(format!(
                    "two inputs would be written as {}; give the folder that they are in, or run twice",
                    target.display()
                )));
            }
        }
        Ok(this)
    }

    /// Where a picture goes. One whose name tells no format becomes a PNG.
    fn picture(&self, name: &Path) -> PathBuf {
        let mut path = self.0.join(name);
        if PictureFormat::of(&path).is_none() {
            let mut longer = path.into_os_string();
            longer.push(".png");
            path = longer.into();
        }
        path
    }

    /// Where a video goes.
    pub(super) fn video(&self, path: &Path) -> PathBuf {
        self.0.join(annotated_name(Path::new(path.file_name().unwrap_or(path.as_os_str()))))
    }

    /// Writes a picture; whole, or not at all.
    pub(super) fn write(&self, name: &Path, picture: &Picture) -> Result<(), Failure> {
        let path = self.picture(name);
        let format = PictureFormat::of(&path).unwrap_or(PictureFormat::Png);
        let bytes =
            encode(picture, format).map_err(|source| Failure::Encode { path: path.clone(), source })?;
        let written = std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).and_then(|()| {
            let mut file = beside(&path)?;
            file.write_all(&bytes)?;
            keep(file, &path)
        });
        written.map_err(|source| Failure::Write { path, source })
    }
}
