//! The files of a checkpoint, whichever of them was named.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Length of the text file `checkpoint`, in bytes.
const MAX_STATE_BYTES: u64 = 1 << 20;

/// Where a checkpoint is: `PREFIX`, to which the files' endings are added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    prefix: PathBuf,
}

impl Files {
    /// The checkpoint that `path` means: its prefix, its index, its graph, one of its shards, or a folder
    /// with the file `checkpoint`, which names the latest. Nothing where `path` is something else.
    pub(crate) fn of(path: &Path) -> io::Result<Option<Self>> {
        if path.is_dir() {
            return latest(path);
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // A shard is nothing without its index, which then is what is missing.
        if let Some(prefix) = of_shard(name) {
            return Ok(Some(Self { prefix: path.with_file_name(prefix) }));
        }
        let prefix = match name.strip_suffix(".index").or_else(|| name.strip_suffix(".meta")) {
            Some(prefix) => path.with_file_name(prefix),
            None if path.exists() => return Ok(None),
            None => path.to_owned(),
        };
        let files = Self { prefix };
        Ok(files.index().is_file().then_some(files))
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.with(".index")
    }

    pub(crate) fn shard(&self, shard: usize, shards: usize) -> PathBuf {
        self.with(&format!(".data-{shard:05}-of-{shards:05}"))
    }

    fn with(&self, ending: &str) -> PathBuf {
        let mut path = self.prefix.clone().into_os_string();
        path.push(ending);
        path.into()
    }
}

/// `model.ckpt.data-00000-of-00001` → `model.ckpt`
fn of_shard(name: &str) -> Option<&str> {
    let (prefix, numbers) = name.rsplit_once(".data-")?;
    let (shard, shards) = numbers.split_once("-of-")?;
    let is_number = |text: &str| text.len() >= 5 && text.bytes().all(|b| b.is_ascii_digit());
    (is_number(shard) && is_number(shards)).then_some(prefix)
}

/// The checkpoint of a folder's file `checkpoint`, a text with the line `model_checkpoint_path: "…"`.
fn latest(folder: &Path) -> io::Result<Option<Files>> {
    let file = match fs::File::open(folder.join("checkpoint")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = String::new();
    file.take(MAX_STATE_BYTES).read_to_string(&mut text)?;
    let Some(named) = text.lines().find_map(|line| {
        line.trim().strip_prefix("model_checkpoint_path:")?.trim().strip_prefix('"')?.strip_suffix('"')
    }) else {
        return Ok(None);
    };
    // An absolute path is that of the machine where the checkpoint was made, unless it has not moved.
    let named = Path::new(named);
    let here = Files { prefix: folder.join(named.file_name().unwrap_or_default()) };
    let there = Files { prefix: folder.join(named) };
    Ok([there, here].into_iter().find(|files| files.index().is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_a_checkpoint_means_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("model.ckpt.index"), "").unwrap();
        fs::write(at("model.ckpt.data-00000-of-00002"), "").unwrap();
        fs::write(at("other.pth"), "").unwrap();
        let files = Files { prefix: at("model.ckpt") };
        for name in ["model.ckpt", "model.ckpt.index", "model.ckpt.meta", "model.ckpt.data-00001-of-00002"] {
            assert_eq!(Files::of(&at(name)).unwrap().as_ref(), Some(&files), "{name}");
        }
        for name in ["other.pth", "none.index", "none", "model.ckpt.data-1-of-2"] {
            assert_eq!(Files::of(&at(name)).unwrap(), None, "{name}");
        }
        assert_eq!(files.shard(1, 2), at("model.ckpt.data-00001-of-00002"));

        assert_eq!(Files::of(folder.path()).unwrap(), None);
        for path in ["model.ckpt", "/somewhere/else/model.ckpt"] {
            fs::write(at("checkpoint"), format!("model_checkpoint_path: \"{path}\"\n")).unwrap();
            assert_eq!(Files::of(folder.path()).unwrap().as_ref(), Some(&files), "{path}");
        }
    }
}
