//! What a run needs to go on as if it had never stopped, in one file.
//!
//! The file is a safetensors file: what is not parameters is JSON in its metadata. It is written under another
//! name, brought to the disk, and then renamed, so that at any moment the whole of either the last or the one
//! before it is there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Parameters, TrainError};

/// The key of the JSON in the metadata.
const KEY: &str = "effigy-training";
const VERSION: u32 = 1;

/// Stretches of parameters by name.
type Named<'a, T> = Vec<(&'static str, T)>;

#[derive(Serialize)]
struct Header<'a> {
    #[serde(rename = "__metadata__")]
    metadata: BTreeMap<&'a str, String>,
    #[serde(flatten)]
    tensors: BTreeMap<&'a str, Tensor>,
}

#[derive(Serialize, Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    version: u32,
    /// CRC-32C of everything behind the header.
    crc32c: u32,
    content: T,
}

/// Writes `content` and the `stretches`.
///
/// # Errors
/// [`TrainError::Io`]; what was there before is then still there.
pub(crate) fn write(
    path: &Path,
    content: &impl Serialize,
    stretches: &Named<'_, &Parameters>,
) -> Result<(), TrainError> {
    let mut checksum = 0;
    for (_, parameters) in stretches {
        bytes(parameters, |bytes| {
            checksum = crc32c::crc32c_append(checksum, bytes);
            Ok(())
        })
        .map_err(TrainError::io(path))?;
    }
    let envelope = Envelope { version: VERSION, crc32c: checksum, content };
    let json = serde_json::to_string(&envelope).map_err(|error| TrainError::io(path)(error.into()))?;
    let mut end = 0;
    let tensors = stretches.iter().map(|(name, parameters)| {
        let (start, len) = (end, parameters.values().len());
        end += 4 * len;
        (*name, Tensor { dtype: "F32".to_owned(), shape: vec![len], data_offsets: [start, end] })
    });
    let header = Header { tensors: tensors.collect(), metadata: BTreeMap::from([(KEY, json)]) };
    let header = serde_json::to_string(&header).map_err(|error| TrainError::io(path)(error.into()))?;
    replace(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        stretches.iter().try_for_each(|(_, parameters)| bytes(parameters, |bytes| out.write_all(bytes)))
    })
}

/// Writes a file so that it is there as a whole or as it was before, whatever happens meanwhile.
///
/// # Errors
/// [`TrainError::Io`].
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), TrainError> {
    // One name, so that what a killed process left is overwritten.
    let part = path.with_added_extension("part");
    let written = File::create(&part).and_then(|file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        write(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    });
    written.map_err(TrainError::io(&part))?;
    fs::rename(&part, path).map_err(TrainError::io(path))?;
    sync_folder(path)
}

/// Brings a renamed file's new name to the disk.
pub(crate) fn sync_folder(path: &Path) -> Result<(), TrainError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Elsewhere folders cannot be opened, and need not be.
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(TrainError::io(folder))?;
    }
    Ok(())
}

/// Shows the values' little-endian bytes, some at a time.
fn bytes(parameters: &Parameters, mut see: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(1 << 16);
    for values in parameters.values().chunks(1 << 14) {
        buffer.clear();
        values.iter().for_each(|value| buffer.extend(value.to_le_bytes()));
        see(&buffer)?;
    }
    Ok(())
}

/// A state that was read; its parameters are taken by name.
pub(crate) struct Read<T> {
    pub(crate) content: T,
    tensors: BTreeMap<String, Tensor>,
    data: Vec<u8>,
}

/// Reads a state; `None` where there is no file.
///
/// # Errors
/// [`TrainError::Io`], and [`TrainError::State`] where the file is damaged.
pub(crate) fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<Read<T>>, TrainError> {
    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "__metadata__")]
        metadata: BTreeMap<String, String>,
        #[serde(flatten)]
        tensors: BTreeMap<String, Tensor>,
    }
    let mut data = match fs::read(path) {
        Ok(data) => data,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(TrainError::io(path)(error)),
    };
    let damaged = |reason: &dyn std::fmt::Display| TrainError::State {
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let length = data.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes) as usize);
    let start = length.and_then(|length| length.checked_add(8)).filter(|&start| start <= data.len());
    let start = start.ok_or_else(|| damaged(&"it is cut off"))?;
    let header: Header = serde_json::from_slice(&data[8..start]).map_err(|error| damaged(&error))?;
    let json = header.metadata.get(KEY).ok_or_else(|| damaged(&"it holds no training"))?;
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_str(json).map_err(|error| damaged(&error))?;
    if version != VERSION {
        return Err(damaged(&format!("it has version {version}, this effigy reads {VERSION}")));
    }
    let envelope: Envelope<T> = serde_json::from_str(json).map_err(|error| damaged(&error))?;
    data.drain(..start);
    if crc32c::crc32c(&data) != envelope.crc32c {
        return Err(damaged(&"its checksum is wrong"));
    }
    Ok(Some(Read { content: envelope.content, tensors: header.tensors, data }))
}

impl<T> Read<T> {
    /// Copies the stretch of a name; false where there is none of that length.
    pub(crate) fn restore(&self, name: &str, parameters: &mut Parameters) -> bool {
        let found = self.tensors.get(name).and_then(|tensor| {
            let [start, end] = tensor.data_offsets;
            self.data.get(start..end)
        });
        let Some(bytes) = found.filter(|bytes| bytes.len() == 4 * parameters.values().len()) else {
            return false;
        };
        let (values, _) = bytes.as_chunks::<4>();
        for (to, from) in parameters.values_mut().iter_mut().zip(values) {
            *to = f32::from_le_bytes(*from);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimiser::tests::example;

    #[test]
    fn what_is_written_is_read_and_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert!(read::<u32>(&path).unwrap().is_none());
        let (parameters, gradients) = example();
        for content in [1_u32, 2] {
            write(&path, &content, &vec![("parameters", &parameters), ("moment.0", &gradients)]).unwrap();
        }
        let state = read::<u32>(&path).unwrap().unwrap();
        let mut restored = parameters.zeros_like();
        assert!(state.restore("parameters", &mut restored) && restored.values() == parameters.values());
        assert!(state.restore("moment.0", &mut restored) && restored.values() == gradients.values());
        assert!(!state.restore("moment.1", &mut restored));
        assert_eq!(state.content, 2);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        *changed.last_mut().unwrap() ^= 1;
        for bytes in [&changed[..], &whole[..whole.len() - 1], &whole[..20], &[]] {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(read::<u32>(&path), Err(TrainError::State { .. })), "{} bytes", bytes.len());
        }
    }
}
