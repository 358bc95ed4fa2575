//! The convolution before a depthwise one, a block's expansion or the stem, joins it: the wide activation
//! between them, the largest of the network, is made piece by piece and never leaves the cache.

use crate::program::{Dense, Kind, Program};

pub(super) fn fuse(program: &mut Program) {
    let mut position = 0;
    while position < program.units.len() {
        match expansion(program, position) {
            // The depthwise unit moves to the place of the removed one.
            Some(producer) => {
                let expand = program.units.remove(producer);
                let unit = &mut program.units[position - 1];
                if let (Kind::Depthwise(depthwise), Kind::Dense(dense)) = (&mut unit.kind, expand.kind) {
                    depthwise.expand = Some(dense);
                    unit.inputs = expand.inputs;
                }
            }
            None => position += 1,
        }
    }
}

/// The unit that expands the input of the depthwise unit at `position`, if it does nothing else.
pub(super) fn expansion(program: &Program, position: usize) -> Option<usize> {
    let unit = &program.units[position];
    let Kind::Depthwise(depthwise) = &unit.kind else { return None };
    let producer = program.sole_producer(unit.inputs[0])?;
    match &program.units[producer].kind {
        Kind::Dense(Dense { gate: None, residual: None, .. }) if depthwise.expand.is_none() => Some(producer),
        _ => None,
    }
}
