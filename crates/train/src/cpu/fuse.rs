//! Fusions: what follows a BatchNorm is done in its pass over memory, and the gates of a squeeze and excitation
//! scale the weights behind them. What is not trained is folded as for inference.

use effigy_kernels::Activation;

use super::program::{Norm, Operation, Program};

pub(super) fn fuse(program: &mut Program) {
    absorb(program, activation);
    absorb(program, drop_connect);
    absorb(program, residual);
    absorb(program, means);
    absorb(program, gate);
}

/// Where nothing is trained, a BatchNorm with its activation goes into the convolution before it.
pub(super) fn fold(program: &mut Program) {
    absorb(program, norm);
}

/// Visits the units in order; a unit that `fused` has put into another is removed.
fn absorb(program: &mut Program, fused: impl Fn(&mut Program, usize) -> bool) {
    let mut position = 0;
    while position < program.units.len() {
        if fused(program, position) {
            program.units.remove(position);
        } else {
            position += 1;
        }
    }
}

/// The BatchNorm that computes input `index` of the unit, if nobody else reads that.
fn sole_norm(program: &mut Program, position: usize, index: usize) -> Option<usize> {
    let input = program.units[position].inputs[index];
    let producer = program.producer(input);
    let sole = program.uses(input) == 1 && matches!(program.units[producer].operation, Operation::Norm(_));
    sole.then_some(producer)
}

/// What a BatchNorm is followed by, to be added to.
fn norm_of(program: &mut Program, producer: usize) -> &mut Norm {
    match &mut program.units[producer].operation {
        Operation::Norm(norm) => norm,
        _ => unreachable!("found as a BatchNorm"),
    }
}

fn activation(program: &mut Program, position: usize) -> bool {
    let Operation::Activation(function) = program.units[position].operation else { return false };
    let Some(producer) = sole_norm(program, position, 0) else { return false };
    let value = program.units[position].value;
    let norm = norm_of(program, producer);
    if norm.activation != Activation::Identity {
        return false;
    }
    norm.activation = function;
    program.units[producer].value = value;
    true
}

fn drop_connect(program: &mut Program, position: usize) -> bool {
    let Operation::DropConnect { rate } = program.units[position].operation else { return false };
    let Some(producer) = sole_norm(program, position, 0) else { return false };
    let value = program.units[position].value;
    norm_of(program, producer).drop = Some(rate);
    program.units[producer].value = value;
    true
}

fn residual(program: &mut Program, position: usize) -> bool {
    if !matches!(program.units[position].operation, Operation::Add) {
        return false;
    }
    for (branch, other) in [(0, 1), (1, 0)] {
        let residual = program.units[position].inputs[other];
        let Some(producer) = sole_norm(program, position, branch) else { continue };
        if program.producer(residual) < producer && program.units[producer].inputs.len() == 1 {
            program.units[producer].value = program.units[position].value;
            program.units[producer].inputs.push(residual);
            return true;
        }
    }
    false
}

/// A mean is summed as its map is written.
fn means(program: &mut Program, position: usize) -> bool {
    if !matches!(program.units[position].operation, Operation::Mean) {
        return false;
    }
    let (value, input) = (program.units[position].value, program.units[position].inputs[0]);
    let producer = program.producer(input);
    if !is_plain(program, producer) || program.units[producer].means().is_some() {
        return false;
    }
    norm_of(program, producer).means = Some(value);
    true
}

/// Whether the unit is a BatchNorm, perhaps with an activation, whose result nothing is added to or dropped from.
fn is_plain(program: &Program, position: usize) -> bool {
    let unit = &program.units[position];
    matches!(&unit.operation, Operation::Norm(norm) if norm.drop.is_none()) && unit.inputs.len() == 1
}

/// A gate before a 1×1 convolution, on a map that nobody else reads but for its means.
fn gate(program: &mut Program, position: usize) -> bool {
    if !matches!(program.units[position].operation, Operation::Scale) {
        return false;
    }
    let (value, inputs) = (program.units[position].value, program.units[position].inputs.clone());
    let Some(producer) = sole_norm(program, position, 0) else { return false };
    // The gate is still to be multiplied with the gradient when that meets the BatchNorm.
    if program.uses(value) != 1 || !is_plain(program, producer) {
        return false;
    }
    let Some(reader) = program.units.iter_mut().find(|unit| unit.inputs.first() == Some(&value)) else {
        return false;
    };
    match &reader.operation {
        Operation::Dense(dense) if dense.conv.kernel == 1 && dense.conv.stride == 1 => {
            reader.inputs = inputs;
            true
        }
        _ => false,
    }
}

/// A BatchNorm, with statistics that stay, behind a convolution that nobody else reads.
fn norm(program: &mut Program, position: usize) -> bool {
    let unit = &program.units[position];
    let Operation::Norm(norm) = &unit.operation else { return false };
    if unit.learns || !norm.frozen || norm.drop.is_some() || norm.means.is_some() || unit.inputs.len() > 1 {
        return false;
    }
    let (value, norm) = (unit.value, norm.clone());
    let (input, producer) = (unit.inputs[0], program.producer(unit.inputs[0]));
    if program.uses(input) > 1 {
        return false;
    }
    match &mut program.units[producer].operation {
        Operation::Dense(convolution) | Operation::Depthwise(convolution) if convolution.norm.is_none() => {
            convolution.norm = Some(norm);
            program.units[producer].value = value;
            true
        }
        _ => false,
    }
}
