//! A 1×1 convolution joins the depthwise one before it: they run row by row, and what lies between them
//! never leaves the cache.

use effigy_arch::Conv;

use super::expand::expansion;
use crate::program::{Dense, Depthwise, Kind, Program, Separable};

/// Weights of a block that runs some rows at a time, at most: they are all read again for every few rows.
pub(super) const BLOCK_WEIGHTS: usize = 100_000;

/// Joins two convolutions that do nothing else. Where an expansion may join the first it is left to it: what that
/// spares is larger.
pub(super) fn fuse(program: &mut Program) {
    join(program, |program, producer, depthwise, pointwise| {
        let plain = depthwise.expand.is_none() && pointwise.residual.is_none();
        plain && expansion(program, producer).is_none()
    });
}

/// Joins the expansion, the depthwise convolution and the projection of small blocks without squeeze and excitation.
pub(super) fn fuse_blocks(program: &mut Program) {
    join(program, |_, _, depthwise, pointwise| {
        let weights = |expand: &Dense<'_>| expand.weights.len() + pointwise.weights.len();
        depthwise.expand.as_ref().is_some_and(|expand| weights(expand) <= BLOCK_WEIGHTS)
    });
}

/// Joins every 1×1 convolution and the depthwise one before it, at a position of the program, for which `fits` holds.
fn join(program: &mut Program<'_>, fits: impl Fn(&Program<'_>, usize, &Depthwise<'_>, &Dense<'_>) -> bool) {
    let mut position = 0;
    while position < program.units.len() {
        let found = depthwise_before(program, position)
            .filter(|(producer, depthwise, pointwise)| fits(program, *producer, depthwise, pointwise))
            .map(|(producer, ..)| producer);
        let Some(producer) = found else {
            position += 1;
            continue;
        };
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
}

/// The 1×1 convolution at `position` and the depthwise one that only it reads, with the position of that, if nothing
/// is between them.
fn depthwise_before<'p, 'a>(
    program: &'p Program<'a>,
    position: usize,
) -> Option<(usize, &'p Depthwise<'a>, &'p Dense<'a>)> {
    let unit = &program.units[position];
    let Kind::Dense(pointwise @ Dense { conv, gate: None, .. }) = &unit.kind else { return None };
    let Conv { kernel: 1, stride: 1, .. } = conv else { return None };
    let producer = program.sole_producer(unit.inputs[0])?;
    match &program.units[producer].kind {
        Kind::Depthwise(depthwise) if depthwise.mean.is_none() => Some((producer, depthwise, pointwise)),
        _ => None,
    }
}
