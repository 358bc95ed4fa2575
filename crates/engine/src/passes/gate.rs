//! The gate of squeeze-and-excitation moves into the 1×1 convolution that follows it.

use crate::program::{Kind, Program, Unit};

pub(super) fn fuse(program: &mut Program) {
    super::absorb(program, |program, position| {
        let unit = &program.units[position];
        let Kind::Scale = unit.kind else { return false };
        let (value, input, gate) = (unit.value, unit.inputs[0], unit.inputs[1]);
        if program.uses(value) != 1 || !program.is_last_read(input, position) {
            return false;
        }
        let consumer = program.units.iter_mut().find(|unit| unit.inputs.first() == Some(&value));
        let Some(consumer) = consumer else { return false };
        match &mut consumer.kind {
            Kind::Dense(dense)
                if dense.gate.is_none() && dense.conv.kernel == 1 && dense.conv.stride == 1 =>
            {
                dense.gate = Some(gate);
                consumer.inputs[0] = input;
                true
            }
            _ => false,
        }
    });
}

impl Program<'_> {
    /// Whether nobody reads `value` after the unit at `position`: the gated values may then take its place.
    fn is_last_read(&self, value: effigy_arch::NodeId, position: usize) -> bool {
        let later = &self.units[position + 1..];
        !self.results.contains(&value) && !later.iter().flat_map(Unit::reads).any(|id| id == value)
    }
}
