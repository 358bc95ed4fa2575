//! Threads that are lent for a moment.

/// Calls a function once with each number below the first argument, on any threads, and returns when all
/// calls have.
pub type Share<'a> = dyn Fn(usize, &(dyn Fn(usize) + Sync)) + Sync + 'a;

/// Threads of somebody's pool, which share the work of a call. What it gives does not depend on them.
#[derive(Clone, Copy)]
pub struct Workers<'a> {
    /// How many threads there are.
    pub threads: usize,
    /// How they share it.
    pub share: &'a Share<'a>,
}

impl Workers<'_> {
    /// The calling thread.
    pub const ALONE: Workers<'static> =
        Workers { threads: 1, share: &|tasks, task| (0..tasks).for_each(task) };

    pub(super) fn run(self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (self.share)(tasks, task);
    }
}

impl std::fmt::Debug for Workers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Workers({} threads)", self.threads)
    }
}
