//! One download: resumed where it breaks off, then checked.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{HubError, Progress};

/// Connections that one download may take. A new one is opened only after the last brought bytes.
const MAX_CONNECTIONS: usize = 32;
/// How long to wait for a connection and for the answer to a request.
const TIMEOUT: Duration = Duration::from_secs(30);
const BUFFER: usize = 256 << 10;

/// What to fetch, and where to put it.
pub(super) struct Target<'a> {
    pub(super) url: &'a str,
    /// The file once it is whole, for messages.
    pub(super) path: &'a Path,
    /// The file while it grows.
    pub(super) part: &'a Path,
    pub(super) file: &'a str,
}

/// How a connection ended.
enum Ending {
    Whole,
    /// The server closed it, or it broke.
    Broken(String),
}

impl Target<'_> {
    /// Fetches what is missing of the part.
    pub(super) fn download(&self, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(), HubError> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            .user_agent(concat!("effigy/", env!("CARGO_PKG_VERSION")));
        let agent = config.build().new_agent();
        let mut reason = String::new();
        for _ in 0..MAX_CONNECTIONS {
            let before = self.part_len();
            match self.connect(&agent, before, progress)? {
                Ending::Whole => return Ok(()),
                Ending::Broken(why) => reason = why,
            }
            if self.part_len() <= before {
                break;
            }
        }
        Err(self.network(reason))
    }

    /// One connection, from byte `start` on.
    fn connect(
        &self,
        agent: &ureq::Agent,
        start: u64,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Ending, HubError> {
        let request = agent.get(self.url);
        let request = if start > 0 { request.header("Range", format!("bytes={start}-")) } else { request };
        let mut response = request.call().map_err(|error| self.network(error.to_string()))?;
        let header = |name| response.headers().get(name)?.to_str().ok();
        let range = header("content-range").map(str::to_owned);
        let length = header("content-length").and_then(|length| length.parse::<u64>().ok());
        let is_continued = range.as_ref().is_some_and(|range| range.starts_with(&format!("bytes {start}-")));
        let (start, total) = match response.status().as_u16() {
            206 if is_continued => (start, length.map(|length| start + length)),
            // A server that knows no ranges sends everything again.
            200 => (0, length),
            // Nothing lies behind the part: it is whole, or it is something else and must go.
            416 if range.is_some_and(|range| range == format!("bytes */{start}")) => {
                return Ok(Ending::Whole);
            }
            206 | 416 if start > 0 => {
                fs::remove_file(self.part).map_err(|source| self.io(source))?;
                return self.connect(agent, 0, progress);
            }
            status => {
                let (url, path) = (self.url.to_owned(), self.path.to_owned());
                return Err(HubError::Status { url, path, status });
            }
        };
        let part = OpenOptions::new().create(true).write(true).truncate(false).open(self.part);
        let mut part = part.map_err(|source| self.io(source))?;
        part.set_len(start).map_err(|source| self.io(source))?;
        io::Seek::seek(&mut part, io::SeekFrom::Start(start)).map_err(|source| self.io(source))?;
        self.receive(&mut response.body_mut().as_reader(), &mut part, start, total, progress)
    }

    fn receive(
        &self,
        body: &mut impl Read,
        part: &mut File,
        start: u64,
        total: Option<u64>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Ending, HubError> {
        let mut buffer = vec![0; BUFFER];
        let mut done = start;
        progress(Progress { file: self.file, done, total });
        loop {
            match body.read(&mut buffer) {
                Ok(0) if total.is_none_or(|total| done == total) => return Ok(Ending::Whole),
                Ok(0) => return Ok(Ending::Broken("the connection was closed too early".to_owned())),
                Ok(count) => {
                    part.write_all(&buffer[..count]).map_err(|source| self.io(source))?;
                    done += count as u64;
                    progress(Progress { file: self.file, done, total });
                }
                Err(error) => return Ok(Ending::Broken(error.to_string())),
            }
        }
    }

    /// Checks the whole part; one that is not what was published is removed.
    pub(super) fn verify(&self, sha256_prefix: Option<&str>) -> Result<(), HubError> {
        let Some(expected) = sha256_prefix else { return Ok(()) };
        let actual = sha256(self.part).map_err(|source| self.io(source))?;
        if actual.starts_with(expected) {
            return Ok(());
        }
        fs::remove_file(self.part).map_err(|source| self.io(source))?;
        Err(HubError::Hash { url: self.url.to_owned(), expected: expected.to_owned(), actual })
    }

    fn part_len(&self) -> u64 {
        fs::metadata(self.part).map_or(0, |metadata| metadata.len())
    }

    fn io(&self, source: io::Error) -> HubError {
        HubError::Io { path: self.part.to_owned(), source }
    }

    fn network(&self, reason: String) -> HubError {
        HubError::Network { url: self.url.to_owned(), path: self.path.to_owned(), reason }
    }
}

/// The file's SHA-256 in hexadecimal.
fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
