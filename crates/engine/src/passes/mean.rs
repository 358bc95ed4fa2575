//! The squeeze of squeeze-and-excitation is summed while the depthwise convolution writes.

use crate::program::{Kind, Program};

pub(super) fn fuse(program: &mut Program) {
    super::absorb(program, |program, position| {
        let unit = &program.units[position];
        let Kind::Mean = unit.kind else { return false };
        let (value, input) = (unit.value, unit.inputs[0]);
        // The mean is a second value of the producer, which may well be read by others.
        let producer = program.units.iter_mut().find(|unit| unit.value == input);
        match producer.map(|unit| &mut unit.kind) {
            Some(Kind::Depthwise(depthwise)) if depthwise.mean.is_none() => {
                depthwise.mean = Some(value);
                true
            }
            _ => false,
        }
    });
}
