//! What `torch.save` puts into a pickle, and its zip form.

use std::collections::HashMap;
use std::ops::Range;

use super::pickle::{self, Id, Object, Pickle, Value};
use super::{Contents, FormatError, MAX_NESTING, MAX_PICKLE_OPERATIONS, MAX_TENSORS, slice, zip};
use crate::state_dict::{DType, StoredTensor, View};

/// The longest name of a tensor, with everything that it is nested in.
const MAX_NAME: usize = 1024;

/// Reads an archive: `<folder>/data.pkl`, `<folder>/data/<key>` and, since PyTorch 2.1,
/// `<folder>/byteorder`.
pub(super) fn read_zip(bytes: &[u8]) -> Result<Contents, FormatError> {
    let members = zip::members(bytes)?;
    let folder = members.iter().find_map(|member| member.name.strip_suffix("data.pkl"));
    let folder = folder.filter(|folder| folder.is_empty() || folder.ends_with('/'));
    let Some(folder) = folder else {
        let what = "this zip archive holds no data.pkl, so torch.save did not write it".to_owned();
        return Err(FormatError::Unsupported { what });
    };
    let inside: HashMap<&str, &Range<usize>> =
        members.iter().filter_map(|m| Some((m.name.strip_prefix(folder)?, &m.range))).collect();
    let big_endian = match inside.get("byteorder").map(|&range| &bytes[range.clone()]) {
        None | Some(b"little") => false,
        Some(b"big") => true,
        Some(_) => {
            let what = "the archive's byteorder is neither `little` nor `big`".to_owned();
            return Err(FormatError::Unsupported { what });
        }
    };
    let storages =
        inside.iter().filter_map(|(name, range)| Some((*name.strip_prefix("data/").as_ref()?, *range)));
    let storages = storages.map(|(key, range)| (key.to_owned(), range.clone())).collect();
    let data = inside["data.pkl"].clone();
    let pickle = pickle::parse(&bytes[data], 0)?;
    collect(&pickle, &storages, big_endian)
}

/// Every tensor of the graph, named by the keys that lead to it.
pub(super) fn collect(
    pickle: &Pickle,
    storages: &HashMap<String, Range<usize>>,
    big_endian: bool,
) -> Result<Contents, FormatError> {
    let mut collector = Collector { pickle, storages, big_endian, visits: 0, contents: Contents::default() };
    collector.visit(pickle.root, "", 0)?;
    Ok(collector.contents)
}

/// A storage's key, the type of its numbers and a legacy view's offset and length in it.
pub(super) struct Storage<'a> {
    pub(super) key: &'a str,
    /// Nothing for untyped storages and for types that effigy does not read.
    pub(super) dtype: Option<DType>,
    pub(super) kind: &'a str,
    view: Option<(usize, usize)>,
}

/// Takes apart `('storage', type, key, location, length[, (view key, offset, length)])`.
pub(super) fn storage(pickle: &Pickle, id: Id) -> Option<Storage<'_>> {
    let Value::Persistent(id) = pickle.value(id) else { return None };
    let [tag, kind, key, _location, _length, view @ ..] = pickle.elements(*id)? else { return None };
    if pickle.str(*tag) != Some("storage") {
        return None;
    }
    let view = match view.first().and_then(|&view| pickle.elements(view)) {
        Some(&[_key, offset, length]) => Some((pickle.size(offset)?, pickle.size(length)?)),
        _ => None,
    };
    let kind = last_part(pickle.str(*kind)?);
    Some(Storage { key: pickle.str(*key)?, dtype: storage_dtype(kind), kind, view })
}

fn storage_dtype(kind: &str) -> Option<DType> {
    Some(match kind {
        "DoubleStorage" => DType::F64,
        "FloatStorage" => DType::F32,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::Bf16,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ShortStorage" => DType::I16,
        "CharStorage" => DType::I8,
        "ByteStorage" => DType::U8,
        "BoolStorage" => DType::Bool,
        _ => return None,
    })
}

fn torch_dtype(name: &str) -> Option<DType> {
    Some(match last_part(name) {
        "float64" => DType::F64,
        "float32" => DType::F32,
        "float16" => DType::F16,
        "bfloat16" => DType::Bf16,
        "int64" => DType::I64,
        "int32" => DType::I32,
        "int16" => DType::I16,
        "int8" => DType::I8,
        "uint8" => DType::U8,
        "bool" => DType::Bool,
        _ => return None,
    })
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

struct Collector<'a> {
    pickle: &'a Pickle,
    storages: &'a HashMap<String, Range<usize>>,
    big_endian: bool,
    visits: usize,
    contents: Contents,
}

impl Collector<'_> {
    fn visit(&mut self, id: Id, path: &str, depth: usize) -> Result<(), FormatError> {
        self.visits += 1;
        let limit = |what, limit| Err(FormatError::Limit { what, limit });
        if self.visits > MAX_PICKLE_OPERATIONS {
            return limit("the number of values in the checkpoint", MAX_PICKLE_OPERATIONS);
        }
        if depth > MAX_NESTING {
            return limit("the nesting of dictionaries in the checkpoint", MAX_NESTING);
        }
        if path.len() > MAX_NAME {
            return limit("the length of a tensor's name", MAX_NAME);
        }
        match self.pickle.value(id) {
            Value::Dict(items) => self.visit_items(items, path, depth),
            Value::Object(object) => self.visit_object(object, path, depth),
            _ => Ok(()),
        }
    }

    fn visit_items(&mut self, items: &[(Id, Id)], path: &str, depth: usize) -> Result<(), FormatError> {
        for &(key, value) in items {
            let key = match self.pickle.value(key) {
                Value::Str(key) => &**key,
                Value::Int(key) => &key.to_string(),
                _ => continue,
            };
            match key {
                // A module saved whole keeps its tensors in these; they are no part of their names.
                "_parameters" | "_buffers" | "_modules" => self.visit(value, path, depth + 1)?,
                _ if path.is_empty() => self.visit(value, key, depth + 1)?,
                _ => self.visit(value, &format!("{path}.{key}"), depth + 1)?,
            }
        }
        Ok(())
    }

    /// What the few functions and classes that a state dict is made of mean; others are passed over.
    fn visit_object(&mut self, object: &Object, path: &str, depth: usize) -> Result<(), FormatError> {
        match self.pickle.call(object) {
            Some((
                "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state",
                args,
            )) => args.first().map_or(Ok(()), |&tensor| self.visit(tensor, path, depth + 1)),
            // A subclass of Tensor: what would have been called, its class, the arguments, its attributes.
            Some(("torch._tensor._rebuild_from_type_v2", &[function, _class, args, ..])) => {
                match (self.pickle.str(function), self.pickle.elements(args)) {
                    (Some(function), Some(args)) if is_rebuild(function) => self.tensor(function, args, path),
                    _ => Ok(()),
                }
            }
            Some((function, args)) if is_rebuild(function) => self.tensor(function, args, path),
            call => {
                // Python 2 gives an OrderedDict its items as an argument: a list of pairs.
                if let Some(("collections.OrderedDict", &[list])) = call {
                    let pairs = self.pickle.elements(list).unwrap_or_default().iter();
                    let pairs = pairs.filter_map(|&pair| self.pickle.elements(pair));
                    let items: Vec<_> =
                        pairs.filter_map(|pair| Some((*pair.first()?, *pair.get(1)?))).collect();
                    self.visit_items(&items, path, depth)?;
                }
                self.visit_items(&object.items, path, depth)?;
                object.state.map_or(Ok(()), |state| self.visit(state, path, depth + 1))
            }
        }
    }

    /// `_rebuild_tensor(storage, offset, shape, strides)`; `_v2` adds what concerns gradients, and
    /// `_v3` the type after that.
    fn tensor(&mut self, function: &str, args: &[Id], path: &str) -> Result<(), FormatError> {
        let tensor = || path.to_owned();
        let refuse = |what| FormatError::Tensor { tensor: tensor(), what };
        let odd = || refuse("it is not described as torch.save describes tensors");
        let &[storage_id, offset, shape, strides, ref rest @ ..] = args else { return Err(odd()) };
        let storage = storage(self.pickle, storage_id).ok_or_else(odd)?;
        let (dtype, kind) = match rest {
            [_, _, dtype, ..] if function.ends_with("_v3") => {
                let name = self.pickle.str(*dtype).ok_or_else(odd)?;
                (torch_dtype(name), name)
            }
            _ => (storage.dtype, storage.kind),
        };
        let Some(dtype) = dtype else {
            self.contents.notes.push(format!("passed over `{path}`: effigy does not read {kind}"));
            return Ok(());
        };
        let sizes = |id| -> Option<Vec<usize>> {
            self.sizes(id)?.iter().map(|&size| self.pickle.size(size)).collect()
        };
        let (shape, strides) = (sizes(shape).ok_or_else(odd)?, sizes(strides).ok_or_else(odd)?);
        let offset = self.pickle.size(offset).ok_or_else(odd)?;
        let range =
            self.storages.get(storage.key).ok_or_else(|| refuse("its numbers are not in the file"))?;
        let range = match storage.view {
            None => range.clone(),
            Some((start, length)) => part(range, start, length, dtype.size())
                .ok_or_else(|| refuse("it reaches outside of its storage"))?,
        };
        let view = View {
            dtype,
            storage: range,
            offset,
            shape: &shape,
            strides: &strides,
            big_endian: self.big_endian,
        };
        if self.contents.tensors.len() == MAX_TENSORS {
            return Err(FormatError::Limit { what: "the number of tensors", limit: MAX_TENSORS });
        }
        self.contents.tensors.push(StoredTensor::new(tensor(), &view)?);
        Ok(())
    }

    /// A shape's lengths: a tuple, or a `torch.Size` of one.
    fn sizes(&self, id: Id) -> Option<&[Id]> {
        match self.pickle.value(id) {
            Value::Object(object) => match self.pickle.call(object)? {
                ("torch.Size", &[sizes]) => self.pickle.elements(sizes),
                _ => None,
            },
            _ => self.pickle.elements(id),
        }
    }
}

fn is_rebuild(function: &str) -> bool {
    ["", "_v2", "_v3"].iter().any(|v| function.strip_prefix("torch._utils._rebuild_tensor") == Some(*v))
}

/// `length` elements of `size` bytes from element `start` of `range`.
fn part(range: &Range<usize>, start: usize, length: usize, size: usize) -> Option<Range<usize>> {
    let first = range.start.checked_add(start.checked_mul(size)?)?;
    let end = first.checked_add(length.checked_mul(size)?)?;
    (end <= range.end).then_some(first..end)
}

/// The little-endian 64-bit number at `at`.
pub(super) fn u64_at(bytes: &[u8], at: usize, what: &'static str) -> Result<usize, FormatError> {
    let eight = slice(bytes, at, 8, what)?;
    let number = u64::from_le_bytes(std::array::from_fn(|i| eight[i]));
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}
