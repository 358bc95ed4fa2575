//! Published checkpoints: where they are, and a cache for them.
//!
//! Files lie under `$EFFIGY_CACHE`, else `$XDG_CACHE_HOME/effigy`, else `~/.cache/effigy`. A download
//! goes to `<file>.part`, is resumed where it broke off, checked against the SHA-256 that the file's
//! name gives, and only then moved into place; a lock keeps two processes from fetching one file.

mod download;
mod table;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use table::ADVPROP;
pub use table::{Checkpoint, Host, checkpoints};

/// How a checkpoint was trained; picks among those of one network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Training {
    /// As in the network's paper; for B0 … B7, lukemelas' port.
    #[default]
    Base,
    /// AutoAugment (timm's port).
    AutoAugment,
    /// RandAugment (timm's port).
    RandAugment,
    /// AdvProp (lukemelas' port; effdet's of detectors).
    AdvProp,
    /// Noisy Student (timm's port).
    NoisyStudent,
}

/// How far a download has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file's name.
    pub file: &'a str,
    /// Bytes that are here, those of earlier attempts included.
    pub done: u64,
    /// Bytes of the whole file, where the server says.
    pub total: Option<u64>,
}

/// Where checkpoints come from and where they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hub {
    cache: PathBuf,
    mirror: Option<String>,
    offline: bool,
}

/// Why a checkpoint could not be had.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// No checkpoint is called that.
    #[error("no published checkpoint is called `{name}`{}", hint(similar))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Checkpoints of the same network.
        similar: Vec<&'static str>,
    },
    /// Neither of the variables that name the cache is set.
    #[error("no folder for the cache is known; set EFFIGY_CACHE to one")]
    NoCache,
    /// The network must not be used.
    #[error(
        "EFFIGY_OFFLINE is set and {} is not there; fetch {url} where there is a network and put the file there",
        path.display()
    )]
    Offline {
        /// Where the file can be had.
        url: String,
        /// Where it is expected.
        path: PathBuf,
    },
    /// The server cannot be reached, or the connection broke and could not be taken up again.
    #[error(
        "{url} cannot be fetched: {reason}; fetch it elsewhere and put the file at {}, or set EFFIGY_HUB to a mirror",
        path.display()
    )]
    Network {
        /// What was to be fetched.
        url: String,
        /// Where it was to go.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// The server answers, but not with the file.
    #[error("{url}: the server answers {status}; fetch the file elsewhere and put it at {}", path.display())]
    Status {
        /// What was to be fetched.
        url: String,
        /// Where it was to go.
        path: PathBuf,
        /// HTTP's status code.
        status: u16,
    },
    /// What came is not the published file. It has been removed.
    #[error(
        "{url}: the file's SHA-256 should start with {expected} but is {actual}; it was removed, so try again"
    )]
    Hash {
        /// What was fetched.
        url: String,
        /// The start of the published SHA-256.
        expected: String,
        /// The SHA-256 of what came.
        actual: String,
    },
    /// The operating system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

fn hint(similar: &[&str]) -> String {
    if similar.is_empty() { String::new() } else { format!("; there are {}", similar.join(", ")) }
}

/// The checkpoint of a name. A network's canonical name takes a `training`; other names
/// (`tf_efficientnet_b0.ns_jft_in1k`, `torchvision/efficientnet_v2_s`) are whole as they are, but
/// timm's tag may be left out where only one checkpoint is left by that.
///
/// # Errors
/// When there is no such checkpoint; the error lists those of the same network.
pub fn find(name: &str, training: Training) -> Result<&'static Checkpoint, HubError> {
    let exact = |name: &str| checkpoints().iter().find(|checkpoint| checkpoint.name == name);
    let timm = name.strip_prefix("timm/").unwrap_or(name);
    if training == Training::Base
        && let Some(checkpoint) = exact(timm)
    {
        return Ok(checkpoint);
    }
    // Canonical names have hyphens and stand for the published weights; timm's have none and stand for
    // themselves.
    let ported = match timm.contains('-') {
        true => format!("tf_{}", timm.replace("edgetpu-", "e").replace('-', "_")),
        false => timm.to_owned(),
    };
    let found = match training {
        Training::Base => exact(&format!("{ported}.in1k")),
        Training::AutoAugment => exact(&format!("{ported}.aa_in1k")),
        Training::RandAugment => exact(&format!("{ported}.ra_in1k")),
        Training::AdvProp => exact(&format!("{timm}{ADVPROP}")).or_else(|| exact(&format!("{ported}_ap"))),
        Training::NoisyStudent => exact(&format!("{ported}.ns_jft_in1k")),
    };
    let related = |checkpoint: &&Checkpoint| {
        let stem = checkpoint.name.split('.').next().unwrap_or_default();
        stem == timm || stem == ported
    };
    let similar: Vec<&'static Checkpoint> = checkpoints().iter().filter(related).collect();
    match (found, &similar[..]) {
        (Some(checkpoint), _) => Ok(checkpoint),
        (None, [only]) if training == Training::Base => Ok(only),
        _ => {
            let similar = similar.iter().map(|checkpoint| checkpoint.name).collect();
            Err(HubError::Unknown { name: name.to_owned(), similar })
        }
    }
}

impl Hub {
    /// The hub as the environment says: `EFFIGY_CACHE`, `XDG_CACHE_HOME` and `HOME` for the cache,
    /// `EFFIGY_HUB` for a mirror, `EFFIGY_OFFLINE=1` for no network.
    ///
    /// # Errors
    /// When no folder for the cache is known.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_variables(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, HubError> {
        let folder = |name| variable(name).map(PathBuf::from);
        let cache = folder("EFFIGY_CACHE")
            // The XDG specification has relative paths ignored.
            .or_else(|| {
                folder("XDG_CACHE_HOME").filter(|path| path.is_absolute()).map(|path| path.join("effigy"))
            })
            .or_else(|| folder("HOME").map(|home| home.join(".cache/effigy")))
            .or_else(|| folder("LOCALAPPDATA").map(|data| data.join("effigy")))
            .ok_or(HubError::NoCache)?;
        let mirror = variable("EFFIGY_HUB").map(|url| url.to_string_lossy().into_owned());
        let offline = variable("EFFIGY_OFFLINE").is_some_and(|value| value != "0");
        Ok(Self { cache, mirror, offline })
    }

    /// A hub with its cache in a folder, which need not exist yet.
    #[must_use]
    pub fn new(cache: &Path) -> Self {
        Self { cache: cache.to_owned(), mirror: None, offline: false }
    }

    /// The same hub, fetching `<url>/<file>` for every checkpoint.
    #[must_use]
    pub fn with_mirror(self, url: &str) -> Self {
        Self { mirror: Some(url.to_owned()), ..self }
    }

    /// The same hub, with or without the network.
    #[must_use]
    pub fn with_offline(self, offline: bool) -> Self {
        Self { offline, ..self }
    }

    /// Where a checkpoint lies once it is here.
    #[must_use]
    pub fn path(&self, checkpoint: &Checkpoint) -> PathBuf {
        self.cache.join(checkpoint.file())
    }

    /// Whether a checkpoint is here.
    #[must_use]
    pub fn has(&self, checkpoint: &Checkpoint) -> bool {
        self.path(checkpoint).is_file()
    }

    /// The address from which a checkpoint is fetched.
    #[must_use]
    pub fn url(&self, checkpoint: &Checkpoint) -> String {
        match &self.mirror {
            Some(mirror) => format!("{}/{}", mirror.trim_end_matches('/'), checkpoint.file()),
            None => format!("{}{}", checkpoint.host.base(), checkpoint.path),
        }
    }

    /// The path of a checkpoint, fetched first if it is not in the cache. `progress` is called now and
    /// then while bytes arrive.
    ///
    /// # Errors
    /// When the file is neither here nor to be had, or is not the published one.
    pub fn fetch(
        &self,
        checkpoint: &Checkpoint,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<PathBuf, HubError> {
        let path = self.path(checkpoint);
        if path.is_file() {
            return Ok(path);
        }
        let url = self.url(checkpoint);
        if self.offline {
            return Err(HubError::Offline { url, path });
        }
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| HubError::Io { path, source }
        };
        fs::create_dir_all(&self.cache).map_err(io(&self.cache))?;
        let lock_path = path.with_added_extension("lock");
        let lock = File::create(&lock_path).map_err(io(&lock_path))?;
        lock.lock().map_err(io(&lock_path))?;
        // Whoever held the lock before may have fetched it.
        if !path.is_file() {
            let part = path.with_added_extension("part");
            let file = checkpoint.file();
            let target = download::Target { url: &url, path: &path, part: &part, file: &file };
            target.download(progress)?;
            target.verify(checkpoint.sha256_prefix())?;
            fs::rename(&part, &path).map_err(io(&part))?;
        }
        // It only tidies up: who still waits for the lock holds the file, and will find the checkpoint.
        let _ = fs::remove_file(&lock_path);
        Ok(path)
    }
}

/// The path of a checkpoint, from the hub that the environment describes: [`find`], then
/// [`Hub::fetch`].
///
/// # Errors
/// As both of them.
pub fn fetch(
    name: &str,
    training: Training,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf, HubError> {
    Hub::from_env()?.fetch(find(name, training)?, progress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_checkpoints() {
        let file = |name, training| find(name, training).map(Checkpoint::file).unwrap();
        assert_eq!(file("efficientnet-b0", Training::Base), "efficientnet-b0-355c32eb.pth");
        assert_eq!(file("efficientnet-b0", Training::AdvProp), "adv-efficientnet-b0-b64d5a18.pth");
        assert_eq!(file("efficientnet-b8", Training::AdvProp), "adv-efficientnet-b8-22a8fe65.pth");
        assert_eq!(file("efficientnet-b7", Training::NoisyStudent), "tf_efficientnet_b7_ns-1dbc32de.pth");
        assert_eq!(file("efficientnet-lite4", Training::Base), "tf_efficientnet_lite4-741542c3.pth");
        assert_eq!(file("efficientnet-edgetpu-s", Training::Base), "tf_efficientnet_es-ca1afbfe.pth");
        assert_eq!(file("efficientnetv2-s", Training::Base), "tf_efficientnetv2_s-eb54923e.pth");
        assert_eq!(file("tf_efficientnet_b0.aa_in1k", Training::Base), "tf_efficientnet_b0_aa-827b6e33.pth");
        assert_eq!(file("efficientnet_b2", Training::Base), "efficientnet_b2_ra-bcdf34b7.pth");
        assert_eq!(file("torchvision/efficientnet_v2_s", Training::Base), "efficientnet_v2_s-dd5fe13b.pth");
        assert_eq!(file("efficientdet-d7", Training::Base), "tf_efficientdet_d7_53-6d1d7a95.pth");
        assert_eq!(file("efficientdet-d0", Training::AdvProp), "tf_efficientdet_d0_ap-d0cdbd0a.pth");
        assert_eq!(file("zylo117/efficientdet-d8", Training::Base), "efficientdet-d8.pth");
        assert_eq!(file("efficientdet_d1", Training::Base), "efficientdet_d1-bb7e98fe.pth");
        let error = find("efficientnet-l2", Training::Base).unwrap_err().to_string();
        assert!(error.contains("tf_efficientnet_l2.ns_jft_in1k_475"), "{error}");
        assert!(find("resnet50", Training::Base).is_err());
    }

    #[test]
    fn hashes_are_read_off_names() {
        let prefix = |name| find(name, Training::Base).unwrap().sha256_prefix();
        assert_eq!(prefix("efficientnet-b0"), Some("355c32eb"));
        assert_eq!(prefix("efficientnet_b5.sw_in12k"), None);
        assert_eq!(prefix("tf_efficientdet_d0"), Some("f153e0cf"));
        assert_eq!(prefix("zylo117/efficientdet-d0"), None);
    }

    #[test]
    fn the_environment_is_honoured() {
        let hub = |variables: &[(&str, &str)]| {
            Hub::from_variables(|name| {
                variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into())
            })
        };
        assert_eq!(hub(&[("HOME", "/h")]).unwrap().cache, Path::new("/h/.cache/effigy"));
        assert_eq!(hub(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]).unwrap().cache, Path::new("/x/effigy"));
        assert_eq!(
            hub(&[("HOME", "/h"), ("XDG_CACHE_HOME", "x")]).unwrap().cache,
            Path::new("/h/.cache/effigy")
        );
        let all =
            hub(&[("EFFIGY_CACHE", "/c"), ("EFFIGY_HUB", "http://m/"), ("EFFIGY_OFFLINE", "1")]).unwrap();
        assert_eq!(all, Hub::new(Path::new("/c")).with_mirror("http://m/").with_offline(true));
        assert!(!hub(&[("HOME", "/h"), ("EFFIGY_OFFLINE", "0")]).unwrap().offline);
        assert!(matches!(hub(&[]), Err(HubError::NoCache)));
        let b0 = find("efficientnet-b0", Training::Base).unwrap();
        assert_eq!(all.url(b0), "http://m/efficientnet-b0-355c32eb.pth");
    }
}
