//! One stretch of fresh memory for many buffers.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::MmapMut;

use crate::buffer::ALIGN;

/// What a huge page holds on x86-64, and on AArch64 with pages of 4 kB.
const HUGE_PAGE: usize = 2 << 20;
/// Less is no matter for a mapping of its own, in bytes.
const WORTH_MAPPING: usize = 128 << 10;

/// A stretch of zeroed memory from which the buffers that are made within [`Arena::scope`] are cut, until
/// it is used up.
///
/// A network is thousands of pages of packed weights, and to be given a page costs the processor as long
/// as to fill it ten times. From one stretch the system can give out huge pages: a few hundred pages at
/// once. Pages that are never written are never given. The stretch is returned when the arena and all of
/// its buffers are gone, so it is for buffers that live and die together.
#[derive(Debug)]
pub struct Arena(Option<Arc<Region>>);

/// The mapping, and how much of it is in use.
#[derive(Debug)]
pub(crate) struct Region {
    map: MmapMut,
    end: usize,
    used: AtomicUsize,
}

thread_local! {
    /// The region that this thread's new buffers are cut from.
    static CURRENT: RefCell<Option<Arc<Region>>> = const { RefCell::new(None) };
}

impl Arena {
    /// An arena of `bytes`. Where the system has no such stretch, and where so few bytes are not worth one,
    /// buffers come from the heap.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(if bytes < WORTH_MAPPING { None } else { Region::map(bytes).map(Arc::new) })
    }

    /// Runs `make`, and cuts the buffers that it makes on this thread from the arena.
    pub fn scope<R>(&self, make: impl FnOnce() -> R) -> R {
        /// Puts back what was there, also when `make` panics.
        struct Outer(Option<Arc<Region>>);
        impl Drop for Outer {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _outer = Outer(CURRENT.replace(self.0.clone()));
        make()
    }
}

impl Region {
    fn map(bytes: usize) -> Option<Self> {
        // Room to begin on the boundary of a huge page.
        let map = MmapMut::map_anon(bytes.checked_add(HUGE_PAGE)?).ok()?;
        let start = map.as_ptr().align_offset(HUGE_PAGE);
        // What does not fill a huge page at the end stays in small ones, to take no more than is used.
        #[cfg(target_os = "linux")]
        if bytes >= HUGE_PAGE {
            // The memory is as good without.
            let _ = map.advise_range(memmap2::Advice::HugePage, start, bytes - bytes % HUGE_PAGE);
        }
        Some(Self { map, end: start + bytes, used: AtomicUsize::new(start) })
    }

    /// The next `bytes` of the region, zeroed, on a boundary of [`ALIGN`]; nothing where they do not fit.
    fn take(&self, bytes: usize) -> Option<NonNull<u8>> {
        let padded = bytes.checked_next_multiple_of(ALIGN)?;
        let next = |used: usize| used.checked_add(padded).filter(|&end| end <= self.end);
        let start = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        // SAFETY: `start` lies in the mapping.
        NonNull::new(unsafe { self.map.as_ptr().cast_mut().add(start) })
    }
}

/// `bytes` of this thread's arena, and the region that must outlive them.
pub(crate) fn take(bytes: usize) -> Option<(NonNull<u8>, Arc<Region>)> {
    CURRENT
        .with_borrow(|region| region.as_ref().and_then(|region| Some((region.take(bytes)?, region.clone()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AlignedBuf;

    #[test]
    fn buffers_are_apart_aligned_and_outlive_their_arena() {
        let arena = Arena::with_capacity(3 * HUGE_PAGE + 4096);
        let mut buffers: Vec<AlignedBuf> = Vec::new();
        // Twice as much as there is, so the last come from the heap; on two threads at the same time.
        std::thread::scope(|scope| {
            let make = || arena.scope(|| (1..=1800).map(AlignedBuf::zeroed).collect::<Vec<_>>());
            let other = scope.spawn(make);
            buffers.extend(make());
            buffers.extend(other.join().expect("no panic"));
        });
        drop(arena);
        for (i, buffer) in buffers.iter_mut().enumerate() {
            assert_eq!(buffer.as_ptr() as usize % ALIGN, 0);
            assert!(buffer.iter().all(|&v| v == 0.0));
            buffer.fill(i as f32 + 1.0);
        }
        buffers.truncate(2000);
        for (i, buffer) in buffers.iter().enumerate() {
            assert!(buffer.iter().all(|&v| v == i as f32 + 1.0), "buffer {i}");
        }
    }

    #[test]
    fn a_scope_ends() {
        let (outer, inner) = (Arena::with_capacity(1 << 20), Arena::with_capacity(1 << 20));
        let at = |arena: &Arena| arena.0.as_ref().map(|region| region.used.load(Ordering::Relaxed));
        let (outer_start, inner_start) = (at(&outer), at(&inner));
        outer.scope(|| {
            inner.scope(|| drop(AlignedBuf::zeroed(16)));
            assert_eq!(at(&inner), inner_start.map(|start| start + 64));
            assert_eq!(at(&outer), outer_start);
            drop(AlignedBuf::zeroed(17));
        });
        drop(AlignedBuf::zeroed(16));
        assert_eq!(at(&outer), outer_start.map(|start| start + 128));
        assert!(Arena::with_capacity(1000).0.is_none());
    }
}
