//! What `effigy bench` tells of a network as a whole.

use std::time::Duration;

use effigy::{Isa, Precision};
use serde::Serialize;

use super::measure::milliseconds;
use crate::report::STRONG;

/// The contract with programs.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) model: String,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) batch: usize,
    pub(super) threads: usize,
    pub(super) precision: &'static str,
    pub(super) runs: usize,
    pub(super) median_ms: f64,
    pub(super) min_ms: f64,
    pub(super) p90_ms: f64,
    pub(super) images_per_s: f64,
    /// Nothing where the system does not tell.
    pub(super) peak_rss_mb: Option<f64>,
    /// For one picture.
    pub(super) gmacs: f64,
    pub(super) share_of_limit: f64,
    /// From opening the file of weights to the first answer; nothing where weights were made up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start_ms: Option<f64>,
    /// Of a detector: the median with post-processing, from the picture's input to its objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) post_processing_ms: Option<f64>,
}

impl Figures {
    pub(super) fn format(&self, isa: Isa, peak: f64, start: Option<&Start>) -> String {
        let precision = self.numbers(isa);
        let Self { model, height, width, batch, threads, runs, median_ms, min_ms, p90_ms, .. } = self;
        let memory =
            self.peak_rss_mb.map(|mb| format!("  memory   {mb:.0} MB at most\n")).unwrap_or_default();
        let share = 100.0 * self.share_of_limit;
        let boxes = match self.post_processing_ms {
            Some(ms) => {
                format!("  boxes    {ms:.2} ms more, median, for what is found without a threshold\n")
            }
            None => String::new(),
        };
        let start = start.map(Start::format).unwrap_or_default();
        let plural = if *threads == 1 { "" } else { "s" };
        format!(
            "{STRONG}{model}{STRONG:#}  {height}×{width}, batch {batch}, {threads} thread{plural}, {}, {precision}\n\
             \x20 latency  {median_ms:.2} ms median, {min_ms:.2} ms least, {p90_ms:.2} ms at 90 %  ({runs} runs)\n{boxes}{start}\
             \x20 speed    {:.1} pictures/s\n{memory}\
             \x20 limit    {share:.1} % of the {:.0} GFLOP/s measured here ({:.3} GMACs a picture)\n",
            isa.name(),
            self.images_per_s,
            peak / 1e9,
            self.gmacs,
        )
    }

    /// The precision, and whether it costs what its name promises.
    fn numbers(&self, isa: Isa) -> String {
        let emulated = self.precision == Precision::Bf16.name() && !isa.has_bf16();
        format!("{}{}", self.precision, if emulated { " without its instructions" } else { "" })
    }

    /// What was measured, in a line.
    pub(super) fn subtitle(&self, isa: Isa, peak: f64) -> String {
        let precision = self.numbers(isa);
        let Self { height, width, batch, threads, median_ms, share_of_limit, .. } = self;
        let plural = if *threads == 1 { "" } else { "s" };
        format!(
            "{height}×{width}, batch {batch}, {threads} thread{plural}, {}, {precision} · {median_ms:.2} ms median · \
             {:.1} % of the {:.0} GFLOP/s measured here",
            isa.name(),
            100.0 * share_of_limit,
            peak / 1e9,
        )
    }
}

/// How long the first answer took, which is more than the others: from opening the file on. That the
/// program itself has to be started is not in it.
#[derive(Debug)]
pub(super) struct Start {
    /// The file is mapped, recognised and checked.
    pub(super) reading: Duration,
    /// Weights are packed for the processor.
    pub(super) packing: Duration,
    /// The first run, which is given its memory.
    pub(super) first_run: Duration,
}

impl Start {
    pub(super) fn total(&self) -> Duration {
        self.reading + self.packing + self.first_run
    }

    fn format(&self) -> String {
        let [total, reading, packing, first_run] =
            [self.total(), self.reading, self.packing, self.first_run].map(milliseconds);
        format!(
            "  start    {total:.1} ms from the file to the first answer: {reading:.1} reading, {packing:.1} packing, \
             {first_run:.1} running\n"
        )
    }
}
