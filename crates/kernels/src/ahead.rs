//! What is fetched while something else is computed: a tile that had to wait for its operands would compute at the
//! speed of memory. Of weights most networks have more than the caches keep from one picture to the next, and large
//! activations are more than stays in the second-level cache until they are read.

use std::ops::Range;

use crate::cache;

/// So much of the second-level cache is fetched ahead at most: it shall still be there when it is read.
const MOST: (usize, usize) = (1, 4);
/// Bytes in a cache line.
const LINE: usize = 64;

/// A stretch of memory that is fetched ahead. It is an address, not a borrow: what is there is not read, and need not
/// be there any more.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    start: usize,
    bytes: usize,
}

impl Stretch {
    pub(crate) fn of<T>(values: &[T]) -> Self {
        Self { start: values.as_ptr().addr(), bytes: size_of_val(values) }
    }
}

/// A convolution that knows which weights are read after its own.
pub trait Announced {
    /// Where its own are.
    fn stretch(&self) -> Stretch;

    /// While it computes, these stretches are fetched, as far as that pays.
    fn announce(&mut self, later: Vec<Stretch>);
}

/// What is fetched while a tile computes.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    /// Where it starts; need not be valid. Null where there is nothing.
    from: *const u8,
    /// From what a row of weights fetches to what the next one does, in bytes.
    pub(crate) step: usize,
}

impl Ahead {
    const NOTHING: Self = Self { from: std::ptr::null(), step: 0 };

    /// `len` values from `from` on, by so many rows of weights.
    #[inline(always)]
    pub(crate) fn over(from: *const f32, len: usize, rows: usize) -> Self {
        Self { from: from.cast(), step: (size_of::<f32>() * len).div_ceil(rows).min(LINE) }
    }

    /// Where it starts; where there is nothing, at `weights`, which are there already: an address that is none would
    /// take long to look up.
    #[inline(always)]
    pub(crate) fn or<T>(self, weights: *const T) -> *const u8 {
        if self.from.is_null() { weights.cast() } else { self.from }
    }
}

/// What the tiles of a group of panels fetch bit by bit.
pub(crate) struct Coming<'a> {
    /// What is left of a stretch, then those behind it without their first bytes.
    at: usize,
    left: usize,
    later: std::slice::Iter<'a, Stretch>,
    skip: usize,
    /// How far a row of weights goes on, and a tile, in bytes.
    step: usize,
    share: usize,
}

impl<'a> Coming<'a> {
    /// The next group of `weights`, which is as large as this `group`; then as much of what is read `later` as the group
    /// is of the weights. It is fetched by `tiles` that each go over so many `rows` of weights.
    #[inline(always)]
    pub(crate) fn new<T>(
        weights: &[T],
        group: Range<usize>,
        later: &'a [Stretch],
        rows: usize,
        tiles: usize,
    ) -> Self {
        let next = Stretch::of(&weights[group.end..weights.len().min(group.end + group.len())]);
        let (share, of) = MOST;
        let all: usize = later.iter().map(|stretch| stretch.bytes).sum();
        let all = all.min(cache::second_level() / of * share);
        let until = |value: usize| all * value / weights.len();
        let skip = until(group.start);
        let len = next.bytes + until(group.end) - skip;
        let step = len.div_ceil(rows * tiles).min(LINE);
        Self { at: next.start, left: next.bytes, later: later.iter(), skip, step, share: step * rows }
    }

    /// What the next tile fetches.
    #[inline(always)]
    pub(crate) fn ahead(&mut self) -> Ahead {
        while self.left == 0 {
            let Some(stretch) = self.later.next() else { return Ahead::NOTHING };
            let skipped = self.skip.min(stretch.bytes);
            self.skip -= skipped;
            (self.at, self.left) = (stretch.start + skipped, stretch.bytes - skipped);
        }
        let from = std::ptr::without_provenance(self.at);
        self.at += self.share;
        self.left = self.left.saturating_sub(self.share);
        Ahead { from, step: self.step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What so many tiles fetch, in bytes from the start.
    fn fetched(start: usize, mut coming: Coming<'_>, tiles: usize) -> Vec<(usize, usize)> {
        (0..tiles).map(|_| coming.ahead()).map(|ahead| (ahead.from.addr() - start, ahead.step)).collect()
    }

    #[test]
    fn tiles_share_what_is_behind_and_what_is_later() {
        let values = vec![0u8; 10_000];
        let start = values.as_ptr().addr();
        let later = [Stretch::of(&values[5000..5300]), Stretch::of(&values[7000..7500])];
        // The group behind, and a quarter of 800 bytes.
        let first = Coming::new(&values[1000..2600], 0..400, &later, 10, 6);
        let expected = [(1400, 10), (1500, 10), (1600, 10), (1700, 10), (5000, 10), (5100, 10)];
        assert_eq!(fetched(start, first, 6), expected);
        // The third quarter: what is left of the second stretch.
        let third = Coming::new(&values[1000..2600], 800..1200, &later, 20, 3);
        assert_eq!(fetched(start, third, 3), [(2200, 10), (2400, 10), (7100, 10)]);
        // Nothing is behind the last; not more than a line a row.
        let last = Coming::new(&values[1000..2600], 1200..1600, &later, 2, 1);
        assert_eq!(fetched(start, last, 1), [(7300, 64)]);
    }

    #[test]
    fn nothing_is_fetched_where_nothing_follows() {
        let values = [0u8; 64];
        let ahead = Coming::new(&values, 0..64, &[], 10, 4).ahead();
        assert_eq!((ahead.or(values.as_ptr()), ahead.step), (values.as_ptr(), 0));
    }
}
