//! An activation after a convolution or a weighted sum is applied while the result is in the cache.

use effigy_kernels::Activation;

use crate::program::{Dense, Depthwise, Kind, Program, WeightedSum};

pub(super) fn fuse(program: &mut Program) {
    super::absorb(program, |program, position| {
        let unit = &program.units[position];
        let Kind::Activation(function) = unit.kind else { return false };
        let value = unit.value;
        let Some(producer) = program.sole_producer(unit.inputs[0]) else { return false };
        let producer = &mut program.units[producer];
        let (Kind::Dense(Dense { activation, residual: None, .. })
        | Kind::Depthwise(Depthwise { activation, mean: None, .. })
        | Kind::WeightedSum(WeightedSum { activation, .. })) = &mut producer.kind
        else {
            return false;
        };
        if *activation != Activation::Identity {
            return false;
        }
        *activation = function;
        producer.value = value;
        true
    });
}
