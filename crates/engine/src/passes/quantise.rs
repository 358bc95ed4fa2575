//! Convolutions compute with bytes, and the values between them become bytes.
//!
//! A value is of bytes where a convolution of bytes reads it and its producer can write them; where some
//! reader wants it in other numbers, a copy is made for it.

use std::collections::HashSet;

use effigy_arch::{Graph, NodeId, Quantisation};
use effigy_kernels::Activation;
use effigy_kernels::int8::Quant;

use crate::error::EngineError;
use crate::program::{Dense, Kind, Program, Unit};

/// The numbers of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbers {
    Bytes,
    Floats,
}

/// Lets the convolutions of `program` compute with bytes, but for those that `measured` leaves in floats.
pub(crate) fn quantise(
    program: &mut Program,
    graph: &Graph,
    measured: &Quantisation,
) -> Result<(), EngineError> {
    let bytes: Vec<bool> = (0..program.units.len())
        .map(|position| {
            computes_bytes(program, position) && !measured.floats.contains(name(graph, program, position))
        })
        .collect();
    let wishes = Wishes::new(program, &bytes, graph.nodes.len());
    let mut units = Vec::new();
    for (position, mut unit) in std::mem::take(&mut program.units).into_iter().enumerate() {
        wishes.redirect(&mut unit, position);
        let (value, limits) = (unit.value, limits(&unit.kind));
        units.push(unit);
        let native = wishes.native(value);
        if native == Numbers::Bytes || wishes.copy_of(value).is_some() {
            let quant = quant(graph, value, limits, measured)?;
            let copy = wishes.copy_of(value);
            program
                .quants
                .insert(if native == Numbers::Bytes { value } else { copy.unwrap_or(value) }, quant);
            if let Some(copy) = copy {
                let kind = if native == Numbers::Bytes { Kind::Dequantise } else { Kind::Quantise };
                units.push(Unit { value: copy, kind, inputs: vec![value] });
            }
        }
    }
    program.units = units;
    program.results.iter_mut().for_each(|result| *result = wishes.as_floats(*result));
    program.copies = wishes.copied;
    Ok(())
}

fn name<'a>(graph: &'a Graph, program: &Program, position: usize) -> &'a str {
    &graph.node(program.units[position].value).name
}

/// Whether the unit at `position` could compute with bytes. Gates are tiny, and must be exact.
fn computes_bytes(program: &Program, position: usize) -> bool {
    let unit = &program.units[position];
    // Means that another unit computes alongside stay floats.
    if !program.units.iter().any(|producer| unit.inputs.first() == Some(&producer.value)) {
        return false;
    }
    match &unit.kind {
        Kind::Dense(dense) => {
            let feeds_a_gate = program.units.iter().any(|reader| {
                let gate = matches!(&reader.kind, Kind::Dense(Dense { activation: Activation::Sigmoid, .. }));
                gate && reader.inputs.first() == Some(&unit.value)
            });
            dense.activation != Activation::Sigmoid && !feeds_a_gate
        }
        Kind::Depthwise(depthwise) => depthwise.activation != Activation::Sigmoid,
        _ => false,
    }
}

/// The bounds that a unit's function gives its values.
fn limits(kind: &Kind) -> [f32; 2] {
    let activation = match kind {
        Kind::Dense(dense) if dense.residual.is_none() => dense.activation,
        Kind::Depthwise(depthwise) => depthwise.activation,
        Kind::Activation(function) => *function,
        _ => Activation::Identity,
    };
    match activation {
        Activation::Relu => [0.0, f32::INFINITY],
        Activation::Relu6 => [0.0, 6.0],
        _ => [f32::NEG_INFINITY, f32::INFINITY],
    }
}

/// What the bytes of `value` stand for.
fn quant(
    graph: &Graph,
    value: NodeId,
    limits: [f32; 2],
    measured: &Quantisation,
) -> Result<Quant, EngineError> {
    let name = &graph.node(value).name;
    match measured.ranges.get(name) {
        Some(&[low, high]) if low.is_finite() && high.is_finite() && low <= high => {
            Ok(Quant::over(low.max(limits[0]), high.min(limits[1])))
        }
        _ => Err(EngineError::Range { node: name.clone() }),
    }
}

/// In which numbers values are computed and read.
struct Wishes {
    /// Values that are computed as bytes.
    bytes: HashSet<NodeId>,
    /// Positions of the units that compute with bytes, gates included.
    positions: HashSet<usize>,
    /// Values that are also wanted in the other numbers, in the order of their copies.
    copied: Vec<NodeId>,
    first_copy: usize,
}

impl Wishes {
    fn new(program: &Program, bytes: &[bool], first_copy: usize) -> Self {
        let mut positions: HashSet<usize> = (0..bytes.len()).filter(|position| bytes[*position]).collect();
        let producer = |value: NodeId| program.units.iter().position(|unit| unit.value == value);
        // A gate takes bytes to bytes.
        for (position, unit) in program.units.iter().enumerate() {
            let read_by_bytes = program.units.iter().enumerate().any(|(reader, unit_of)| {
                positions.contains(&reader) && unit_of.inputs.first() == Some(&unit.value)
            });
            let made_of_bytes = unit
                .inputs
                .first()
                .and_then(|input| producer(*input))
                .is_some_and(|p| positions.contains(&p));
            if matches!(unit.kind, Kind::Scale) && read_by_bytes && made_of_bytes {
                positions.insert(position);
            }
        }
        let mut wishes = Self { bytes: HashSet::new(), positions, copied: Vec::new(), first_copy };
        let handed_out: HashSet<NodeId> = program.results.iter().copied().collect();
        for (position, unit) in program.units.iter().enumerate() {
            let (mut as_bytes, mut as_floats) = (false, handed_out.contains(&unit.value));
            for (reader, unit_of) in program.units.iter().enumerate() {
                for wish in wishes.reads(unit_of, reader).filter(|(value, _)| *value == unit.value) {
                    match wish.1 {
                        Some(Numbers::Bytes) => as_bytes = true,
                        Some(Numbers::Floats) => as_floats = true,
                        None => (),
                    }
                }
            }
            let ours = wishes.positions.contains(&position);
            let only_bytes = matches!(unit.kind, Kind::Depthwise(_) | Kind::Scale);
            // The input's floats are exact: nobody gets a copy of its bytes.
            let input = matches!(unit.kind, Kind::Input) && as_bytes && !as_floats;
            if input || ours && (as_bytes || only_bytes || !as_floats) {
                wishes.bytes.insert(unit.value);
                if as_floats {
                    wishes.copied.push(unit.value);
                }
            } else if as_bytes {
                wishes.copied.push(unit.value);
            }
        }
        wishes
    }

    /// The values that a unit reads, and in which numbers (none: in any).
    fn reads<'a>(
        &self,
        unit: &'a Unit,
        position: usize,
    ) -> impl Iterator<Item = (NodeId, Option<Numbers>)> + use<'a> {
        let ours = self.positions.contains(&position);
        let wish = move |i: usize| match unit.kind {
            Kind::Mean => None,
            Kind::Scale if i > 0 => Some(Numbers::Floats),
            _ if ours => Some(Numbers::Bytes),
            _ => Some(Numbers::Floats),
        };
        unit.reads().enumerate().map(move |(i, value)| (value, wish(i)))
    }

    fn native(&self, value: NodeId) -> Numbers {
        if self.bytes.contains(&value) { Numbers::Bytes } else { Numbers::Floats }
    }

    /// The copy of `value` in the other numbers, where there is one.
    fn copy_of(&self, value: NodeId) -> Option<NodeId> {
        let index = self.copied.iter().position(|copied| *copied == value)?;
        Some(NodeId(self.first_copy + index))
    }

    fn as_floats(&self, value: NodeId) -> NodeId {
        match self.native(value) {
            Numbers::Floats => value,
            Numbers::Bytes => self.copy_of(value).unwrap_or(value),
        }
    }

    /// Lets a unit read the copies in the numbers that it wants.
    fn redirect(&self, unit: &mut Unit, position: usize) {
        let wished: Vec<(NodeId, Option<Numbers>)> = self.reads(unit, position).collect();
        let found = |value: NodeId| {
            let wish = wished.iter().find(|(read, _)| *read == value).and_then(|(_, wish)| *wish);
            match wish {
                Some(numbers) if numbers != self.native(value) => self.copy_of(value).unwrap_or(value),
                _ => value,
            }
        };
        unit.inputs.iter_mut().for_each(|input| *input = found(*input));
        if let Kind::Dense(dense) = &mut unit.kind {
            dense.residual = dense.residual.map(found);
        }
    }
}
