//! The threads that read pictures ahead of whoever wants them.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Items made ahead by threads and had in their order.
///
/// Thread `t` of `T` makes the items `t, t + T, …` and hands them over through its own channel, which holds one:
/// so no more than two a thread are there at any time, and reading the channels in turn keeps the order.
pub(crate) struct Ahead<T> {
    threads: Vec<Option<Worker<T>>>,
    next: u64,
}

struct Worker<T> {
    items: Receiver<T>,
    thread: JoinHandle<()>,
}

impl<T: Send + 'static> Ahead<T> {
    /// Begins to make the items of the numbers `from..end`.
    pub(crate) fn new(
        from: u64,
        end: u64,
        threads: usize,
        make: &Arc<impl Fn(u64) -> T + Send + Sync + ?Sized + 'static>,
    ) -> Self {
        let threads = (threads.max(1) as u64).min(end.saturating_sub(from));
        let start = |first: u64| {
            let (sender, items) = sync_channel(1);
            let make = Arc::clone(make);
            let thread = thread::spawn(move || {
                work((first..end).step_by(threads as usize), &*make, &sender);
            });
            Some(Worker { items, thread })
        };
        Self { threads: (from..from + threads).map(start).collect(), next: 0 }
    }

    /// The next item, or `None` after the last.
    ///
    /// # Panics
    /// Where making it panicked, with that panic.
    pub(crate) fn next(&mut self) -> Option<T> {
        if self.threads.is_empty() {
            return None;
        }
        let turn = (self.next % self.threads.len() as u64) as usize;
        self.next += 1;
        let worker = self.threads[turn].as_ref()?;
        if let Ok(item) = worker.items.recv() {
            return Some(item);
        }
        // It has made its last, or could not go on.
        let worker = self.threads[turn].take()?;
        if let Err(panic) = worker.thread.join() {
            resume_unwind(panic);
        }
        None
    }
}

fn work<T>(numbers: impl Iterator<Item = u64>, make: &(impl Fn(u64) -> T + ?Sized), sender: &SyncSender<T>) {
    for number in numbers {
        // An error of sending: nobody wants more.
        if sender.send(make(number)).is_err() {
            return;
        }
    }
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        let workers = self.threads.drain(..).flatten();
        // First all channels are closed, so that all threads end at once.
        let threads: Vec<JoinHandle<()>> = workers.map(|worker| worker.thread).collect();
        for thread in threads {
            // A panic of an item that nobody asked for is nobody's concern.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn items_come_in_order_from_any_number_of_threads() {
        for threads in [0, 1, 2, 3, 7, 40] {
            let mut ahead = Ahead::new(5, 17, threads, &Arc::new(|number| number * 10));
            let all: Vec<u64> = std::iter::from_fn(|| ahead.next()).collect();
            assert_eq!(all, (5..17).map(|number| number * 10).collect::<Vec<_>>(), "{threads}");
            assert_eq!(ahead.next(), None);
        }
        assert_eq!(Ahead::new(3, 3, 2, &Arc::new(|number| number)).next(), None);
    }

    #[test]
    fn no_more_is_made_ahead_than_two_a_thread() {
        let made = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&made);
        let mut ahead = Ahead::new(0, 1000, 3, &Arc::new(move |_| count.fetch_add(1, Ordering::SeqCst)));
        for _ in 0..9 {
            ahead.next();
        }
        drop(ahead);
        assert!(made.load(Ordering::SeqCst) <= 9 + 2 * 3);
    }

    #[test]
    #[should_panic(expected = "item 4")]
    fn a_panic_reaches_whoever_asks() {
        let mut ahead = Ahead::new(0, 9, 2, &Arc::new(|number| assert!(number != 4, "item {number}")));
        while ahead.next().is_some() {}
    }
}
