//! A fixed-size `f32` buffer on a cache-line boundary.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::arena::{self, Region};

/// Zero-initialised `f32`s whose first element lies on a 64-byte boundary, so that a full AVX-512
/// vector never straddles two cache lines.
pub struct AlignedBuf {
    ptr: NonNull<f32>,
    len: usize,
    /// What the memory is a part of; none where it has been allocated for itself.
    region: Option<Arc<Region>>,
}

pub(crate) const ALIGN: usize = 64;

impl AlignedBuf {
    /// A buffer of `len` zeros, cut from this thread's [`Arena`](crate::Arena) if there is one. An empty
    /// buffer allocates nothing.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        if len == 0 {
            return Self { ptr: NonNull::dangling(), len, region: None };
        }
        let layout = Self::layout(len);
        if let Some((ptr, region)) = arena::take(layout.size()) {
            return Self { ptr: ptr.cast(), len, region: Some(region) };
        }
        // SAFETY: the layout has a non-zero size because len > 0.
        let raw = unsafe { alloc_zeroed(layout) };
        match NonNull::new(raw.cast::<f32>()) {
            Some(ptr) => Self { ptr, len, region: None },
            None => handle_alloc_error(layout),
        }
    }

    fn layout(len: usize) -> Layout {
        Layout::array::<f32>(len).and_then(|l| l.align_to(ALIGN)).expect("buffer size fits in isize")
    }
}

impl Default for AlignedBuf {
    fn default() -> Self {
        Self::zeroed(0)
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if self.len > 0 && self.region.is_none() {
            // SAFETY: allocated in `zeroed` with this very layout, and freed only here.
            unsafe { dealloc(self.ptr.as_ptr().cast(), Self::layout(self.len)) }
        }
    }
}

impl Deref for AlignedBuf {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: ptr points to len initialised f32s (dangling only when len is 0) that are self's alone: its
        // own allocation, or a part of a region that is given out once and that self keeps alive.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl Clone for AlignedBuf {
    fn clone(&self) -> Self {
        Self::from(&self[..])
    }
}

impl From<&[f32]> for AlignedBuf {
    fn from(values: &[f32]) -> Self {
        let mut buf = Self::zeroed(values.len());
        buf.copy_from_slice(values);
        buf
    }
}

impl std::fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuf({} f32)", self.len)
    }
}

// SAFETY: the buffer owns its memory, or the only reference to its part of a region; f32 and Region are Send.
unsafe impl Send for AlignedBuf {}
// SAFETY: shared access only reads.
unsafe impl Sync for AlignedBuf {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_aligned_zeroed_and_writable() {
        let mut buf = AlignedBuf::zeroed(37);
        assert_eq!(buf.as_ptr() as usize % ALIGN, 0);
        assert!(buf.iter().all(|&v| v == 0.0));
        buf[36] = 2.0;
        assert_eq!(buf.clone()[36], 2.0);
        assert!(AlignedBuf::zeroed(0).is_empty());
    }
}
