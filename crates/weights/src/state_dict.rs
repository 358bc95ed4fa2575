//! The tensors of a checkpoint under the names of its file.

use std::borrow::Cow;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use effigy_tensor::MappedFile;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

use crate::bytes::Bytes;
use crate::error::WeightsError;
use crate::format::{self, Contents, Format, FormatError, MAX_AXES, TensorFlowFiles, TensorFlowIndex};

/// Tensors of fewer bytes share their pages with others, and are not worth asking the system.
const WORTH_RELEASING: usize = 64 << 10;

/// The type of a stored number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum DType {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

/// A tensor as a file stores it: a view of the file's bytes, converted when asked for.
#[derive(Clone, Debug)]
pub struct StoredTensor {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    /// Elements from one index of an axis to the next; `None` for row-major order without gaps.
    strides: Option<Vec<usize>>,
    /// The bytes of the storage from the tensor's first element on.
    range: Range<usize>,
    big_endian: bool,
    /// Which of the checkpoint's files it is in.
    part: usize,
}

/// A checkpoint: tensors in the order of their file, and what else the file says.
#[derive(Clone, Debug)]
pub struct StateDict {
    /// One for each file.
    parts: Arc<[Bytes]>,
    format: Format,
    tensors: Arc<[StoredTensor]>,
    index: Arc<HashMap<String, usize>>,
    metadata: BTreeMap<String, String>,
    notes: Vec<String>,
}

/// A tensor of a [`StateDict`], with the bytes it lies in.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    bytes: &'a [u8],
    tensor: &'a StoredTensor,
}

/// Reads a checkpoint of any supported format, told by its content and not by its extension.
/// Nothing in the file is ever executed, and numbers are not touched until asked for.
///
/// A TensorFlow checkpoint is several files: `path` is what their names start with, any one of them, or a
/// folder whose file `checkpoint` names them. Its numbers have checksums and are all touched to check them.
///
/// # Errors
/// When the file cannot be opened, or is not what its format asks for.
pub fn read(path: &Path) -> Result<StateDict, WeightsError> {
    let io = |source| WeightsError::Io { path: path.to_owned(), source };
    match TensorFlowFiles::of(path).map_err(io)? {
        Some(files) => {
            let path = files.index();
            read_index(&map(&path)?, &path, |shard, shards| map(&files.shard(shard, shards)))
        }
        None => read_bytes(map(path)?, path),
    }
}

fn map(path: &Path) -> Result<Bytes, WeightsError> {
    let io = |source| WeightsError::Io { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(io)?;
    // A directory opens but cannot be mapped, and an empty file maps nowhere: say so plainly.
    Ok(match metadata.len() {
        _ if metadata.is_dir() => return Err(io(std::io::ErrorKind::IsADirectory.into())),
        0 => Bytes::Static(&[]),
        _ => Bytes::Mapped(Arc::new(MappedFile::open(path).map_err(io)?)),
    })
}

/// Reads a checkpoint from memory. `name` stands for the path in messages, and hints at the model
/// as a file's name would.
///
/// # Errors
/// When the bytes are not what their format asks for.
pub fn read_bytes(bytes: impl Into<Bytes>, name: &Path) -> Result<StateDict, WeightsError> {
    format::read(bytes.into()).map_err(|source| WeightsError::Format { path: name.to_owned(), source })
}

/// Reads a TensorFlow checkpoint from memory: its index and its shards, in order. `name` stands for the
/// path.
///
/// # Errors
/// When the bytes are not what the format asks for.
pub fn read_shards(
    index: impl Into<Bytes>,
    shards: &[Bytes],
    name: &Path,
) -> Result<StateDict, WeightsError> {
    // A shard that is not there is empty, and the tensors in it say that they end beyond its end.
    let shard = |shard: usize, _| Ok(shards.get(shard).cloned().unwrap_or(Bytes::Static(&[])));
    read_index(&index.into(), name, shard)
}

/// Reads the checkpoint of an index. `shard` gives the bytes of a shard, of so many in all.
fn read_index(
    index: &[u8],
    name: &Path,
    shard: impl Fn(usize, usize) -> Result<Bytes, WeightsError>,
) -> Result<StateDict, WeightsError> {
    let malformed = |source| WeightsError::Format { path: name.to_owned(), source };
    let index = TensorFlowIndex::read(index).map_err(malformed)?;
    let mut shards = vec![Bytes::Static(&[]); index.shards()];
    for used in index.used_shards() {
        shards[used] = shard(used, index.shards())?;
    }
    let contents = index.contents(&shards).map_err(malformed)?;
    Ok(StateDict::new(shards, Format::TensorFlow, contents))
}

impl DType {
    /// Bytes of one number.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::I16 => "i16",
            Self::I8 => "i8",
            Self::U8 => "u8",
            Self::Bool => "bool",
        })
    }
}

/// Where a tensor lies in its storage, as a file claims; [`StoredTensor::new`] checks it.
pub(crate) struct View<'a> {
    pub(crate) dtype: DType,
    /// The storage's bytes within the file.
    pub(crate) storage: Range<usize>,
    /// The first element's position in the storage.
    pub(crate) offset: usize,
    pub(crate) shape: &'a [usize],
    pub(crate) strides: &'a [usize],
    pub(crate) big_endian: bool,
}

impl StoredTensor {
    /// Checks that every element lies in the storage, and that there are no more elements than the
    /// storage holds: a view that repeats its elements could ask for any amount of memory.
    pub(crate) fn new(name: String, view: &View<'_>) -> Result<Self, FormatError> {
        let refuse = |what| FormatError::Tensor { tensor: name.clone(), what };
        if view.shape.len() != view.strides.len() || view.shape.len() > MAX_AXES {
            return Err(refuse("its shape and its strides do not fit together"));
        }
        let size = view.dtype.size();
        let stored = view.storage.len() / size;
        let outside = || refuse("it reaches outside of its storage");
        let count = checked_product(view.shape).ok_or_else(outside)?;
        if count > stored {
            return Err(refuse("it has more elements than its storage holds"));
        }
        let last = match count {
            0 => 0,
            _ => last_element(view).filter(|&last| last < stored).ok_or_else(outside)?,
        };
        let start = if count == 0 { view.storage.start } else { view.storage.start + view.offset * size };
        let end = if count == 0 { start } else { view.storage.start + (last + 1) * size };
        let dense = row_major(view.shape);
        let is_dense = view.shape.iter().zip(view.strides).zip(&dense).all(|((&d, s), t)| d <= 1 || s == t);
        Ok(Self {
            name,
            dtype: view.dtype,
            shape: view.shape.to_vec(),
            strides: (!is_dense && count > 0).then(|| view.strides.to_vec()),
            range: start..end,
            big_endian: view.big_endian,
            part: 0,
        })
    }

    /// The same tensor in another file of the checkpoint.
    pub(crate) fn of_part(self, part: usize) -> Self {
        Self { part, ..self }
    }

    /// The name in the file, with everything it is nested in: `state_dict.conv_stem.weight`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of its numbers.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The length of each axis; empty for a single number.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The numbers in row-major order, as `f32`: borrowed where they lie in `bytes` as such.
    pub(crate) fn values<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [f32]> {
        let raw = &bytes[self.range.clone()];
        let is_native = cfg!(target_endian = "little") && !self.big_endian && self.strides.is_none();
        match self.dtype {
            DType::F32 if is_native => {
                let aligned = bytemuck::try_cast_slice(raw);
                return aligned.map_or_else(
                    |_| Cow::Owned(bytemuck::allocation::pod_collect_to_vec(raw)),
                    Cow::Borrowed,
                );
            }
            // In bulk, so that the processor's own instruction is used where it has one.
            DType::F16 if is_native => {
                let bits = bytemuck::allocation::pod_collect_to_vec::<u8, u16>(raw);
                return Cow::Owned(bits.reinterpret_cast::<half::f16>().to_f32_vec());
            }
            _ => {}
        }
        Cow::Owned(match self.dtype {
            DType::F64 => self.convert(raw, |b| f64::from_le_bytes(b) as f32),
            DType::F32 => self.convert(raw, f32::from_le_bytes),
            DType::F16 => self.convert(raw, |b| half::f16::from_le_bytes(b).to_f32()),
            DType::Bf16 => self.convert(raw, |b| half::bf16::from_le_bytes(b).to_f32()),
            DType::I64 => self.convert(raw, |b| i64::from_le_bytes(b) as f32),
            DType::I32 => self.convert(raw, |b| i32::from_le_bytes(b) as f32),
            DType::I16 => self.convert(raw, |b| f32::from(i16::from_le_bytes(b))),
            DType::I8 => self.convert(raw, |b| f32::from(i8::from_le_bytes(b))),
            DType::U8 => self.convert(raw, |b: [u8; 1]| f32::from(b[0])),
            DType::Bool => self.convert(raw, |b: [u8; 1]| f32::from(u8::from(b[0] != 0))),
        })
    }

    /// Whether all of its numbers are finite as `f32`.
    fn is_finite(&self, bytes: &[u8]) -> bool {
        let raw = &bytes[self.range.clone()];
        // Infinities and what is not a number have all bits of the exponent set.
        let suspicious = match self.dtype {
            DType::F32 => self.any(raw, |b| u32::from_le_bytes(b) & 0x7f80_0000 == 0x7f80_0000),
            DType::F16 => self.any(raw, |b| u16::from_le_bytes(b) & 0x7c00 == 0x7c00),
            DType::Bf16 => self.any(raw, |b| u16::from_le_bytes(b) & 0x7f80 == 0x7f80),
            // It may be too large for `f32`.
            DType::F64 => true,
            DType::I64 | DType::I32 | DType::I16 | DType::I8 | DType::U8 | DType::Bool => false,
        };
        // What was suspicious may lie in a gap between the numbers.
        !suspicious || self.values(bytes).iter().all(|value| value.is_finite())
    }

    /// Whether `is` holds for any number of the storage, gaps included. Looks at all of them: that is what
    /// the compiler can make vectors of.
    fn any<const N: usize>(&self, raw: &[u8], is: impl Fn([u8; N]) -> bool) -> bool {
        let (elements, _) = raw.as_chunks::<N>();
        if self.big_endian {
            let turned = |mut element: [u8; N]| {
                element.reverse();
                is(element)
            };
            return elements.iter().fold(false, |any, &element| any | turned(element));
        }
        elements.iter().fold(false, |any, &element| any | is(element))
    }

    fn convert<const N: usize>(&self, raw: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        if self.big_endian {
            let turned = |mut element: [u8; N]| {
                element.reverse();
                number(element)
            };
            return self.gather(raw, turned);
        }
        self.gather(raw, number)
    }

    fn gather<const N: usize>(&self, raw: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let (elements, _) = raw.as_chunks::<N>();
        let Some(strides) = &self.strides else { return elements.iter().map(|&e| number(e)).collect() };
        // Axes of length 1 move nothing; without them the inner loop below is as long as can be.
        let axes = self.shape.iter().copied().zip(strides.iter().copied());
        let axes: Vec<(usize, usize)> = axes.filter(|&(length, _)| length != 1).collect();
        let Some((&(length, stride), outer)) = axes.split_last() else { return vec![number(elements[0])] };
        let mut values = Vec::with_capacity(self.shape.iter().product());
        let mut index = vec![0; outer.len()];
        for _ in 0..outer.iter().map(|(length, _)| length).product() {
            let start: usize = index.iter().zip(outer).map(|(i, (_, stride))| i * stride).sum();
            values.extend((0..length).map(|i| number(elements[start + i * stride])));
            advance(&mut index, outer);
        }
        values
    }
}

/// The next index in row-major order over axes of these lengths.
fn advance(index: &mut [usize], axes: &[(usize, usize)]) {
    for (i, &(length, _)) in index.iter_mut().zip(axes).rev() {
        *i += 1;
        if *i < length {
            return;
        }
        *i = 0;
    }
}

pub(crate) fn checked_product(shape: &[usize]) -> Option<usize> {
    // A zero must not hide an overflow before it: the strides are computed from the same lengths.
    let product = shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length.max(1)))?;
    Some(if shape.contains(&0) { 0 } else { product })
}

/// Position in the storage of the element with the largest index.
fn last_element(view: &View<'_>) -> Option<usize> {
    let axes = view.shape.iter().zip(view.strides);
    axes.map(|(&length, &stride)| (length - 1, stride))
        .try_fold(view.offset, |last, (steps, stride)| last.checked_add(steps.checked_mul(stride)?))
}

/// Strides of row-major order; `shape` has been checked by [`checked_product`].
pub(crate) fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}

impl StateDict {
    pub(crate) fn new(parts: Vec<Bytes>, format: Format, contents: Contents) -> Self {
        let Contents { tensors, metadata, notes } = contents;
        let mut index = HashMap::new();
        let mut kept: Vec<StoredTensor> = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            // Of a name that is given twice the last tensor counts, as in a Python dictionary.
            match index.entry(tensor.name.clone()) {
                Occupied(entry) => kept[*entry.get()] = tensor,
                Vacant(entry) => {
                    entry.insert(kept.len());
                    kept.push(tensor);
                }
            }
        }
        Self { parts: parts.into(), format, tensors: kept.into(), index: Arc::new(index), metadata, notes }
    }

    /// The file's format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The tensors in the order of the file. Nested dictionaries are joined by dots.
    #[must_use]
    pub fn tensors(&self) -> &[StoredTensor] {
        &self.tensors
    }

    /// The tensor of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Entry<'_>> {
        self.index.get(name).map(|&i| self.entry(i))
    }

    /// The tensor at a position of [`StateDict::tensors`].
    pub(crate) fn entry(&self, position: usize) -> Entry<'_> {
        let tensor = &self.tensors[position];
        Entry { bytes: &self.parts[tensor.part], tensor }
    }

    /// Gives a tensor's bytes back to the system, where there are enough of them to matter and they are
    /// those of a file.
    pub(crate) fn release(&self, position: usize) {
        let tensor = &self.tensors[position];
        if tensor.range.len() >= WORTH_RELEASING {
            self.parts[tensor.part].release(tensor.range.clone());
        }
    }

    /// Gives the bytes of all files back to the system.
    pub(crate) fn release_all(&self) {
        self.parts.iter().for_each(|bytes| bytes.release(0..bytes.len()));
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// A safetensors file's `__metadata__`; empty for other formats.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// What was passed over while reading, such as tensors of a type that effigy does not read.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl<'a> Entry<'a> {
    /// Name, type and shape.
    #[must_use]
    pub fn tensor(&self) -> &'a StoredTensor {
        self.tensor
    }

    /// Whether all of its numbers are finite as `f32`.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.tensor.is_finite(self.bytes)
    }

    /// The numbers in row-major order. Little-endian `f32` on a 4-byte boundary, as in every
    /// safetensors file effigy writes and every zip that PyTorch writes, is not copied.
    #[must_use]
    pub fn values(&self) -> Cow<'a, [f32]> {
        self.tensor.values(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_name_given_twice_the_last_tensor_counts() {
        let tensor = |name: &str, storage: Range<usize>| {
            let shape = [storage.len()];
            let view = View {
                dtype: DType::U8,
                storage,
                offset: 0,
                shape: &shape,
                strides: &[1],
                big_endian: false,
            };
            StoredTensor::new(name.to_owned(), &view).unwrap()
        };
        let tensors = vec![tensor("a", 0..1), tensor("b", 1..2), tensor("a", 2..4)];
        let contents = Contents { tensors, ..Contents::default() };
        let state = StateDict::new(vec![vec![1, 2, 3, 4].into()], Format::TorchZip, contents);
        assert_eq!(state.tensors().len(), 2);
        assert_eq!(*state.get("a").unwrap().values(), [3.0, 4.0]);
        assert_eq!(*state.get("b").unwrap().values(), [2.0]);
    }
}
