//! Messages for people, on standard error; a closed standard error is no reason to stop.

use std::fmt::Display;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};

/// What is emphasised: a picture's path, a table's head.
pub(crate) const STRONG: Style = Style::new().bold();
/// What may be overlooked.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// Bars.
pub(crate) const BAR: Style = AnsiColor::Cyan.on_default();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// Set once by `main`; a flag that every message would otherwise have to be handed.
static QUIET: AtomicBool = AtomicBool::new(false);

pub(crate) fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Says what went wrong; also under `--quiet`.
pub(crate) fn error(message: impl Display) {
    let _ = writeln!(anstream::stderr(), "{ERROR}error:{ERROR:#} {message}");
}

/// Says what is likely to be a mistake; also under `--quiet`.
pub(crate) fn warning(message: impl Display) {
    let _ = writeln!(anstream::stderr(), "{WARNING}warning:{WARNING:#} {message}");
}

/// Says what may be good to know.
pub(crate) fn note(message: impl Display) {
    if !is_quiet() {
        let _ = writeln!(anstream::stderr(), "{FAINT}{message}{FAINT:#}");
    }
}
