//! NumPy's files: `.npy` written as rows come, `.npz` from several of them.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>, version 1.0. A file is
//! written beside its place and moved there when it is whole.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Length of a header, magic included: a multiple of 64 with room for any shape.
const HEADER: usize = 192;

/// An array of `f32` whose first axis grows row by row.
#[derive(Debug)]
pub(crate) struct NpyWriter {
    file: BufWriter<NamedTempFile>,
    /// Length of every axis but the first.
    row: Vec<usize>,
    rows: usize,
}

impl NpyWriter {
    /// An array with rows of the shape `row`, which will lie in the folder of `path`.
    pub(crate) fn create(path: &Path, row: &[usize]) -> io::Result<Self> {
        let mut file = BufWriter::new(beside(path)?);
        file.write_all(&[0; HEADER])?;
        Ok(Self { file, row: row.to_vec(), rows: 0 })
    }

    /// Appends rows: `values` in row-major order.
    pub(crate) fn push(&mut self, values: &[f32]) -> io::Result<()> {
        let row: usize = self.row.iter().product();
        assert!(values.len().is_multiple_of(row), "whole rows only");
        self.rows += values.len() / row;
        values.iter().try_for_each(|value| self.file.write_all(&value.to_le_bytes()))
    }

    /// The shape so far.
    pub(crate) fn shape(&self) -> Vec<usize> {
        [self.rows].into_iter().chain(self.row.iter().copied()).collect()
    }

    /// Moves the whole file to `path`.
    pub(crate) fn finish(self, path: &Path) -> io::Result<()> {
        keep(self.close()?, path)
    }

    /// Writes the header, now that the shape is known.
    fn close(self) -> io::Result<NamedTempFile> {
        let header = header(&self.shape());
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header)?;
        Ok(file)
    }
}

/// Writes named arrays as one `.npz` at `path`.
pub(crate) fn write_npz(path: &Path, arrays: Vec<(String, NpyWriter)>) -> io::Result<()> {
    let mut zip = zip::ZipWriter::new(beside(path)?);
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .large_file(true);
    for (name, array) in arrays {
        zip.start_file(format!("{name}.npy"), options)?;
        let mut file = array.close()?;
        file.seek(SeekFrom::Start(0))?;
        io::copy(file.as_file_mut(), &mut zip)?;
    }
    keep(zip.finish()?, path)
}

/// A temporary file in the folder of `path`, from where it can be moved there.
pub(crate) fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::Builder::new().prefix(".effigy-").tempfile_in(folder)
}

/// Moves a temporary file to `path`, readable as any new file is.
pub(crate) fn keep(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    share(file.as_file())?;
    file.persist(path)?;
    Ok(())
}

#[cfg(unix)]
pub(crate) fn share(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
pub(crate) fn share(_: &File) -> io::Result<()> {
    Ok(())
}

fn header(shape: &[usize]) -> [u8; HEADER] {
    let axes: Vec<String> = shape.iter().map(usize::to_string).collect();
    // A tuple of one needs its comma.
    let comma = if axes.len() == 1 { "," } else { "" };
    let dictionary =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}{comma}), }}", axes.join(", "));
    let mut header = [b' '; HEADER];
    header[..8].copy_from_slice(b"\x93NUMPY\x01\x00");
    header[8..10].copy_from_slice(&(HEADER as u16 - 10).to_le_bytes());
    header[10..10 + dictionary.len()].copy_from_slice(dictionary.as_bytes());
    header[HEADER - 1] = b'\n';
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_header_and_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let mut array = NpyWriter::create(&path, &[3]).unwrap();
        array.push(&[1.0, 2.0, 3.0]).unwrap();
        array.push(&[4.0, 5.0, 6.0]).unwrap();
        assert!(!path.exists());
        array.finish(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes[10..HEADER]);
        assert_eq!(text.trim(), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
        assert_eq!(bytes.len(), HEADER + 4 * 6);
        assert_eq!(bytes[HEADER..HEADER + 4], 1.0_f32.to_le_bytes());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
