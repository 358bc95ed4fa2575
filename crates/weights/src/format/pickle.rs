//! A pickle as a graph of plain values.
//!
//! Python's pickles are programs for a small stack machine. This one reads protocols 0 to 5 and
//! knows no class and calls no function: where a program would call something, the result is an
//! [`Object`] that names what would have been called and with which arguments. Whoever reads the
//! graph decides which of these names mean something; the others stay what they are, inert data.
//!
//! Values lie in one arena and refer to each other by position, so that hostile nesting can
//! overflow no stack and cycles leak nothing. The operations are those of CPython's
//! `pickletools.py`.

use std::collections::HashMap;

use super::{FormatError, MAX_PICKLE_OPERATIONS};

/// The position of a value in [`Pickle::values`].
pub(super) type Id = u32;

/// A value.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// A whole number beyond 64 bits: little-endian, two's complement.
    Long(Box<[u8]>),
    Str(Box<str>),
    Tuple(Box<[Id]>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or a function, by name only.
    Global(Box<str>),
    /// Something outside of the pickle, such as a tensor's numbers.
    Persistent(Id),
    /// What a call would have returned.
    Object(Box<Object>),
    /// Numbers with a point, byte strings, sets: of no use here.
    Opaque,
}

/// What calling `callable` with `args` would have returned, and what was then put into it.
#[derive(Debug, PartialEq)]
pub(super) struct Object {
    pub(super) callable: Id,
    pub(super) args: Id,
    pub(super) items: Vec<(Id, Id)>,
    pub(super) state: Option<Id>,
}

/// A pickle's values, the last of which to be made is the root.
#[derive(Debug)]
pub(super) struct Pickle {
    values: Vec<Value>,
    pub(super) root: Id,
    /// Where the pickle ends.
    pub(super) end: usize,
}

/// Reads the pickle that starts at `start`.
pub(super) fn parse(bytes: &[u8], start: usize) -> Result<Pickle, FormatError> {
    let mut machine = Machine { bytes, at: start, ..Machine::default() };
    for _ in 0..MAX_PICKLE_OPERATIONS {
        if let Some(root) = machine.step()? {
            return Ok(Pickle { values: machine.values, root, end: machine.at });
        }
    }
    Err(FormatError::Limit { what: "the pickle's number of operations", limit: MAX_PICKLE_OPERATIONS })
}

impl Pickle {
    pub(super) fn value(&self, id: Id) -> &Value {
        &self.values[id as usize]
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = Id> {
        0..self.values.len() as Id
    }

    pub(super) fn str(&self, id: Id) -> Option<&str> {
        match self.value(id) {
            Value::Str(s) | Value::Global(s) => Some(s),
            _ => None,
        }
    }

    pub(super) fn size(&self, id: Id) -> Option<usize> {
        match self.value(id) {
            Value::Int(i) => usize::try_from(*i).ok(),
            _ => None,
        }
    }

    /// The elements of a tuple or a list.
    pub(super) fn elements(&self, id: Id) -> Option<&[Id]> {
        match self.value(id) {
            Value::Tuple(elements) => Some(elements),
            Value::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// The name of what would have been called, and the arguments.
    pub(super) fn call(&self, object: &Object) -> Option<(&str, &[Id])> {
        Some((self.str(object.callable)?, self.elements(object.args)?))
    }
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at which a mark lies.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl<'a> Machine<'a> {
    /// Runs one operation; the root when it was the last.
    fn step(&mut self) -> Result<Option<Id>, FormatError> {
        let [operation] = self.array()?;
        match operation {
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => self.discard()?,
            b'1' => drop(self.pop_mark()?),
            b'2' => self.stack.push(self.top()?),

            // Numbers, strings and the like.
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'I' | b'L' => self.decimal()?,
            b'J' => self.signed::<4>()?,
            b'K' => self.unsigned::<1>()?,
            b'M' => self.unsigned::<2>()?,
            0x8a => self.long::<1>()?,
            0x8b => self.long::<4>()?,
            b'F' => drop((self.line()?, self.push(Value::Opaque))),
            b'G' => drop((self.array::<8>()?, self.push(Value::Opaque))),
            b'S' => self.quoted()?,
            b'V' => self.line().map(|line| self.push_str(line))?,
            b'T' | b'X' => self.counted_str::<4>()?,
            b'U' | 0x8c => self.counted_str::<1>()?,
            0x8d => self.counted_str::<8>()?,
            b'B' => self.opaque_bytes::<4>()?,
            b'C' => self.opaque_bytes::<1>()?,
            0x8e | 0x96 => self.opaque_bytes::<8>()?,

            // Containers.
            b')' => self.push(Value::Tuple([].into())),
            b't' => self.pop_mark().map(|elements| self.push(Value::Tuple(elements.into())))?,
            0x85..=0x87 => self.short_tuple(usize::from(operation - 0x84))?,
            b']' => self.push(Value::List(Vec::new())),
            b'l' => self.pop_mark().map(|elements| self.push(Value::List(elements)))?,
            b'a' => self.pop().and_then(|element| self.extend(&[element]))?,
            b'e' => self.pop_mark().and_then(|elements| self.extend(&elements))?,
            b'}' => self.push(Value::Dict(Vec::new())),
            b'd' => {
                let elements = self.pop_mark()?;
                self.push(Value::Dict(Vec::new()));
                self.set_items(&elements)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])?;
            }
            b'u' => self.pop_mark().and_then(|elements| self.set_items(&elements))?,
            0x8f => self.push(Value::Opaque),
            0x90 => drop(self.pop_mark()?),
            0x91 => drop((self.pop_mark()?, self.push(Value::Opaque))),

            // Memory.
            b'p' => self.line_number().and_then(|key| self.remember(key))?,
            b'q' => self.number::<1>().and_then(|key| self.remember(key))?,
            b'r' => self.number::<4>().and_then(|key| self.remember(key))?,
            0x94 => self.remember(self.memo.len() as u64)?,
            b'g' => self.line_number().and_then(|key| self.recall(key))?,
            b'h' => self.number::<1>().and_then(|key| self.recall(key))?,
            b'j' => self.number::<4>().and_then(|key| self.recall(key))?,

            // What would import or call something.
            b'c' => self.global()?,
            0x93 => self.stack_global()?,
            b'P' => {
                let line = self.line()?;
                self.push_str(line);
                self.persistent()?;
            }
            b'Q' => self.persistent()?,
            b'R' | 0x81 => {
                let (args, callable) = (self.pop()?, self.pop()?);
                self.object(callable, args);
            }
            0x92 => {
                let (_keywords, args, callable) = (self.pop()?, self.pop()?, self.pop()?);
                self.object(callable, args);
            }
            b'i' => {
                let args = self.pop_mark()?;
                self.global()?;
                let callable = self.pop()?;
                self.push(Value::Tuple(args.into()));
                let args = self.pop()?;
                self.object(callable, args);
            }
            b'o' => {
                let elements = self.pop_mark()?;
                let (&callable, args) =
                    elements.split_first().ok_or_else(|| self.malformed("an object without a class"))?;
                self.push(Value::Tuple(args.into()));
                let args = self.pop()?;
                self.object(callable, args);
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                if let Value::Object(object) = &mut self.values[object as usize] {
                    object.state = Some(state);
                }
            }

            // Framing.
            0x80 => {
                let [protocol] = self.array()?;
                if protocol > 5 {
                    return Err(FormatError::Unsupported {
                        what: format!("this is a pickle of protocol {protocol}; effigy reads 0 to 5"),
                    });
                }
            }
            0x95 => drop(self.array::<8>()?),
            _ => return Err(self.malformed("an unknown pickle operation")),
        }
        Ok(None)
    }

    fn malformed(&self, what: &'static str) -> FormatError {
        FormatError::Malformed { what, at: self.at }
    }

    // Reading.

    fn take(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let taken = super::slice(self.bytes, self.at, len, "a pickle")?;
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let taken = self.take(N)?;
        Ok(std::array::from_fn(|i| taken[i]))
    }

    /// A little-endian number of `N` bytes.
    fn number<const N: usize>(&mut self) -> Result<u64, FormatError> {
        let bytes = self.array::<N>()?;
        Ok(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// As many bytes as the number of `N` bytes before them says.
    fn counted<const N: usize>(&mut self) -> Result<&'a [u8], FormatError> {
        let len = self.number::<N>()?;
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// The bytes up to the end of the line, which is passed.
    fn line(&mut self) -> Result<&'a [u8], FormatError> {
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        let end = rest.iter().position(|&b| b == b'\n').ok_or(FormatError::Truncated { what: "a pickle" })?;
        self.at += end + 1;
        Ok(&rest[..end])
    }

    fn line_number(&mut self) -> Result<u64, FormatError> {
        let line = self.line()?;
        let number = std::str::from_utf8(line).ok().and_then(|line| line.trim().parse().ok());
        number.ok_or_else(|| self.malformed("no number"))
    }

    // Pushing.

    fn push(&mut self, value: Value) {
        // No overflow: every operation makes at most two values, and operations are limited.
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
    }

    fn push_str(&mut self, bytes: &[u8]) {
        self.push(Value::Str(String::from_utf8_lossy(bytes).into()));
    }

    fn unsigned<const N: usize>(&mut self) -> Result<(), FormatError> {
        let number = self.number::<N>()?;
        self.push(Value::Int(number as i64));
        Ok(())
    }

    fn signed<const N: usize>(&mut self) -> Result<(), FormatError> {
        let bytes = self.array::<N>()?;
        self.push(whole(&bytes));
        Ok(())
    }

    fn long<const N: usize>(&mut self) -> Result<(), FormatError> {
        let bytes = self.counted::<N>()?;
        self.push(whole(bytes));
        Ok(())
    }

    /// Protocol 0: `I01` is true, `L12L` is a long.
    fn decimal(&mut self) -> Result<(), FormatError> {
        let line = self.line()?;
        let text = std::str::from_utf8(line).unwrap_or_default().trim();
        let value = match text {
            "00" => Value::Bool(false),
            "01" => Value::Bool(true),
            _ => {
                let number = text.trim_end_matches('L').parse::<i128>();
                let bytes = number.map_err(|_| self.malformed("no whole number"))?.to_le_bytes();
                whole(shortest(&bytes))
            }
        };
        self.push(value);
        Ok(())
    }

    fn quoted(&mut self) -> Result<(), FormatError> {
        let line = self.line()?.trim_ascii();
        let inner = match line {
            [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
            _ => return Err(self.malformed("a string without quotes")),
        };
        self.push_str(inner);
        Ok(())
    }

    fn counted_str<const N: usize>(&mut self) -> Result<(), FormatError> {
        let bytes = self.counted::<N>()?;
        self.push_str(bytes);
        Ok(())
    }

    fn opaque_bytes<const N: usize>(&mut self) -> Result<(), FormatError> {
        self.counted::<N>()?;
        self.push(Value::Opaque);
        Ok(())
    }

    fn short_tuple(&mut self, len: usize) -> Result<(), FormatError> {
        let start = self.stack.len().checked_sub(len).filter(|&start| start >= self.floor());
        let start = start.ok_or_else(|| self.malformed("a tuple of more values than there are"))?;
        let elements = self.stack.split_off(start);
        self.push(Value::Tuple(elements.into()));
        Ok(())
    }

    fn global(&mut self) -> Result<(), FormatError> {
        let (module, name) = (self.line()?, self.line()?);
        let name = format!("{}.{}", String::from_utf8_lossy(module), String::from_utf8_lossy(name));
        self.push(Value::Global(name.into()));
        Ok(())
    }

    fn stack_global(&mut self) -> Result<(), FormatError> {
        let (name, module) = (self.pop()?, self.pop()?);
        let [Value::Str(module), Value::Str(name)] = [module, name].map(|id| &self.values[id as usize])
        else {
            return Err(self.malformed("a class whose name is no string"));
        };
        // Names come from memory at no cost to the file: long ones could be joined again and again.
        const LONGEST: usize = 256;
        if module.len() + name.len() > LONGEST {
            return Err(FormatError::Limit { what: "the length of a class name", limit: LONGEST });
        }
        let global = format!("{module}.{name}");
        self.push(Value::Global(global.into()));
        Ok(())
    }

    fn persistent(&mut self) -> Result<(), FormatError> {
        let id = self.pop()?;
        self.push(Value::Persistent(id));
        Ok(())
    }

    fn object(&mut self, callable: Id, args: Id) {
        self.push(Value::Object(Box::new(Object { callable, args, items: Vec::new(), state: None })));
    }

    // The stack and the memory.

    /// The height below which lies what was there before the last mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, FormatError> {
        let top = self.stack[self.floor()..].last();
        top.copied().ok_or_else(|| self.malformed("an operation on an empty stack"))
    }

    fn pop(&mut self) -> Result<Id, FormatError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// Removes the uppermost value or mark.
    fn discard(&mut self) -> Result<(), FormatError> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, FormatError> {
        let height = self.marks.pop().ok_or_else(|| self.malformed("no mark on the stack"))?;
        Ok(self.stack.split_off(height))
    }

    fn remember(&mut self, key: u64) -> Result<(), FormatError> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Result<(), FormatError> {
        let id = self.memo.get(&key).copied().ok_or_else(|| self.malformed("a value that was never kept"))?;
        self.stack.push(id);
        Ok(())
    }

    /// Appends to the list on top of the stack; what any other object does with elements is lost.
    fn extend(&mut self, elements: &[Id]) -> Result<(), FormatError> {
        let list = self.top()?;
        if let Value::List(list) = &mut self.values[list as usize] {
            list.extend_from_slice(elements);
        }
        Ok(())
    }

    fn set_items(&mut self, elements: &[Id]) -> Result<(), FormatError> {
        let dict = self.top()?;
        let (pairs, rest) = elements.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.malformed("a key without a value"));
        }
        let pairs = pairs.iter().map(|&[key, value]| (key, value));
        match &mut self.values[dict as usize] {
            Value::Dict(items) => items.extend(pairs),
            Value::Object(object) => object.items.extend(pairs),
            _ => return Err(self.malformed("items for what is no dictionary")),
        }
        Ok(())
    }
}

/// A whole number from its little-endian two's complement.
fn whole(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::Long(bytes.into());
    }
    let sign = if bytes.last().is_some_and(|&high| high & 0x80 != 0) { 0xff } else { 0 };
    let mut wide = [sign; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(wide))
}

/// The bytes without those that only repeat the sign.
fn shortest(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., below, high] = bytes
        && ((*high == 0 && below & 0x80 == 0) || (*high == 0xff && below & 0x80 != 0))
    {
        bytes = &bytes[..=rest.len()];
    }
    bytes
}

#[cfg(test)]
mod tests;
