//! A 1×1 convolution joins the depthwise one before it: they run row by row, and what lies between them
//! never leaves the cache.

use effigy_arch::Conv;

use super::expand::expansion;
use crate::program::{Dense, Kind, Program, Separable};

pub(super) fn fuse(program: &mut Program) {
    let mut position = 0;
    while position < program.units.len() {
        match depthwise_before(program, position) {
            Some(producer) => {
                let first = program.units.remove(producer);
                let unit = &mut program.units[position - 1];
                // The unit is only read again once it is whole.
                let second = std::mem::replace(&mut unit.kind, Kind::Input);
                if let (Kind::Depthwise(depthwise), Kind::Dense(pointwise)) = (first.kind, second) {
                    unit.inputs.clone_from(&first.inputs);
                    let (value, inputs) = (unit.value, first.inputs);
                    let separable = Separable { value, inputs, sum: None, depthwise, pointwise };
                    unit.kind = Kind::Separable(vec![separable]);
                }
            }
            None => position += 1,
        }
    }
}

/// The depthwise unit before the 1×1 one at `position`, if both do nothing else. One that an expansion may
/// join is left to it: what that spares is larger.
fn depthwise_before(program: &Program, position: usize) -> Option<usize> {
    let unit = &program.units[position];
    let Kind::Dense(Dense { conv, gate: None, residual: None, .. }) = &unit.kind else { return None };
    let Conv { kernel: 1, stride: 1, .. } = conv else { return None };
    let producer = program.sole_producer(unit.inputs[0])?;
    match &program.units[producer].kind {
        Kind::Depthwise(depthwise) if depthwise.expand.is_none() && depthwise.mean.is_none() => {
            expansion(program, producer).is_none().then_some(producer)
        }
        _ => None,
    }
}
