//! A weighted sum joins the separable convolution that reads it, and max-pooling the sum: rows are pooled and
//! added just before they are read, so none of these maps is ever in memory.

use effigy_arch::NodeId;
use effigy_kernels::{MAX_POOLED, MAX_TERMS};

use crate::program::{FusedSum, Kind, Program, WeightedSum};

pub(super) fn fuse(program: &mut Program) {
    let mut position = 0;
    while position < program.units.len() {
        match sum_before(program, position) {
            Some(producer) => {
                let unit = program.units.remove(producer);
                position -= 1;
                if let Kind::WeightedSum(sum) = unit.kind {
                    join(program, position, sum, unit.inputs);
                }
                position -= pool(program, position);
            }
            None => position += 1,
        }
    }
}

/// The sum that the separable unit at `position` reads, if nobody else does and it has the unit's size.
fn sum_before(program: &Program, position: usize) -> Option<usize> {
    let unit = &program.units[position];
    let Kind::Separable(all) = &unit.kind else { return None };
    let [separable] = &all[..] else { return None };
    let conv = separable.depthwise.conv;
    if separable.sum.is_some() || conv.stride != 1 || conv.kernel.is_multiple_of(2) {
        return None;
    }
    let producer = program.sole_producer(separable.inputs[0])?;
    let producing = &program.units[producer];
    let fits = matches!(producing.kind, Kind::WeightedSum(_)) && producing.inputs.len() <= MAX_TERMS;
    fits.then_some(producer)
}

fn join(program: &mut Program, position: usize, sum: WeightedSum, inputs: Vec<NodeId>) {
    let unit = &mut program.units[position];
    let Kind::Separable(all) = &mut unit.kind else { return };
    let WeightedSum { weights, activation } = sum;
    unit.inputs.clone_from(&inputs);
    all[0].sum = Some(FusedSum { pools: vec![None; weights.len()], weights, activation });
    all[0].inputs = inputs;
}

/// Lets the sum of the unit at `position` pool its inputs by itself; how many units that removes.
fn pool(program: &mut Program, position: usize) -> usize {
    let mut removed = 0;
    let inputs = program.units[position].inputs.clone();
    for (term, input) in inputs.into_iter().enumerate() {
        let Some(producer) = program.sole_producer(input) else { continue };
        let Kind::MaxPool(pool) = program.units[producer].kind else { continue };
        if removed == MAX_POOLED {
            break;
        }
        let from = program.units.remove(producer).inputs[0];
        removed += 1;
        let unit = &mut program.units[position - removed];
        if let Kind::Separable(all) = &mut unit.kind
            && let Some(sum) = &mut all[0].sum
        {
            sum.pools[term] = Some(pool);
            all[0].inputs[term] = from;
            unit.inputs[term] = from;
        }
    }
    removed
}
