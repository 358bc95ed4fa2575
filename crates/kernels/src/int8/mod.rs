//! Kernels on 8-bit activations: a byte q stands for `(q − zero) · scale`.
//!
//! Weights are signed bytes with a scale for every output channel. Products are summed exactly in 32
//! bits; an epilogue in floats rounds once to the output's bytes. All of it is the same to the bit on
//! every instruction set and for any number of threads.

mod block;
mod conv;
mod depthwise;
mod elementwise;
mod epilogue;
mod finish;
mod gemm;
pub mod naive;
mod weights;
mod window;

use crate::layout::{Layout, fill_halo};

pub use block::QuantBlock;
pub use conv::{OutputMut, QuantConv};
pub use depthwise::QuantDepthwise;
pub use elementwise::{dequantise, gate, gate_scratch_len, mean, mean_of_sums, quantise, quantise_samples};
pub use epilogue::{Output, Residual};
pub use weights::{QuantWeights, fits};

/// What a byte stands for: `(q − zero) · scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quant {
    /// The step from a byte to the next.
    pub scale: f32,
    /// The byte that stands for zero.
    pub zero: u8,
}

/// The smallest step, so that its reciprocal is finite.
const MIN_SCALE: f32 = 1e-30;

impl Quant {
    /// The finest steps in which bytes reach from `low` to `high`; zero is always among their values.
    #[must_use]
    pub fn over(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = ((high - low) / 255.0).max(MIN_SCALE);
        Self { scale, zero: (-low / scale).round() as u8 }
    }

    /// The nearest byte.
    #[must_use]
    pub fn byte(self, value: f32) -> u8 {
        value.mul_add(self.scale.recip(), f32::from(self.zero)).round_ties_even() as u8
    }

    /// What a byte stands for.
    #[must_use]
    pub fn value(self, byte: u8) -> f32 {
        (f32::from(byte) - f32::from(self.zero)) * self.scale
    }
}

/// Bytes behind an activation that kernels may read (their values do not matter).
pub const SLACK: usize = 64;

/// Bytes of memory for an activation of this layout.
#[must_use]
pub fn bytes_for(layout: &Layout) -> usize {
    layout.len() + SLACK
}

/// An 8-bit activation to read.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    /// At least [`bytes_for`] the layout.
    pub data: &'a [u8],
    /// Where they lie; the halo holds `quant.zero`.
    pub layout: Layout,
    /// What they stand for.
    pub quant: Quant,
}

/// An 8-bit activation to write.
#[derive(Debug)]
pub struct BytesMut<'a> {
    /// At least [`bytes_for`] the layout.
    pub data: &'a mut [u8],
    /// Where they lie.
    pub layout: Layout,
    /// What they stand for.
    pub quant: Quant,
}

impl<'a> Bytes<'a> {
    /// A view of `data`.
    ///
    /// # Panics
    /// When there are fewer bytes than the layout needs.
    #[must_use]
    pub fn new(data: &'a [u8], layout: Layout, quant: Quant) -> Self {
        assert!(data.len() >= bytes_for(&layout), "{} bytes for {layout:?}", data.len());
        Self { data, layout, quant }
    }
}

impl<'a> BytesMut<'a> {
    /// A view of `data`.
    ///
    /// # Panics
    /// When there are fewer bytes than the layout needs.
    #[must_use]
    pub fn new(data: &'a mut [u8], layout: Layout, quant: Quant) -> Self {
        assert!(data.len() >= bytes_for(&layout), "{} bytes for {layout:?}", data.len());
        Self { data, layout, quant }
    }

    /// The same bytes, to read.
    #[must_use]
    pub fn as_bytes(&self) -> Bytes<'_> {
        Bytes { data: self.data, layout: self.layout, quant: self.quant }
    }

    /// Writes zeros (the byte that stands for them) into the halo of every picture.
    pub(crate) fn clear_halo(&mut self) {
        let layout = self.layout;
        let data = self.data[..layout.len()].as_mut_ptr();
        // SAFETY: the layout's bytes, which are this view's own.
        unsafe { fill_halo(data, &layout, self.quant.zero, 0..layout.images * layout.height) };
    }
}

/// A pointer that tasks of one job share, each writing its own part.
pub(crate) struct Shared<T>(*mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

// SAFETY: the kernels give every task a part of its own.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) fn new(data: &mut [T]) -> Self {
        Self(data.as_mut_ptr())
    }

    /// # Safety
    /// `offset` must lie within the slice, and what is written behind the pointer must be the
    /// calling task's own.
    pub(crate) unsafe fn at(self, offset: usize) -> *mut T {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(offset) }
    }
}

/// Floats as bytes: memory of the engine's workspace.
#[must_use]
pub fn bytes_of(floats: &[f32]) -> &[u8] {
    // SAFETY: every byte of a float may be read, and bytes need no alignment.
    unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), size_of_val(floats)) }
}

/// Floats as integers of the same length: memory of the engine's workspace.
#[must_use]
pub fn ints_of_mut(floats: &mut [f32]) -> &mut [i32] {
    // SAFETY: integers of the same size and alignment, of which every pattern is one.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), floats.len()) }
}

/// Floats as bytes: memory of the engine's workspace.
#[must_use]
pub fn bytes_of_mut(floats: &mut [f32]) -> &mut [u8] {
    // SAFETY: every byte of a float may be read and written, and bytes need no alignment.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), size_of_val(floats)) }
}
