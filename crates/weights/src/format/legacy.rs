//! What `torch.save` wrote before PyTorch 1.6, and writes still when asked to: five pickles (a magic
//! number, the protocol, the machine, the object, the storages' keys), then for each key the number
//! of elements and the elements. PyTorch swaps bytes on big-endian machines, so that the elements
//! are little-endian everywhere.

use std::collections::HashMap;

use super::pickle::{self, Pickle, Value};
use super::{Contents, FormatError, MAX_TENSORS, pth, slice};

/// 0x1950a86a20f9469cfc6c, little-endian, as `torch.serialization.MAGIC_NUMBER` has it.
const MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The magic number's pickle is shorter than this in every protocol.
const LONGEST_MAGIC_PICKLE: usize = 64;
/// The only protocol there ever was.
const PROTOCOL: i64 = 1001;

pub(super) fn is_legacy(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(LONGEST_MAGIC_PICKLE)];
    pickle::parse(start, 0)
        .is_ok_and(|magic| matches!(magic.value(magic.root), Value::Long(number) if **number == *MAGIC))
}

pub(super) fn read(bytes: &[u8]) -> Result<Contents, FormatError> {
    let magic = pickle::parse(bytes, 0)?;
    let protocol = pickle::parse(bytes, magic.end)?;
    if *protocol.value(protocol.root) != Value::Int(PROTOCOL) {
        let what =
            "this legacy PyTorch checkpoint has an unknown protocol; save it again with a newer PyTorch";
        return Err(FormatError::Unsupported { what: what.to_owned() });
    }
    let machine = pickle::parse(bytes, protocol.end)?;
    let object = pickle::parse(bytes, machine.end)?;
    let keys = pickle::parse(bytes, object.end)?;
    let storages = storages(bytes, &object, &keys)?;
    pth::collect(&object, &storages, false)
}

/// Where each storage's elements lie.
fn storages(
    bytes: &[u8],
    object: &Pickle,
    keys: &Pickle,
) -> Result<HashMap<String, std::ops::Range<usize>>, FormatError> {
    let malformed = |what| FormatError::Malformed { what, at: keys.end };
    let sizes: HashMap<&str, usize> = object
        .ids()
        .filter_map(|id| pth::storage(object, id))
        .filter_map(|storage| Some((storage.key, storage.dtype?.size())))
        .collect();
    let keys_list = keys.elements(keys.root).ok_or_else(|| malformed("no list of storages"))?;
    if keys_list.len() > MAX_TENSORS {
        return Err(FormatError::Limit { what: "the number of storages", limit: MAX_TENSORS });
    }
    let mut storages = HashMap::new();
    let mut at = keys.end;
    for &key in keys_list {
        let key = keys.str(key).ok_or_else(|| malformed("a storage whose key is no string"))?;
        // Without its element's size, neither this storage nor any after it can be found.
        let size =
            sizes.get(key).ok_or_else(|| malformed("a storage of a type that effigy does not read"))?;
        let length = pth::u64_at(bytes, at, "a storage's length")?;
        let start = at + 8;
        let len = length.checked_mul(*size).ok_or(FormatError::Truncated { what: "a storage" })?;
        slice(bytes, start, len, "a storage")?;
        storages.insert(key.to_owned(), start..start + len);
        at = start + len;
    }
    Ok(storages)
}
