//! A persistent pool of threads for many short jobs, a few microseconds apart.
//!
//! A job is a number of tasks, of which every thread has a stretch of its own: tasks are mostly rows of a
//! picture in their order, so that a thread finds in its cache what it wrote in the job before. Who is done
//! with its stretch takes from those of the others. An atomic word a thread holds the job's serial number and
//! how many tasks of the stretch nobody has claimed yet; a thread claims a task by decrementing it. Because
//! the serial number is part of the compare-and-swap, a thread that comes late can never claim a task of a
//! job it does not know. Idle threads spin for a moment, since the next job of a network is never far, and
//! then sleep.

use std::cell::UnsafeCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

/// How often an idle thread looks for work before it sleeps: some 100 µs.
const SPINS: usize = 2_000;

/// By how much of a task the last thread is late.
const LATE: f32 = 0.15;

/// How long `threads` threads need for a job of `tasks` tasks that take `task` each; for choosing between cuts.
pub(crate) fn time(threads: usize, tasks: usize, task: f32) -> f32 {
    task * (tasks.div_ceil(threads) as f32 + LATE)
}

/// Part `index` of `0..len` cut into `parts` nearly equal parts.
#[must_use]
pub fn split(len: usize, parts: usize, index: usize) -> Range<usize> {
    len * index / parts..len * (index + 1) / parts
}

/// 32-bit values in a page of memory.
const PAGE: usize = 1024;

/// From the memory of one thread to that of the next, if each needs room for `len` 32-bit values. Where they met in
/// a page, a thread that goes through its own would have lines of the other's fetched ahead, which the other writes.
pub(crate) fn apart(len: usize) -> usize {
    len.next_multiple_of(PAGE) + PAGE
}

/// Threads that run the tasks of one job at a time.
pub struct ThreadPool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held by the caller whose job is running.
    owner: Mutex<()>,
}

/// Called with a thread's number and a task's.
type Task<'a> = dyn Fn(usize, usize) + Sync + 'a;

struct Shared {
    stretches: Box<[Stretch]>,
    /// The current job; written only while no task is claimed or claimable.
    job: UnsafeCell<Job>,
    /// Tasks of the current job that have ended.
    ended: AtomicUsize,
    panicked: AtomicBool,
    stop: AtomicBool,
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
}

/// What is left of a thread's tasks: serial number of the job (high half) and unclaimed tasks (low half). On cache
/// lines of its own, and those that are fetched with them.
#[repr(align(128))]
struct Stretch(AtomicU64);

struct Job {
    task: *const Task<'static>,
    tasks: usize,
}

// SAFETY: `job` is written by the owner only while no task can be claimed, published by the store to
// the stretches, and read only by threads that have claimed one of its tasks.
unsafe impl Sync for Shared {}
// SAFETY: the raw pointer in `job` is only followed under the same protocol.
unsafe impl Send for Shared {}

const COUNT: u64 = u32::MAX as u64;

impl ThreadPool {
    /// A pool in which `threads` threads run tasks: the caller's and `threads − 1` of its own.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            stretches: (0..threads.max(1)).map(|_| Stretch(AtomicU64::new(0))).collect(),
            job: UnsafeCell::new(Job {
                task: std::ptr::null::<fn(usize, usize)>() as *const Task<'static>,
                tasks: 0,
            }),
            ended: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
        });
        let workers = (1..threads.max(1))
            .map(|i| {
                let shared = Arc::clone(&shared);
                let builder = std::thread::Builder::new().name(format!("effigy-{i}"));
                builder.spawn(move || shared.work(i)).expect("the system can start a thread")
            })
            .collect();
        Self { shared, workers, owner: Mutex::new(()) }
    }

    /// Threads that run tasks, the caller's included.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `task(0)` … `task(tasks − 1)`, in any order and on any of the threads, and returns when all
    /// have ended.
    ///
    /// While another caller's job is running, the tasks all run on the calling thread.
    ///
    /// # Panics
    /// When a task panics.
    pub fn run(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        self.run_with_thread(tasks, |_, index| task(index));
    }

    /// As [`run`](Self::run), with `task(thread, index)`: tasks that run at the same time have different
    /// thread numbers, below [`threads`](Self::threads), so that each may have memory of its own.
    ///
    /// # Panics
    /// When a task panics.
    pub fn run_with_thread(&self, tasks: usize, task: impl Fn(usize, usize) + Sync) {
        let owner = if tasks > 1 && !self.workers.is_empty() { self.owner.try_lock().ok() } else { None };
        match owner {
            Some(_owner) => self.shared.run(tasks, &task),
            None => (0..tasks).for_each(|index| task(0, index)),
        }
    }
}

impl Shared {
    fn run(&self, tasks: usize, task: &Task<'_>) {
        assert!(tasks as u64 <= COUNT, "a job has at most 2³² − 1 tasks");
        let task: *const Task<'_> = task;
        // SAFETY: no task of the last job is left (we waited for them all), so nobody reads `job`. The
        // lifetime is erased, but this function does not return before every claimed task has ended.
        unsafe {
            let task = std::mem::transmute::<*const Task<'_>, *const Task<'static>>(task);
            *self.job.get() = Job { task, tasks };
        }
        self.ended.store(0, Ordering::Relaxed);
        let serial = (self.stretches[0].0.load(Ordering::Relaxed) >> 32).wrapping_add(1);
        // The caller's own last: the others can begin before.
        for (thread, stretch) in self.stretches.iter().enumerate().rev() {
            let tasks = self.stretch(thread, tasks).len() as u64;
            stretch.0.store(serial << 32 | tasks, Ordering::SeqCst);
        }
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            let _guard = self.sleep.lock();
            self.wake.notify_all();
        }
        while self.run_one(0) {}
        while self.ended.load(Ordering::Acquire) < tasks {
            std::hint::spin_loop();
        }
        if self.panicked.swap(false, Ordering::Relaxed) {
            resume_unwind(Box::new("a task of the thread pool panicked"));
        }
    }

    /// A thread's own tasks of a job.
    fn stretch(&self, thread: usize, tasks: usize) -> Range<usize> {
        split(tasks, self.stretches.len(), thread)
    }

    /// Claims and runs one task on the thread of this number, one of its own if there is one left; false when there
    /// is none at all.
    fn run_one(&self, thread: usize) -> bool {
        let threads = self.stretches.len();
        (thread..threads).chain(0..thread).any(|owner| self.run_one_of(owner, thread))
    }

    /// Claims and runs one task of the stretch of `owner`.
    fn run_one_of(&self, owner: usize, thread: usize) -> bool {
        let word = &self.stretches[owner].0;
        let mut left = word.load(Ordering::Relaxed);
        loop {
            if left & COUNT == 0 {
                return false;
            }
            match word.compare_exchange_weak(left, left - 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => left = now,
            }
        }
        // SAFETY: a task of this job is claimed and has not ended, so the owner is still waiting: the job
        // is not rewritten and the closure is alive.
        let (task, tasks) = unsafe { (&*(*self.job.get()).task, (*self.job.get()).tasks) };
        let index = self.stretch(owner, tasks).end - (left & COUNT) as usize;
        if catch_unwind(AssertUnwindSafe(|| task(thread, index))).is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
        self.ended.fetch_add(1, Ordering::Release);
        true
    }

    /// The life of the worker of this number.
    fn work(&self, thread: usize) {
        while !self.stop.load(Ordering::Relaxed) {
            if !self.run_one(thread) && !self.spin(thread) {
                self.sleep(thread);
            }
        }
    }

    /// Whether tasks of this thread's are left: it is called for these alone, since every thread has as many.
    fn has_work(&self, thread: usize, order: Ordering) -> bool {
        self.stretches[thread].0.load(order) & COUNT != 0
    }

    fn spin(&self, thread: usize) -> bool {
        for _ in 0..SPINS {
            if self.has_work(thread, Ordering::Relaxed) {
                return true;
            }
            std::hint::spin_loop();
        }
        false
    }

    fn sleep(&self, thread: usize) {
        let mut guard = self.sleep.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Announced before the last look, so that the owner either sees a sleeper or is seen.
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while !self.has_work(thread, Ordering::SeqCst) && !self.stop.load(Ordering::SeqCst) {
            guard = self.wake.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        {
            let _guard = self.shared.sleep.lock();
            self.shared.stop.store(true, Ordering::SeqCst);
            self.shared.wake.notify_all();
        }
        for worker in self.workers.drain(..) {
            // A worker catches its tasks' panics, so it ends in order.
            let _ = worker.join();
        }
    }
}

impl std::fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ThreadPool({} threads)", self.threads())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(tasks: usize) -> Vec<AtomicUsize> {
        (0..tasks).map(|_| AtomicUsize::new(0)).collect()
    }

    #[test]
    fn runs_every_task_once() {
        for threads in [1, 2, 5] {
            let pool = ThreadPool::new(threads);
            for tasks in [0, 1, 2, 3, 100] {
                for _ in 0..200 {
                    let seen = counts(tasks);
                    pool.run(tasks, |i| {
                        seen[i].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(seen.iter().all(|n| n.load(Ordering::Relaxed) == 1));
                }
            }
        }
    }

    #[test]
    fn wakes_after_sleeping() {
        let pool = ThreadPool::new(3);
        for _ in 0..5 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let seen = counts(50);
            pool.run(50, |i| {
                seen[i].fetch_add(1, Ordering::Relaxed);
            });
            assert!(seen.iter().all(|n| n.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn serves_several_callers_at_once() {
        let pool = ThreadPool::new(2);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let sum = AtomicUsize::new(0);
                        pool.run(10, |i| {
                            sum.fetch_add(i, Ordering::Relaxed);
                        });
                        assert_eq!(sum.load(Ordering::Relaxed), 45);
                    }
                });
            }
        });
    }

    #[test]
    fn passes_a_panic_on_and_lives() {
        let pool = ThreadPool::new(2);
        let result = catch_unwind(AssertUnwindSafe(|| pool.run(8, |i| assert_ne!(i, 3, "as planned"))));
        assert!(result.is_err());
        let seen = counts(8);
        pool.run(8, |i| {
            seen[i].fetch_add(1, Ordering::Relaxed);
        });
        assert!(seen.iter().all(|n| n.load(Ordering::Relaxed) == 1));
    }
}
