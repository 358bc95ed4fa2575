//! Ctrl-C in commands that write files: they stop between two pictures, so that what is half made is removed.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::Failure;

/// Set by the signal, which can reach the running command in no other way.
static STOPPED: AtomicBool = AtomicBool::new(false);

/// From now on a signal does not end the process at once; [`check`] has to be called now and then.
pub(crate) fn watch() {
    // Where no handler can be set, a signal ends the process as it would have.
    let _ = ctrlc::set_handler(|| STOPPED.store(true, Ordering::Relaxed));
}

/// An error once a signal has come.
pub(crate) fn check() -> Result<(), Failure> {
    if STOPPED.load(Ordering::Relaxed) { Err(Failure::Interrupted) } else { Ok(()) }
}
