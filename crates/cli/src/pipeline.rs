//! Pictures are decoded and prepared by threads of their own while the network runs.
//!
//! Decoder `d` of `D` takes the pictures `d, d + D, …` and hands them over through its own bounded channel;
//! reading the channels in turn keeps the order without anyone waiting for more than the slowest picture. A
//! video's frames come one after the other, so one thread reads them.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use effigy::{Error, Picture, Pixels};

use crate::failure::Failure;
use crate::inputs::Input;
use crate::progress::Progress;

/// Pictures that a decoder may be ahead of the network.
const AHEAD: usize = 4;
/// Decoding is several times faster than the network; more threads would only take its processor.
const MAX_DECODERS: usize = 8;

/// How many pictures the network gets at a time, how many threads prepare them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) batch: usize,
    pub(crate) decoders: usize,
}

impl Pace {
    pub(crate) fn new(batch: usize, threads: usize) -> Self {
        Self { batch, decoders: threads.clamp(1, MAX_DECODERS) }
    }
}

/// Hands `run` batches in the order of `inputs`: what `prepare` made of each picture, and its position there.
/// Pictures that cannot be read or prepared are named on standard error and left out.
///
/// Returns how many those were.
pub(crate) fn batches<T: Send>(
    inputs: &[Input],
    pace: Pace,
    progress: &mut Progress,
    prepare: impl Fn(Picture) -> Result<T, Error> + Sync,
    mut run: impl FnMut(Vec<(usize, T)>, &mut Progress) -> Result<(), Failure>,
) -> Result<usize, Failure> {
    let mut failed = 0;
    let mut batch = Vec::new();
    let mut flush = |batch: &mut Vec<(usize, T)>, progress: &mut Progress| {
        let batch = std::mem::take(batch);
        let count = batch.len();
        run(batch, progress)?;
        progress.advance(count);
        Ok::<(), Failure>(())
    };
    in_order(inputs, &prepare, pace.decoders, |position, prepared| {
        match prepared {
            Ok(prepared) => batch.push((position, prepared)),
            Err(error) => {
                failed += 1;
                progress.error(error);
                progress.advance(1);
            }
        }
        if batch.len() == pace.batch { flush(&mut batch, progress) } else { Ok(()) }
    })?;
    if !batch.is_empty() {
        flush(&mut batch, progress)?;
    }
    Ok(failed)
}

/// As [`batches`], for a network that sees several pictures as one: their positions, and all their pixels.
pub(crate) fn joined(
    inputs: &[Input],
    pace: Pace,
    progress: &mut Progress,
    prepare: impl Fn(&Picture) -> Result<Pixels, Error> + Sync,
    mut run: impl FnMut(&[usize], &Pixels, &mut Progress) -> Result<(), Failure>,
) -> Result<usize, Failure> {
    let prepare = |picture| prepare(&picture);
    batches(inputs, pace, progress, prepare, |batch, progress| {
        let (positions, pictures): (Vec<usize>, Vec<Pixels>) = batch.into_iter().unzip();
        run(&positions, &Pixels::joined(pictures), progress)
    })
}

/// Hands `run` batches of what `prepare` made of each item of `source`, in order; another thread reads and
/// prepares them.
pub(crate) fn stream<S, T: Send>(
    source: impl Iterator<Item = S> + Send,
    batch: usize,
    prepare: impl Fn(S) -> T + Send,
    mut run: impl FnMut(Vec<T>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(AHEAD);
        scope.spawn(move || {
            // An error of sending: nobody wants more.
            source.map(prepare).try_for_each(|prepared| sender.send(prepared)).ok();
        });
        let mut items = receiver.into_iter();
        loop {
            let taken: Vec<T> = items.by_ref().take(batch).collect();
            if taken.is_empty() {
                return Ok(());
            }
            run(taken)?;
        }
    })
}

/// Prepares `inputs` on several threads and hands them to `each` in their order, on this one.
fn in_order<T: Send>(
    inputs: &[Input],
    prepare: &(impl Fn(Picture) -> Result<T, Error> + Sync),
    decoders: usize,
    mut each: impl FnMut(usize, Result<T, Error>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    thread::scope(|scope| {
        let decoders = decoders.min(inputs.len());
        let channels: Vec<Receiver<Result<T, Error>>> = (0..decoders)
            .map(|first| {
                let (sender, receiver) = sync_channel(AHEAD);
                scope.spawn(move || {
                    decode(inputs.iter().skip(first).step_by(decoders), prepare, &sender);
                });
                receiver
            })
            .collect();
        // Returning early drops the receivers, which ends the decoders.
        (0..inputs.len()).try_for_each(|position| {
            let prepared = channels[position % decoders].recv().expect("a decoder sends all its pictures");
            each(position, prepared)
        })
    })
}

fn decode<'a, T>(
    inputs: impl Iterator<Item = &'a Input>,
    prepare: &impl Fn(Picture) -> Result<T, Error>,
    sender: &SyncSender<Result<T, Error>>,
) {
    for input in inputs {
        let prepared = input.decode().map_err(Error::from).and_then(prepare);
        if sender.send(prepared).is_err() {
            return;
        }
    }
}
