//! A head's convolution of one level is joined by those of the others, whose weights it shares: threads go
//! through all levels as one job, and the weights are packed once.

use std::collections::HashSet;

use effigy_arch::NodeId;
use effigy_kernels::MAX_SEPARABLE;

use crate::program::{Kind, Program, Separable, Unit};

pub(super) fn fuse(program: &mut Program) {
    let mut position = 0;
    while position < program.units.len() {
        if alone(&program.units[position]).is_some() {
            let known = program.units[..position].iter().flat_map(Unit::writes).collect();
            while let Some(other) = same_layer(program, position, &known) {
                join(program, position, other);
            }
        }
        position += 1;
    }
}

/// A later unit that is the layer of the one at `position` at another level and reads only `known` values.
fn same_layer(program: &Program<'_>, position: usize, known: &HashSet<NodeId>) -> Option<usize> {
    let first = alone(&program.units[position])?;
    let joins = |unit: &Unit<'_>| {
        alone(unit).is_some_and(|other| {
            is_same_layer(first, other) && other.inputs.iter().all(|input| known.contains(input))
        })
    };
    let later = &program.units[position + 1..];
    later.iter().position(joins).map(|after| position + 1 + after)
}

/// The first of the convolutions of a unit that sums nothing.
fn alone<'u, 'a>(unit: &'u Unit<'a>) -> Option<&'u Separable<'a>> {
    match &unit.kind {
        Kind::Separable(all) if all.len() < MAX_SEPARABLE => all.first().filter(|first| first.sum.is_none()),
        _ => None,
    }
}

/// Whether two convolutions are one layer at two levels: their depthwise parts have the same parameters,
/// and the 1×1 ones the same shape. The latter's weights differ where each level's BatchNorm is in them.
fn is_same_layer(a: &Separable<'_>, b: &Separable<'_>) -> bool {
    a.depthwise.conv == b.depthwise.conv
        && a.depthwise.weights.same(&b.depthwise.weights)
        && a.depthwise.bias == b.depthwise.bias
        && a.pointwise.conv == b.pointwise.conv
}

/// Moves the convolution of the unit at `other` into the one at `position`.
fn join(program: &mut Program, position: usize, other: usize) {
    let joining = program.units.remove(other);
    let unit = &mut program.units[position];
    if let (Kind::Separable(all), Kind::Separable(more)) = (&mut unit.kind, joining.kind) {
        all.extend(more);
        unit.inputs.extend(joining.inputs);
    }
}
