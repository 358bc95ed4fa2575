//! A weighted sum reads a coarser map at the nearest pixel by itself, so no map is enlarged before it.

use crate::program::{Kind, Program};

pub(super) fn fuse(program: &mut Program) {
    super::absorb(program, |program, position| {
        let unit = &program.units[position];
        let Kind::Upsample = unit.kind else { return false };
        let (value, coarse) = (unit.value, unit.inputs[0]);
        if program.uses(value) != 1 {
            return false;
        }
        let reader = program.units.iter_mut().find(|unit| unit.inputs.contains(&value));
        match reader.filter(|unit| matches!(unit.kind, Kind::WeightedSum(_))) {
            Some(reader) => {
                reader.inputs.iter_mut().filter(|input| **input == value).for_each(|input| *input = coarse);
                true
            }
            None => false,
        }
    });
}
