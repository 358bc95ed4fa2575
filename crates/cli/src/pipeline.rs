//! Pictures are decoded and prepared by threads of their own while the network runs.
//!
//! Decoder `d` of `D` takes the pictures `d, d + D, …` and hands them over through its own bounded channel;
//! reading the channels in turn keeps the order without anyone waiting for more than the slowest picture.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use effigy::vision::{VisionError, preprocess};
use effigy::{Preprocessing, Tensor};

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

type Prepared = Result<Vec<f32>, VisionError>;

/// Hands `run` batches of prepared pictures in the order of `inputs`: their positions there, and
/// `[N, H, W, 3]`. Pictures that cannot be read are named on standard error and left out.
///
/// Returns how many those were.
pub(crate) fn batches(
    inputs: &[Input],
    preprocessing: &Preprocessing,
    pace: Pace,
    progress: &mut Progress,
    mut run: impl FnMut(&[usize], &Tensor, &mut Progress) -> Result<(), Failure>,
) -> Result<usize, Failure> {
    let [height, width] = preprocessing.size;
    let mut failed = 0;
    let mut batch = Batch::default();
    let mut flush = |batch: &mut Batch, progress: &mut Progress| {
        let Batch { positions, values } = std::mem::take(batch);
        let shape = [positions.len(), height, width, 3];
        let input = Tensor::new(&shape, values).expect("every picture is prepared to the same size");
        run(&positions, &input, progress)?;
        progress.advance(positions.len());
        Ok::<(), Failure>(())
    };
    in_order(inputs, preprocessing, pace.decoders, |position, prepared| {
        match prepared {
            Ok(values) => batch.push(position, &values),
            Err(error) => {
                failed += 1;
                progress.error(error);
                progress.advance(1);
            }
        }
        if batch.positions.len() == pace.batch { flush(&mut batch, progress) } else { Ok(()) }
    })?;
    if !batch.positions.is_empty() {
        flush(&mut batch, progress)?;
    }
    Ok(failed)
}

#[derive(Default)]
struct Batch {
    positions: Vec<usize>,
    values: Vec<f32>,
}

impl Batch {
    fn push(&mut self, position: usize, values: &[f32]) {
        self.positions.push(position);
        self.values.extend_from_slice(values);
    }
}

/// Prepares `inputs` on several threads and hands them to `each` in their order, on this one.
fn in_order(
    inputs: &[Input],
    preprocessing: &Preprocessing,
    decoders: usize,
    mut each: impl FnMut(usize, Prepared) -> Result<(), Failure>,
) -> Result<(), Failure> {
    thread::scope(|scope| {
        let decoders = decoders.min(inputs.len());
        let channels: Vec<Receiver<Prepared>> = (0..decoders)
            .map(|first| {
                let (sender, receiver) = sync_channel(AHEAD);
                scope.spawn(move || {
                    decode(inputs.iter().skip(first).step_by(decoders), preprocessing, &sender);
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

fn decode<'a>(
    inputs: impl Iterator<Item = &'a Input>,
    preprocessing: &Preprocessing,
    sender: &SyncSender<Prepared>,
) {
    for input in inputs {
        let prepared = input.decode().map(|picture| preprocess(&picture, preprocessing));
        if sender.send(prepared).is_err() {
            return;
        }
    }
}
