//! Batches for training and evaluation, made ahead by threads.
//!
//! Which pictures a batch holds and what is done to each follows from the seed, the epoch and the place in it
//! alone: the same for any number of threads, and after a resume ([`Loader::seek`]).

mod batch;
mod classification;
mod detection;
mod sources;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use batch::{ClassificationBatch, DetectionBatch, InputObject};
pub use classification::ClassificationSource;
pub use detection::DetectionSource;

use crate::ahead::Ahead;
use crate::random::{Purpose, Random};
use crate::{DataError, Problem};

/// What makes batches of pictures.
pub trait Source: Send + Sync + 'static {
    /// What it makes.
    type Batch: Send + 'static;

    /// How many pictures there are.
    fn pictures(&self) -> usize;

    /// The batch that `request` asks for, and the problems that were met, which are told again whenever they
    /// are met again; no batch where all of its pictures had to be left out.
    ///
    /// # Errors
    /// [`DataError::Problem`] for a picture that cannot be used, unless such ones are to be skipped.
    fn batch(&self, request: &Request) -> Result<Made<Self::Batch>, DataError>;
}

/// A batch and what was wrong with pictures that it should have held.
#[derive(Clone, Debug)]
pub struct Made<B> {
    /// The batch.
    pub batch: Option<B>,
    /// What was left out or replaced.
    pub problems: Vec<Problem>,
}

/// Which batch is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What everything is drawn from.
    pub seed: u64,
    /// The batch's place.
    pub place: Place,
    /// The pictures, as indices of the data set.
    pub samples: &'a [usize],
    /// Whether a picture that cannot be read is replaced by another one, so that batches stay whole.
    pub replace: bool,
}

/// A batch's place in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The epoch, from 0.
    pub epoch: u64,
    /// The batch within it, from 0.
    pub batch: u64,
}

/// How a loader goes through a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Pictures a batch, at least 1.
    pub batch: usize,
    /// What orders and variations are drawn from.
    pub seed: u64,
    /// Whether every epoch has an order of its own; else it is that of the data set.
    ///
    /// Where it has, a picture that cannot be read is replaced by another one; else it is left out.
    pub shuffle: bool,
    /// Whether the pictures that are left over at the end of an epoch, too few for a batch, are left out. Where
    /// a data set is smaller than a batch, they are not.
    pub drop_last: bool,
    /// Threads that make batches. Each holds up to two.
    pub threads: usize,
}

impl LoaderOptions {
    /// For training: shuffled, whole batches only, two threads.
    #[must_use]
    pub fn training(batch: usize, seed: u64) -> Self {
        Self { batch, seed, shuffle: true, drop_last: true, threads: 2 }
    }

    /// For evaluation: every picture once, in the data set's order.
    #[must_use]
    pub fn evaluation(batch: usize) -> Self {
        Self { batch, seed: 0, shuffle: false, drop_last: false, threads: 2 }
    }
}

/// Batches in their order, epoch after epoch, made ahead by threads, over the end of an epoch too.
pub struct Loader<B> {
    maker: Arc<Maker<B>>,
    place: Place,
    /// Begun with the first batch that is asked for, so that seeking costs nothing.
    ahead: Option<Ahead<Result<Made<B>, DataError>>>,
    problems: Vec<Problem>,
    waited: Duration,
}

impl<B: Send + 'static> Loader<B> {
    /// A loader at the beginning of the first epoch.
    #[must_use]
    pub fn new(source: impl Source<Batch = B>, options: LoaderOptions) -> Self {
        let options = LoaderOptions { batch: options.batch.max(1), ..options };
        let maker = Maker { source: Box::new(source), options, order: Mutex::default() };
        Self {
            maker: Arc::new(maker),
            place: Place::default(),
            ahead: None,
            problems: Vec::new(),
            waited: Duration::ZERO,
        }
    }

    /// Goes to a place: the next batch will be this one. A batch past the end of its epoch is the end of it.
    pub fn seek(&mut self, place: Place) {
        self.ahead = None;
        self.place = Place { batch: place.batch.min(self.batches()), ..place };
    }

    /// The next batch, or `None` at the end of an epoch; after which the next one begins.
    ///
    /// # Errors
    /// [`DataError::Problem`] for a picture that cannot be used, unless such ones are to be skipped. The batch
    /// is then left out: what follows can still be had.
    // Not an iterator: it ends and goes on.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<B>, DataError> {
        let start = Instant::now();
        let next = self.take();
        self.waited += start.elapsed();
        next
    }

    fn take(&mut self) -> Result<Option<B>, DataError> {
        let batches = self.batches();
        while self.place.batch < batches {
            let number = self.place.epoch * batches + self.place.batch;
            let ahead = self.ahead.get_or_insert_with(|| self.maker.ahead(number));
            let made = ahead.next().expect("batches end after more than 2⁶³ only");
            self.place.batch += 1;
            let Made { batch, problems } = made?;
            let new = problems.into_iter().filter(|problem| !self.problems.contains(problem));
            let new: Vec<Problem> = new.collect();
            self.problems.extend(new);
            if batch.is_some() {
                return Ok(batch);
            }
        }
        self.place = Place { epoch: self.place.epoch + 1, batch: 0 };
        Ok(None)
    }

    /// The place of the batch that comes next; at the end of an epoch, which is told by `None`, its batch is
    /// [`batches`](Self::batches).
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Batches an epoch.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.maker.batches()
    }

    /// Pictures of the data set.
    #[must_use]
    pub fn pictures(&self) -> usize {
        self.maker.source.pictures()
    }

    /// What was wrong with pictures so far, each told once.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How long [`next`](Self::next) has waited for batches in all: the data time.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

/// What the threads share.
struct Maker<B> {
    source: Box<dyn Source<Batch = B>>,
    options: LoaderOptions,
    /// The order of the epoch that was asked for last.
    order: Mutex<Option<(u64, Arc<[usize]>)>>,
}

impl<B: Send + 'static> Maker<B> {
    fn batches(&self) -> u64 {
        let (pictures, batch) = (self.source.pictures(), self.options.batch);
        let whole = pictures / batch;
        let batches = if self.options.drop_last && whole > 0 { whole } else { pictures.div_ceil(batch) };
        batches as u64
    }

    fn ahead(self: &Arc<Self>, number: u64) -> Ahead<Result<Made<B>, DataError>> {
        let maker = Arc::clone(self);
        Ahead::new(number, u64::MAX, self.options.threads, &Arc::new(move |number| maker.make(number)))
    }

    /// The batch of a number that counts through all epochs.
    fn make(&self, number: u64) -> Result<Made<B>, DataError> {
        let place = Place { epoch: number / self.batches(), batch: number % self.batches() };
        let order = self.order(place.epoch);
        let first = place.batch as usize * self.options.batch;
        let samples = &order[first..order.len().min(first + self.options.batch)];
        let LoaderOptions { seed, shuffle, .. } = self.options;
        self.source.batch(&Request { seed, place, samples, replace: shuffle })
    }

    fn order(&self, epoch: u64) -> Arc<[usize]> {
        let pictures = self.source.pictures();
        let mut kept = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((of, order)) if *of == epoch || !self.options.shuffle => Arc::clone(order),
            _ => {
                let order: Arc<[usize]> = if self.options.shuffle {
                    Random::new(Purpose::Order, [self.options.seed, epoch, 0]).shuffled(pictures).into()
                } else {
                    (0..pictures).collect()
                };
                *kept = Some((epoch, Arc::clone(&order)));
                order
            }
        }
    }
}
