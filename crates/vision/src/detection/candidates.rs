//! The best of millions of logits.
//!
//! Nearly all logits lie below the cut: blocks of them are passed over by a comparison that the compiler
//! vectorises and that a value which is not finite fails. The cut begins at the threshold and rises as soon
//! as enough better ones are known.

use std::ops::Range;
use std::sync::OnceLock;

use super::options::{Candidates, PostProcessing};
use super::workers::Workers;
use super::{Level, NotFinite};

/// An anchor's class that may become a box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) anchor: usize,
    pub(super) class_index: usize,
    pub(super) score: f32,
}

/// Logits that are compared at once.
const BLOCK: usize = 32;
/// What a vector register, or two, hold.
const LANES: usize = 8;

/// Which logits become candidates.
pub(super) struct Selection<'a> {
    options: &'a PostProcessing,
    /// A logit just below the threshold's, so that no rounding loses one; the score decides.
    cut: f32,
}

impl<'a> Selection<'a> {
    pub(super) fn new(options: &'a PostProcessing) -> Self {
        const MARGIN: f64 = 1e-3;
        let score = f64::from(options.score);
        let cut = if score > 0.0 { ((score / (1.0 - score)).ln() - MARGIN) as f32 } else { f32::MIN };
        // A score of 1 or more is above every sigmoid's; f32::MAX is above every logit's.
        Self { options, cut: if score < 1.0 { cut } else { f32::MAX } }
    }

    /// The candidates, best first.
    pub(super) fn select(
        &self,
        levels: &[Level<'_>],
        classes: usize,
        workers: Workers<'_>,
    ) -> Result<Vec<Candidate>, NotFinite> {
        let (most, best_class) = match self.options.candidates {
            Candidates::EveryClass(most) => (most, false),
            Candidates::BestClass(most) => (most, true),
        };
        let guess = if best_class { self.cut } else { self.guessed_cut(levels, most) };
        let scan = |cut: f32| self.scan(levels, classes, best_class, || Top::new(most, cut), workers);
        let mut top = scan(guess)?;
        if guess > self.cut && top.kept.len() < most {
            top = scan(self.cut)?;
        }
        let candidate = |rank: Rank| {
            let index = rank.index();
            Candidate { anchor: index / classes, class_index: index % classes, score: sigmoid(rank.logit()) }
        };
        let above = |candidate: &Candidate| candidate.score > self.options.score;
        Ok(top.into_sorted().into_iter().map(candidate).filter(above).collect())
    }

    /// A cut that a few more than `most` logits are probably above, by a sample of them: it spares the scan
    /// most of what it would keep only until better ones come.
    fn guessed_cut(&self, levels: &[Level<'_>], most: usize) -> f32 {
        /// Prime, and so no multiple of the classes or of the anchors.
        const STEP: usize = 251;
        let sampled = levels.iter().flat_map(|level| level.class_logits.iter().step_by(STEP));
        let mut sample: Vec<f32> = sampled.copied().collect();
        let rank = most / STEP + most / STEP / 2 + 8;
        if sample.len() <= 4 * rank {
            return self.cut;
        }
        let (_, guess, _) = sample.select_nth_unstable_by(rank, |a, b| b.total_cmp(a));
        if guess.is_finite() { guess.max(self.cut) } else { self.cut }
    }

    /// The highest logits of all levels, whose parts are looked through on several threads. Of each part its
    /// highest are kept, so that the highest of all are among them.
    fn scan(
        &self,
        levels: &[Level<'_>],
        classes: usize,
        best_class: bool,
        empty: impl Fn() -> Top + Sync,
        workers: Workers<'_>,
    ) -> Result<Top, NotFinite> {
        let parts = parts(levels, classes, workers.threads);
        let found: Vec<OnceLock<Result<Top, NotFinite>>> = parts.iter().map(|_| OnceLock::new()).collect();
        workers.run(parts.len(), &|task| {
            let Part { level, first, ref logits } = parts[task];
            let logits = &levels[level].class_logits[logits.clone()];
            let scan = Scan { logits, classes, first, wanted: self.options.classes.as_deref() };
            let mut top = empty();
            let end = if best_class { scan.best_classes(&mut top) } else { scan.every_class(&mut top) };
            let top = end.map(|()| top).map_err(|Infinite| NotFinite::new("class", level));
            found[task].get_or_init(|| top);
        });
        let mut all = empty();
        for part in found {
            let top = part.into_inner().expect("every task has run")?;
            all.kept.extend(top.kept);
        }
        Ok(all)
    }
}

/// Some anchors' logits of a level.
struct Part {
    level: usize,
    /// The first one's index among all levels'.
    first: usize,
    logits: Range<usize>,
}

/// Each level cut between anchors, into parts that are few where one thread goes through them.
fn parts(levels: &[Level<'_>], classes: usize, threads: usize) -> Vec<Part> {
    /// Parts for each thread, so that all end at about the same time.
    const PER_THREAD: usize = 8;
    let all: usize = levels.iter().map(|level| level.class_logits.len()).sum();
    let most = if threads == 1 { all } else { all / (PER_THREAD * threads) };
    let most = most.next_multiple_of(classes.max(1)).max(classes);
    let mut parts = Vec::new();
    let mut before = 0;
    for (level, Level { class_logits, .. }) in levels.iter().enumerate() {
        for start in (0..class_logits.len()).step_by(most.max(1)) {
            let logits = start..class_logits.len().min(start + most);
            parts.push(Part { level, first: before + start, logits });
        }
        before += class_logits.len();
    }
    parts
}

/// `1 / (1 + e⁻ˣ)`
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// A logit is NaN or infinite.
struct Infinite;

/// One level's logits; the first one's index among all levels' is `first`.
struct Scan<'a> {
    logits: &'a [f32],
    classes: usize,
    first: usize,
    wanted: Option<&'a [usize]>,
}

impl Scan<'_> {
    fn every_class(&self, top: &mut Top) -> Result<(), Infinite> {
        self.above_cut(top, |index, logit, top| {
            if self.wants(index) {
                top.push(logit, self.first + index);
            }
        })
    }

    fn best_classes(&self, top: &mut Top) -> Result<(), Infinite> {
        // The best so far of the anchor in hand.
        let mut best: Option<(usize, f32)> = None;
        let push = |best: Option<(usize, f32)>, top: &mut Top| match best {
            Some((index, logit)) if self.wants(index) => top.push(logit, self.first + index),
            _ => {}
        };
        self.above_cut(top, |index, logit, top| match best {
            Some((other, better)) if other / self.classes == index / self.classes => {
                if logit > better {
                    best = Some((index, logit));
                }
            }
            _ => {
                push(best, top);
                best = Some((index, logit));
            }
        })?;
        push(best, top);
        Ok(())
    }

    /// Calls `found` with every logit above the cut, which `found` may raise, and its index.
    fn above_cut(&self, top: &mut Top, mut found: impl FnMut(usize, f32, &mut Top)) -> Result<(), Infinite> {
        let (blocks, rest) = self.logits.as_chunks::<BLOCK>();
        let mut visit = |start: usize, block: &[f32], top: &mut Top| {
            for (offset, &logit) in block.iter().enumerate() {
                if !logit.is_finite() {
                    return Err(Infinite);
                }
                if logit > top.cut {
                    found(start + offset, logit, top);
                }
            }
            Ok(())
        };
        for (index, block) in blocks.iter().enumerate() {
            if !all_below(block, top.cut) {
                visit(index * BLOCK, block, top)?;
            }
        }
        visit(blocks.len() * BLOCK, rest, top)
    }

    fn wants(&self, index: usize) -> bool {
        self.wanted.is_none_or(|classes| classes.contains(&(index % self.classes)))
    }
}

/// Whether every logit is finite and at most `cut`, counted in [`LANES`] side by side.
#[inline]
fn all_below(block: &[f32; BLOCK], cut: f32) -> bool {
    let mut below = [0; LANES];
    for logits in block.as_chunks::<LANES>().0 {
        for (below, &logit) in below.iter_mut().zip(logits) {
            *below += u32::from(logit <= cut) & u32::from(logit >= f32::MIN);
        }
    }
    below == [(BLOCK / LANES) as u32; LANES]
}

/// The highest logits of those pushed, in the order of their indices.
struct Top {
    most: usize,
    /// Only logits above it can be among the highest.
    cut: f32,
    /// Fewer than twice `most`, so that a logit costs the same however many are pushed.
    kept: Vec<Rank>,
}

impl Top {
    fn new(most: usize, cut: f32) -> Self {
        Self { most, cut: if most == 0 { f32::MAX } else { cut }, kept: Vec::new() }
    }

    fn push(&mut self, logit: f32, index: usize) {
        if logit > self.cut {
            self.kept.push(Rank::new(logit, index));
            if self.kept.len() >= self.most.saturating_mul(2) {
                self.shrink();
            }
        }
    }

    /// Keeps the highest. What is pushed later must be above the lowest of them, as of equal logits the
    /// earlier goes first.
    fn shrink(&mut self) {
        if self.kept.len() > self.most {
            let (_, last, _) = self.kept.select_nth_unstable(self.most - 1);
            self.cut = last.logit();
            self.kept.truncate(self.most);
        }
    }

    /// Highest first.
    fn into_sorted(mut self) -> Vec<Rank> {
        self.shrink();
        self.kept.sort_unstable();
        self.kept
    }
}

/// A logit and its index in one number: higher logits, then lower indices, are less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(u64);

impl Rank {
    fn new(logit: f32, index: usize) -> Self {
        let index = u32::try_from(index).expect("fewer than 2³² logits");
        let bits = (logit + 0.0).to_bits(); // −0 becomes 0
        // Bits of floats grow as their values do where the sign is positive, and against them where it is not.
        let ascending = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        Self(u64::from(!ascending) << 32 | u64::from(index))
    }

    fn logit(self) -> f32 {
        let ascending = !((self.0 >> 32) as u32);
        f32::from_bits(if ascending >> 31 == 1 { ascending & !(1 << 31) } else { !ascending })
    }

    fn index(self) -> usize {
        self.0 as u32 as usize
    }
}

#[cfg(test)]
mod tests;
