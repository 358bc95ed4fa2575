//! Writing a network with its weights as safetensors, from which it loads without assumptions.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use effigy_arch::{Network, Quantisation};

use crate::card;
use crate::error::WeightsError;
use crate::format::{SafetensorsHeader, SafetensorsTensor};
use crate::weights::{Param, Weights};

/// The type in which [`convert`] writes numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits, without loss.
    #[default]
    F32,
    /// IEEE's 16 bits: 11 significant bits.
    F16,
    /// The upper half of an `f32`: 8 significant bits.
    Bf16,
}

impl Precision {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
        }
    }

    fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// The type for one parameter. BatchNorm's parameters and biases stay `f32`: they are few, and a
    /// variance may exceed what `f16` can hold. So does any other tensor with such a value.
    fn of(self, param: &Param<'_>) -> Self {
        let overflows = |v: &f32| half::f16::from_f32(*v).is_infinite() && v.is_finite();
        match self {
            _ if param.shape.len() <= 1 => Self::F32,
            Self::F16 if param.values.iter().any(overflows) => Self::F32,
            precision => precision,
        }
    }

    fn write(self, values: &[f32], out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::F32 => values.iter().try_for_each(|v| out.write_all(&v.to_le_bytes())),
            Self::F16 => {
                values.iter().try_for_each(|v| out.write_all(&half::f16::from_f32(*v).to_le_bytes()))
            }
            Self::Bf16 => {
                values.iter().try_for_each(|v| out.write_all(&half::bf16::from_f32(*v).to_le_bytes()))
            }
        }
    }
}

/// Writes `weights` under their canonical names, with a description of `network` and the `labels` of
/// its classes in the header's metadata. The file is written beside `path` and then moved there, so
/// that nobody ever sees half of it.
///
/// # Errors
/// What the operating system says when the file cannot be written.
pub fn convert(
    path: &Path,
    network: &Network,
    weights: &Weights,
    labels: Option<&[String]>,
    precision: Precision,
) -> Result<(), WeightsError> {
    write(path, network, weights, labels, precision, None)
        .map_err(|source| WeightsError::Io { path: path.to_owned(), source })
}

/// As [`convert`] without loss, with the ranges of the network's values, under which it can compute with 8-bit
/// integers.
///
/// # Errors
/// What the operating system says when the file cannot be written.
pub fn convert_quantised(
    path: &Path,
    network: &Network,
    weights: &Weights,
    labels: Option<&[String]>,
    quantisation: &Quantisation,
) -> Result<(), WeightsError> {
    write(path, network, weights, labels, Precision::F32, Some(quantisation))
        .map_err(|source| WeightsError::Io { path: path.to_owned(), source })
}

fn write(
    path: &Path,
    network: &Network,
    weights: &Weights,
    labels: Option<&[String]>,
    precision: Precision,
    quantisation: Option<&Quantisation>,
) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".effigy-").tempfile_in(folder)?;
    let mut out = BufWriter::new(file.as_file_mut());
    let header = header(network, weights, labels, precision, quantisation);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    for (_, param) in weights.iter() {
        precision.of(&param).write(&param.values, &mut out)?;
    }
    out.flush()?;
    drop(out);
    file.as_file().sync_all()?;
    share(file.as_file())?;
    file.persist(path)?;
    Ok(())
}

/// A temporary file is its owner's alone; a checkpoint is for whoever may read the folder.
#[cfg(unix)]
fn share(file: &std::fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn share(_: &std::fs::File) -> io::Result<()> {
    Ok(())
}

/// The JSON header, padded so that numbers start on a cache line and can be used where they lie.
fn header(
    network: &Network,
    weights: &Weights,
    labels: Option<&[String]>,
    precision: Precision,
    quantisation: Option<&Quantisation>,
) -> String {
    const ALIGN: usize = 64;
    let card = card::write(network, labels);
    // Hugging Face's tools ask for `format`.
    let mut metadata = BTreeMap::from([(card::KEY.to_owned(), card), ("format".to_owned(), "pt".to_owned())]);
    if let Some(quantisation) = quantisation {
        metadata.insert(card::quantisation::KEY.to_owned(), card::quantisation::write(quantisation));
    }
    let mut end = 0;
    let tensors = weights.iter().map(|(name, param)| {
        let precision = precision.of(&param);
        let start = end;
        end += param.values.len() * precision.size();
        let dtype = precision.name().to_owned();
        (
            name.to_owned(),
            SafetensorsTensor { dtype, shape: param.shape.to_vec(), data_offsets: [start, end] },
        )
    });
    let header = SafetensorsHeader { metadata, tensors: tensors.collect() };
    let mut json = serde_json::to_string(&header).expect("strings and numbers are always valid JSON");
    let padded = (8 + json.len()).next_multiple_of(ALIGN) - 8;
    json.extend(std::iter::repeat_n(' ', padded - json.len()));
    json
}
