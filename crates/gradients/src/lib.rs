//! The arithmetic of training: what every operation's inputs and parameters get of the gradient of its output, and
//! BatchNorm by a batch's own statistics.
//!
//! One file an operation, over the [`Simd`](effigy_kernels::isa::Simd) trait, the layouts and the pool of
//! `effigy-kernels`, which computes the ways forward that inference has too. `d_…` is the gradient of a loss with
//! respect to `…`. Gradients of parameters are added to what is there, gradients of maps are written.
//!
//! Sums over pixels are cut into parts that depend on the shapes alone and added in a fixed order: results do not
//! depend on the number of threads. Each operation has a plain counterpart in [`naive`].

#![allow(unsafe_code)]

mod activation;
mod batch_norm;
mod bias;
mod blocks;
mod dense;
mod dense_input;
mod depthwise;
mod depthwise_input;
mod drop;
mod elementwise;
mod excite;
mod lanes;
mod max_pool;
pub mod naive;
mod upsample;
mod weighted_sum;

pub use activation::{activate, activation_backward};
pub use batch_norm::{
    Batch, Factors, GradientSums, Incoming, Normalised, Statistics, batch_norm, batch_statistics,
};
pub use bias::bias_backward;
pub use dense::{Gate, dense_weights};
pub use dense_input::dense_input;
pub use depthwise::depthwise_weights;
pub use depthwise_input::{PackedTransposed, depthwise_input, input_gradient_halo};
pub use drop::{drop_connect, dropout};
pub use elementwise::{add, add_to};
pub use excite::{gate_backward, mean, scale, spread};
pub use max_pool::max_pool_backward;
pub use upsample::{upsample, upsample_backward};
pub use weighted_sum::{weighted_sum_backward, weights_backward};
