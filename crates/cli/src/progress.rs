//! How far a long command has come, on standard error.

use std::fmt::Display;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use effigy::DownloadProgress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::report;

/// Time between two lines where there is no terminal to draw a bar on.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

const CELLS: &str = "█▉▊▋▌▍▎▏ ";

/// A bar on a terminal; lines elsewhere, if they are asked for.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    lines: Option<Lines>,
}

#[derive(Debug)]
struct Lines {
    done: usize,
    total: usize,
    start: Instant,
    last: Instant,
}

impl Progress {
    /// Progress through `total` of what `unit` says. `forced` shows it without a terminal too.
    pub(crate) fn new(total: usize, unit: &str, forced: bool) -> Self {
        let on_terminal = stderr().is_terminal();
        let shown = forced || (total > 1 && !report::is_quiet());
        let target =
            if shown && on_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let template = format!("  {{bar:30.cyan}} {{pos}}/{{len}} {unit}  {{per_sec}}  {{eta}} left");
        let style = ProgressStyle::with_template(&template).expect("a valid template");
        let style = style.progress_chars(CELLS).with_key(
            "per_sec",
            |state: &indicatif::ProgressState, to: &mut dyn std::fmt::Write| {
                let _ = write!(to, "{:.1}/s", state.per_sec());
            },
        );
        let bar = ProgressBar::with_draw_target(Some(total as u64), target).with_style(style);
        let now = Instant::now();
        let lines = (forced && !on_terminal).then_some(Lines { done: 0, total, start: now, last: now });
        Self { bar, lines }
    }

    /// `count` more are done.
    pub(crate) fn advance(&mut self, count: usize) {
        self.bar.inc(count as u64);
        if let Some(lines) = &mut self.lines {
            lines.advance(count);
        }
    }

    /// Does something that prints, with the bar out of the way.
    pub(crate) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Says what went wrong with one input.
    pub(crate) fn error(&self, message: impl Display) {
        self.aside(|| report::error(message));
    }
}

/// Draws a bar while weights are downloaded; it appears with the first bytes.
pub(crate) fn download_bar() -> impl FnMut(DownloadProgress<'_>) {
    let mut bar: Option<ProgressBar> = None;
    move |DownloadProgress { file, done, total }| {
        if report::is_quiet() {
            return;
        }
        let bar = bar.get_or_insert_with(|| {
            report::note(format_args!("downloading {file}"));
            let template = "  {bar:30.cyan} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
            let style = ProgressStyle::with_template(template).expect("a valid template");
            ProgressBar::new(0).with_style(style.progress_chars(CELLS))
        });
        bar.set_length(total.unwrap_or(done));
        bar.set_position(done);
        if total == Some(done) {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Lines {
    fn advance(&mut self, count: usize) {
        self.done += count;
        if self.last.elapsed() < BETWEEN_LINES && self.done < self.total {
            return;
        }
        self.last = Instant::now();
        let rate = self.done as f64 / self.start.elapsed().as_secs_f64();
        let left = (self.total - self.done.min(self.total)) as f64 / rate;
        report::note(format_args!("  {}/{}  {rate:.1}/s  {left:.0} s left", self.done, self.total));
    }
}
