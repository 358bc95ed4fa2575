//! A row's pixels pass by: the taps of the next output.

use crate::isa::int::IntSimd;

/// Neighbouring pixels of `BLOCKS` vectors of channels.
pub(super) struct Window<S: IntSimd, const BLOCKS: usize> {
    pub(super) taps: [S::I; BLOCKS],
    /// The next pixel.
    pub(super) pixel: *const u8,
    /// Bytes from a pixel to the next.
    pub(super) pitch: usize,
    /// Pixels behind the next one; after the last, that one again: taps there have no weight.
    pub(super) left: usize,
}

impl<S: IntSimd, const BLOCKS: usize> Window<S, BLOCKS> {
    /// Moves on by a pixel.
    ///
    /// # Safety
    /// All blocks of the next pixel must be valid for reading, 16 bytes each.
    #[inline(always)]
    pub(super) unsafe fn push(&mut self, s: S) {
        for (block, taps) in self.taps.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *taps = unsafe { s.push(*taps, self.pixel.add(block * S::LANES)) };
        }
        if self.left > 0 {
            self.left -= 1;
            self.pixel = self.pixel.wrapping_add(self.pitch);
        }
    }
}
