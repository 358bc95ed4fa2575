//! What is fetched while something else is computed: a tile that had to wait for its operands would compute at the
//! speed of memory. Of weights most networks have more than the caches keep from one picture to the next, and large
//! activations are more than stays in the second-level cache until they are read.

/// So many bytes are fetched ahead at most: they shall still be in the second-level cache when they are read.
const MOST: usize = 256 << 10;
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
    pub(crate) fn new(from: *const f32, len: usize, rows: usize) -> Self {
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
    next: Stretch,
    later: &'a [Stretch],
    /// How far a row of weights goes on, a tile, and the tiles so far, in bytes.
    step: usize,
    share: usize,
    at: usize,
}

impl<'a> Coming<'a> {
    /// `next`, then `later`, but no more than twice the `own` bytes of the group; by `tiles` that each go over so many
    /// `rows` of weights.
    #[inline(always)]
    pub(crate) fn new(next: Stretch, later: &'a [Stretch], own: usize, rows: usize, tiles: usize) -> Self {
        let len: usize = next.bytes + later.iter().map(|stretch| stretch.bytes).sum::<usize>();
        let len = len.min(2 * own).min(MOST);
        let step = len.div_ceil(rows * tiles).min(LINE);
        Self { next, later, step, share: step * rows, at: 0 }
    }

    /// What the next tile fetches.
    #[inline(always)]
    pub(crate) fn ahead(&mut self) -> Ahead {
        let mut at = self.at;
        self.at += self.share;
        for stretch in [&self.next].into_iter().chain(self.later) {
            if at < stretch.bytes {
                let from = std::ptr::without_provenance(stretch.start + at);
                return Ahead { from, step: self.step };
            }
            at -= stretch.bytes;
        }
        Ahead::NOTHING
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
        let (behind, later) = (Stretch::of(&values[1000..1400]), [Stretch::of(&values[5000..6000])]);
        // 800 of the 1400 bytes: twice as many as the group has.
        let coming = Coming::new(behind, &later, 400, 10, 4);
        assert_eq!(fetched(start, coming, 4), [(1000, 20), (1200, 20), (5000, 20), (5200, 20)]);
        // Not more than a line a row.
        let coming = Coming::new(behind, &later, 10_000, 5, 2);
        assert_eq!(fetched(start, coming, 2), [(1000, 64), (1320, 64)]);
    }

    #[test]
    fn nothing_is_fetched_where_nothing_follows() {
        let values = [0u8; 64];
        let ahead = Coming::new(Stretch::of(&values[..0]), &[], 400, 10, 4).ahead();
        assert_eq!((ahead.or(values.as_ptr()), ahead.step), (values.as_ptr(), 0));
    }
}
