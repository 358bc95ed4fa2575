//! Fusions: each pass rewrites the program so that it computes the same with fewer passes over memory.
//!
//! A value that is handed out (an output or a tap) counts as read, so it is never fused away.

mod activation;
mod batch_norm;
mod block;
mod expand;
mod fusion_sum;
mod gate;
mod levels;
mod mean;
mod quantise;
mod residual;
mod separable;
mod upsample;

pub(crate) use block::fuse as fuse_blocks;
pub(crate) use quantise::quantise;

use crate::program::Program;

/// Runs every pass. The order matters: an activation follows the BatchNorm that is folded before it.
pub(crate) fn fuse(program: &mut Program<'_>) {
    fuse_values(program);
    gate::fuse(program);
    separable::fuse(program);
    fusion_sum::fuse(program);
    levels::fuse(program);
    expand::fuse(program);
    separable::fuse_blocks(program);
}

/// The passes that leave every value that an 8-bit network keeps in memory.
pub(crate) fn fuse_values(program: &mut Program<'_>) {
    batch_norm::fold(program);
    activation::fuse(program);
    upsample::fuse(program);
    residual::fuse(program);
    mean::fuse(program);
}

/// Visits the units in order; a unit for which `absorb` returns true is removed.
fn absorb(program: &mut Program, absorb: impl Fn(&mut Program<'_>, usize) -> bool) {
    let mut position = 0;
    while position < program.units.len() {
        if absorb(program, position) {
            program.units.remove(position);
        } else {
            position += 1;
        }
    }
}
