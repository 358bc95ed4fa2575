//! The residual of a block is added while its last convolution's result is in the cache.

use effigy_arch::NodeId;

use crate::program::{Kind, Program};

pub(super) fn fuse(program: &mut Program) {
    super::absorb(program, |program, position| {
        let unit = &program.units[position];
        let Kind::Add = unit.kind else { return false };
        let (value, inputs) = (unit.value, unit.inputs.clone());
        [(0, 1), (1, 0)]
            .into_iter()
            .any(|(branch, skip)| absorb_into(program, inputs[branch], inputs[skip], value))
    });
}

/// Adds `skip` in the convolution that computes `branch`, if there is one and `skip` is known by then.
fn absorb_into(program: &mut Program, branch: NodeId, skip: NodeId, sum: NodeId) -> bool {
    let Some(producer) = program.sole_producer(branch) else { return false };
    let known = program.units[..producer].iter().any(|unit| unit.writes().any(|value| value == skip));
    let unit = &mut program.units[producer];
    match &mut unit.kind {
        Kind::Dense(dense) if known && dense.residual.is_none() => {
            dense.residual = Some(skip);
            unit.value = sum;
            true
        }
        _ => false,
    }
}
