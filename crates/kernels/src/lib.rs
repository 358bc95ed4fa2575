//! The arithmetic of effigy: SIMD kernels on NHWC activations, and the thread pool that runs them.
//!
//! Every algorithm is written once over the small [`Simd`](isa::Simd) trait; `isa` holds one thin
//! file per instruction set. Each operation has a plain counterpart in [`naive`], which the tests
//! compare with. Results do not depend on the number of threads.

#![allow(unsafe_code)]

mod ahead;
pub mod bf16;
mod cache;
mod conv;
mod cut;
mod depthwise;
mod elementwise;
mod epilogue;
mod expand;
mod feed;
mod finish;
mod gemm;
pub mod int8;
pub mod isa;
mod layout;
pub mod math;
mod max_pool;
pub mod naive;
pub mod peak;
mod pool;
mod pooling;
mod separable;
mod weighted_sum;

pub use ahead::{Announced, Stretch};
pub use conv::{ConvShape, PackedConv, conv2d};
pub use depthwise::{PackedDepthwise, depthwise};
pub use elementwise::{activation, add, affine, copy, scale, scale_in_place};
pub use epilogue::{Activation, Epilogue};
pub use expand::{Expansion, expand_depthwise, expand_scratch_len};
pub use feed::{Feed, Levels, Samples, bring};
pub use isa::Isa;
pub use layout::{Halo, Layout, SharedPtr, View, ViewMut};
pub use max_pool::{Window, max_pool};
pub use pool::{ThreadPool, split};
pub use pooling::{PartialSums, global_average, mean_of_sums};
pub use separable::{
    FusionSum, FusionTerm, InputKind, MAX_POOLED, MAX_SEPARABLE, Separable, SeparableInput, separable,
    separable_scratch_len,
};
pub use weighted_sum::{MAX_TERMS, weighted_sum};

/// The processor that kernels run on: an instruction set and a pool of threads.
#[derive(Debug)]
pub struct Cpu {
    /// The instruction set that every kernel uses.
    pub isa: Isa,
    /// The threads that share the work.
    pub pool: ThreadPool,
}

impl Cpu {
    /// A processor with `threads` threads (at least one) and the instruction set `isa`.
    #[must_use]
    pub fn new(isa: Isa, threads: usize) -> Self {
        Self { isa, pool: ThreadPool::new(threads) }
    }
}
