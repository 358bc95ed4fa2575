//! The three convolutions of bytes of a small block without squeeze and excitation run together, some rows at a time.

use super::separable::BLOCK_WEIGHTS;
use crate::program::{Block, Dense, Depthwise, Kind, Program};

pub(crate) fn fuse(program: &mut Program<'_>) {
    let mut position = 0;
    while position < program.units.len() {
        let Some((expand, depthwise)) = producers(program, position) else {
            position += 1;
            continue;
        };
        // Each is computed before it is read.
        let second = program.units.remove(depthwise);
        let first = program.units.remove(expand);
        position -= 2;
        let unit = &mut program.units[position];
        // The unit is only read again once it is whole.
        let third = std::mem::replace(&mut unit.kind, Kind::Input);
        if let (Kind::Dense(expand), Kind::Depthwise(depthwise), Kind::Dense(project)) =
            (first.kind, second.kind, third)
        {
            let (expanded, between) = (first.value, second.value);
            unit.kind = Kind::Block(Box::new(Block { expand, expanded, depthwise, between, project }));
            unit.inputs = first.inputs;
        }
        position += 1;
    }
}

/// The positions of the expansion and of the depthwise convolution before the projection at `position`, if they
/// compute with bytes, nothing else reads what they compute, and all weights are few.
fn producers(program: &Program<'_>, position: usize) -> Option<(usize, usize)> {
    let bytes = |value| program.quants.contains_key(value);
    let unit = &program.units[position];
    let Kind::Dense(project @ Dense { gate: None, .. }) = &unit.kind else { return None };
    let second = program.sole_producer(unit.inputs[0])?;
    let between = &program.units[second];
    let Kind::Depthwise(Depthwise { mean: None, expand: None, .. }) = &between.kind else { return None };
    let first = program.sole_producer(between.inputs[0])?;
    let expanded = &program.units[first];
    let Kind::Dense(expand @ Dense { gate: None, residual: None, .. }) = &expanded.kind else { return None };
    let values = [&unit.value, &between.value, &expanded.value, &expanded.inputs[0]];
    let fits = (project.conv.kernel, project.conv.stride) == (1, 1)
        && expand.weights.len() + project.weights.len() <= BLOCK_WEIGHTS
        && values.into_iter().all(bytes);
    fits.then_some((first, second))
}
