//! Matrix products C = A·B + bias with B packed beforehand: the arithmetic of every convolution that
//! is not depthwise.
//!
//! A is the activation as it lies in memory: row m is a pixel's patch, made of `segments` stretches of
//! contiguous values. B is cut into panels of one to four vectors of columns, each stored row after row.

mod pack;
mod tile;

pub(crate) use pack::{PackedMatrix, Panel, flushed};
pub(crate) use tile::{Operand, Tile, run_tile};

/// No register tile has more rows.
pub(crate) const MAX_ROWS: usize = 14;
