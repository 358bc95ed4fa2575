//! BatchNorm after a convolution becomes part of its weights and bias.

use effigy_kernels::Activation;

use crate::program::{Dense, Depthwise, Kind, Program, Weights};

pub(super) fn fold(program: &mut Program) {
    super::absorb(program, fold_unit);
}

fn fold_unit(program: &mut Program, position: usize) -> bool {
    let unit = &mut program.units[position];
    let (value, input) = (unit.value, unit.inputs.first().copied());
    let Kind::Affine { scale, shift } = &mut unit.kind else { return false };
    let (scale, shift) = (std::mem::take(scale), std::mem::take(shift));
    let producer = input.and_then(|input| program.sole_producer(input));
    if let Some(producer) = producer {
        let producer = &mut program.units[producer];
        if let Some((weights, bias)) = linear_part(&mut producer.kind) {
            weights.scale(&scale);
            for ((bias, scale), shift) in bias.iter_mut().zip(&scale).zip(&shift) {
                *bias = *bias * scale + shift;
            }
            producer.value = value;
            return true;
        }
    }
    program.units[position].kind = Kind::Affine { scale, shift };
    false
}

/// Weights and bias of a convolution that nothing non-linear follows yet.
fn linear_part<'k, 'a>(kind: &'k mut Kind<'a>) -> Option<(&'k mut Weights<'a>, &'k mut [f32])> {
    match kind {
        Kind::Dense(Dense { weights, bias, activation: Activation::Identity, residual: None, .. })
        | Kind::Depthwise(Depthwise { weights, bias, activation: Activation::Identity, .. }) => {
            Some((weights, bias))
        }
        _ => None,
    }
}
