//! A head's convolution of one level is joined by those of the others, whose weights it shares: threads go
//! through all levels as one job, and the weights are packed once.

use std::collections::HashSet;

use effigy_kernels::MAX_SEPARABLE;

use crate::program::{Kind, Program, Separable, Unit};

pub(super) fn fuse(program: &mut Program) {
    for position in 0.. {
        if position >= program.units.len() {
            return;
        }
        let known: HashSet<_> = program.units[..position].iter().flat_map(Unit::writes).collect();
        let mut other = position + 1;
        while other < program.units.len() {
            let [first, second] = [position, other].map(|at| alone(&program.units[at]));
            let joins = first.zip(second).is_some_and(|(first, second)| {
                is_same_layer(first, second) && second.inputs.iter().all(|input| known.contains(input))
            });
            if joins && join(program, position, other) {
                continue;
            }
            other += 1;
        }
    }
}

/// The first of the convolutions of a unit that sums nothing.
fn alone(unit: &Unit) -> Option<&Separable> {
    match &unit.kind {
        Kind::Separable(all) if all.len() < MAX_SEPARABLE => all.first().filter(|first| first.sum.is_none()),
        _ => None,
    }
}

/// Whether two convolutions are one layer at two levels. Of the 1×1 convolutions only the shapes are
/// compared: each level's BatchNorm has made their weights its own.
fn is_same_layer(a: &Separable, b: &Separable) -> bool {
    a.depthwise.conv == b.depthwise.conv
        && a.depthwise.weights == b.depthwise.weights
        && a.depthwise.bias == b.depthwise.bias
        && a.pointwise.conv == b.pointwise.conv
}

/// Moves the convolution of the unit at `other` into the one at `position`.
fn join(program: &mut Program, position: usize, other: usize) -> bool {
    let Kind::Separable(_) = &program.units[position].kind else { return false };
    let Unit { kind: Kind::Separable(joining), inputs, .. } = program.units.remove(other) else {
        return false;
    };
    let unit = &mut program.units[position];
    unit.inputs.extend(inputs);
    if let Kind::Separable(all) = &mut unit.kind {
        all.extend(joining);
    }
    true
}
