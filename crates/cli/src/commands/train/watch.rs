//! A run on standard error: a bar on a terminal, lines elsewhere, a line an epoch.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use effigy_data::Problem;
use effigy_train::{EpochRecord, History, Observer, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::interrupt;
use crate::report;

/// Time between two lines where there is no terminal to draw a bar on.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Shows a run.
pub(super) struct Watch {
    bar: ProgressBar,
    /// When the last line was written, where lines are wanted.
    lines: Option<Instant>,
    epochs: usize,
    problems: usize,
    step: u64,
}

impl Watch {
    pub(super) fn new(epochs: usize, forced: bool) -> Self {
        let terminal = stderr().is_terminal();
        let quiet = report::is_quiet() && !forced;
        let target =
            if terminal && !quiet { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("  {bar:24.cyan} {msg}").expect("a valid template");
        let bar =
            ProgressBar::with_draw_target(Some(0), target).with_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        let lines = (!terminal && !quiet).then(Instant::now);
        Self { bar, lines, epochs, problems: 0, step: 0 }
    }

    /// Takes the bar away; how many pictures could not be used.
    pub(super) fn finish(&mut self) -> usize {
        self.bar.finish_and_clear();
        self.problems
    }

    /// The last step that was done.
    pub(super) fn step(&self) -> u64 {
        self.step
    }

    fn show(&mut self, done: u64, total: u64, text: String) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        if let Some(last) = &mut self.lines
            && last.elapsed() >= BETWEEN_LINES
        {
            *last = Instant::now();
            report::note(format_args!("  {text}"));
        }
        self.bar.set_message(text);
    }
}

impl Observer for Watch {
    fn step(&mut self, progress: &Progress) {
        self.step = progress.step;
        let Progress { epoch, epochs, batch, batches, loss, learning_rate, pictures_per_second, .. } =
            *progress;
        let (data, compute) = (progress.data_time.as_secs_f64(), progress.compute_time.as_secs_f64());
        let pictures = ((data + compute) * pictures_per_second).max(1.0);
        let each = |seconds: f64| 1e3 * seconds / pictures;
        let text = format!(
            "epoch {}/{epochs}  batch {batch}/{batches}  loss {loss:.4}  lr {learning_rate:.2e}  {pictures_per_second:.1} pictures/s  \
             (ms a picture: data {:.2}, compute {:.1})  {} left",
            epoch + 1,
            each(data),
            each(compute),
            words(progress.left)
        );
        self.show(batch, batches, text);
    }

    fn judged(&mut self, done: usize, total: usize) {
        self.show(done as u64, total as u64, format!("judging {done}/{total}"));
    }

    fn epoch(&mut self, record: &EpochRecord) {
        let losses: String =
            record.losses.iter().map(|(name, value)| format!("  {name} {value:.4}")).collect();
        let scores: String =
            record.scores.iter().map(|(name, &value)| format!("  {name} {}", score(name, value))).collect();
        let seconds = record.data_seconds + record.compute_seconds;
        let text = format!(
            "epoch {}/{}{losses}{scores}{}  |  {:.1} pictures/s, data {:.1} %, {} + {}",
            record.epoch,
            self.epochs,
            if record.is_best { "  best" } else { "" },
            record.pictures_per_second(),
            if seconds > 0.0 { 100.0 * record.data_seconds / seconds } else { 0.0 },
            words(Duration::from_secs_f64(seconds)),
            words(Duration::from_secs_f64(record.judge_seconds))
        );
        self.bar.suspend(|| report::note(text));
    }

    fn problem(&mut self, problem: &Problem) {
        self.problems += 1;
        self.bar.suspend(|| report::error(problem));
    }

    fn stop(&mut self) -> bool {
        interrupt::check().is_err()
    }
}

/// The last step of the last epoch.
pub(super) fn last_step(history: &History) -> u64 {
    history.epochs.last().map_or(0, |epoch| epoch.step)
}

/// A score as people read it: accuracies are in percent already, COCO's figures are shares.
pub(super) fn score(name: &str, value: f64) -> String {
    match name {
        name if name.starts_with("top") => format!("{value:.1} %"),
        name if name.starts_with("ap") || name.starts_with("ar") => format!("{:.1} %", 100.0 * value),
        _ => format!("{value:.4}"),
    }
}

/// `1 h 02 min`, `3 min 20 s`, `12 s`
fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_scores_in_words() {
        let of = |seconds| words(Duration::from_secs(seconds));
        assert_eq!((of(12), of(200), of(3725)), ("12 s".into(), "3 min 20 s".into(), "1 h 02 min".into()));
        assert_eq!((score("top1", 93.21), score("ap50", 0.8612)), ("93.2 %".into(), "86.1 %".into()));
    }
}
