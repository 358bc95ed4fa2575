//! `effigy bench`: how fast a network is here, and how much of what the processor can do that is.

mod boxes;

use std::borrow::Cow;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use effigy::arch::Network;
use effigy::engine::{Model, NodeTime, Options as EngineOptions, Parameters};
use effigy::weights::{self, LoadOptions, Loaded, Weights};
use effigy::{Isa, Precision, Tensor};
use effigy_kernels::peak;
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::options::{MachineOptions, Size, positive};
use crate::report::STRONG;
use crate::table::{Table, bar};
use crate::untrained::Untrained;
use boxes::Boxes;

/// Time that runs may take where their number is not given.
const TIME: Duration = Duration::from_secs(3);
/// Runs where their number is not given.
const RUNS: std::ops::RangeInclusive<usize> = 5..=200;
/// Runs before those that count: threads wake up, memory is touched, plans are made.
const WARM_UP: usize = 3;

/// Measure a network's speed on this machine, with made-up weights or those of a file
#[derive(Args, Debug)]
#[command(
    after_help = "share_of_limit is the achieved share of the multiply-adds that the same threads do per second
with the same instruction set when nothing has to be loaded; it is measured in the same run.

Examples:
  effigy bench efficientnet-b0
  effigy bench efficientnet-b0 --threads 1 -v
  effigy bench efficientdet-d0
  effigy bench --weights efficientdet-d0.pth"
)]
pub(crate) struct Options {
    /// Any name of a model
    #[arg(required_unless_present = "weights")]
    model: Option<String>,
    /// A checkpoint, instead of made-up weights; with MODEL, which model it is of
    #[arg(long, short, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Input size in pixels, such as 224 or 192x256 [default: the model's]
    #[arg(long, value_name = "HxW")]
    size: Option<Size>,
    /// Pictures at a time
    #[arg(long, short, value_name = "N", default_value = "1", value_parser = positive)]
    batch: usize,
    #[command(flatten)]
    machine: MachineOptions,
    /// Runs that count [default: as many as fit in 3 seconds, 5 to 200]
    #[arg(long, value_name = "N", value_parser = positive)]
    runs: Option<usize>,
    /// Every step of the network: its kernel, time, speed and share
    #[arg(long, short)]
    verbose: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<Outcome, Failure> {
    options.machine.warn();
    let (network, loaded) = network(options)?;
    let [height, width] = options.size.map_or(network.size(), |Size(size)| size);
    let default = EngineOptions::default();
    let engine = EngineOptions {
        threads: options.machine.threads.unwrap_or(default.threads),
        isa: options.machine.isa.unwrap_or(default.isa),
        precision: options.machine.precision,
        ..default
    };
    let graph = network.graph();
    let model = match &loaded {
        Some(weights) => Model::new(&graph, &Trained(weights), &engine)?,
        None => Model::new(&graph, &Untrained::new(&graph), &engine)?,
    };
    let input = picture(options.batch, height, width, network.in_channels());

    let times = measure(options.runs, || Ok(model.run_with(&input, |_| ())?))?;
    let post_processing = match &network {
        Network::EfficientNet(_) => None,
        Network::EfficientDet(network) => {
            let boxes = Boxes::new(network, [height, width]);
            let mut times = Vec::new();
            measure(options.runs, || boxes.run(&model, &input).map(|time| times.push(time)))?;
            times.sort();
            Some(milliseconds(percentile(&times, 0.5)))
        }
    };
    let peak = match engine.precision {
        Precision::Bf16 => peak::bf16_flops(engine.isa, engine.threads),
        _ => peak::flops(engine.isa, engine.threads),
    };
    let macs = graph.macs(height, width);
    let median = percentile(&times, 0.5);
    let result = Figures {
        model: network.name().to_owned(),
        height,
        width,
        batch: options.batch,
        threads: engine.threads,
        precision: engine.precision.name(),
        runs: times.len(),
        median_ms: milliseconds(median),
        min_ms: milliseconds(times[0]),
        p90_ms: milliseconds(percentile(&times, 0.9)),
        images_per_s: options.batch as f64 / median.as_secs_f64(),
        peak_rss_mb: peak_rss_mb(),
        gmacs: macs as f64 / 1e9,
        post_processing_ms: post_processing,
        share_of_limit: (2 * macs * options.batch as u64) as f64 / median.as_secs_f64() / peak,
    };
    let mut text = if options.json {
        serde_json::to_string(&result).expect("text and finite numbers are always valid JSON") + "\n"
    } else {
        result.format(engine.isa, options.machine.emulates_bf16(), peak)
    };
    if options.verbose {
        let steps = steps(&model, &input, times.len())?;
        let table = step_table(&steps, peak);
        if options.json {
            // Standard output is one object for programs.
            let _ = anstream::stderr().write_all(table.as_bytes());
        } else {
            text += &format!("\n{table}");
        }
    }
    anstream::stdout().write_all(text.as_bytes())?;
    Ok(Outcome::Done)
}

/// The contract with programs.
#[derive(Debug, Serialize)]
struct Figures {
    model: String,
    height: usize,
    width: usize,
    batch: usize,
    threads: usize,
    precision: &'static str,
    runs: usize,
    median_ms: f64,
    min_ms: f64,
    p90_ms: f64,
    images_per_s: f64,
    /// Nothing where the system does not tell.
    peak_rss_mb: Option<f64>,
    /// For one picture.
    gmacs: f64,
    share_of_limit: f64,
    /// Of a detector: the median with post-processing, from the picture's input to its objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    post_processing_ms: Option<f64>,
}

/// The network that was asked for, and its weights where a file has them.
fn network(options: &Options) -> Result<(Network, Option<Weights>), Failure> {
    match (&options.weights, &options.model) {
        (Some(path), model) => {
            let load = LoadOptions { model: model.clone(), ..LoadOptions::default() };
            let Loaded { network, weights, .. } = weights::load(path, &load)?;
            Ok((network, Some(weights)))
        }
        (None, model) => Ok((Network::from_name(model.as_deref().unwrap_or_default())?, None)),
    }
}

/// A checkpoint's weights as the engine takes them.
struct Trained<'a>(&'a Weights);

impl Parameters for Trained<'_> {
    fn parameter(&self, name: &str) -> Option<Cow<'_, [f32]>> {
        self.0.get(name).map(|parameter| parameter.values)
    }
}

impl Figures {
    fn format(&self, isa: Isa, emulated: bool, peak: f64) -> String {
        let Self { model, height, width, batch, threads, precision, runs, median_ms, min_ms, p90_ms, .. } =
            self;
        let memory =
            self.peak_rss_mb.map(|mb| format!("  memory   {mb:.0} MB at most\n")).unwrap_or_default();
        let share = 100.0 * self.share_of_limit;
        let boxes = match self.post_processing_ms {
            Some(ms) => {
                format!("  boxes    {ms:.2} ms more, median, for what is found without a threshold\n")
            }
            None => String::new(),
        };
        let emulated = if emulated { " without its instructions" } else { "" };
        let plural = if *threads == 1 { "" } else { "s" };
        format!(
            "{STRONG}{model}{STRONG:#}  {height}×{width}, batch {batch}, {threads} thread{plural}, {}, {precision}{emulated}\n\
             \x20 latency  {median_ms:.2} ms median, {min_ms:.2} ms least, {p90_ms:.2} ms at 90 %  ({runs} runs)\n{boxes}\
             \x20 speed    {:.1} pictures/s\n{memory}\
             \x20 limit    {share:.1} % of the {:.0} GFLOP/s measured here ({:.3} GMACs a picture)\n",
            isa.name(),
            self.images_per_s,
            peak / 1e9,
            self.gmacs,
        )
    }
}

/// Times of runs, sorted.
fn measure(
    runs: Option<usize>,
    mut once: impl FnMut() -> Result<(), Failure>,
) -> Result<Vec<Duration>, Failure> {
    for _ in 0..WARM_UP {
        once()?;
    }
    let start = Instant::now();
    let mut times = Vec::new();
    let enough = |done: usize| match runs {
        Some(runs) => done >= runs,
        None => done >= *RUNS.end() || (done >= *RUNS.start() && start.elapsed() > TIME),
    };
    while !enough(times.len()) {
        let run = Instant::now();
        once()?;
        times.push(run.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

/// Each step with its median time over some runs.
fn steps(model: &Model, input: &Tensor, runs: usize) -> Result<Vec<NodeTime>, Failure> {
    let runs: Vec<Vec<NodeTime>> =
        (0..runs).map(|_| Ok(model.run_timed(input)?.1)).collect::<Result<_, Failure>>()?;
    let median = |(i, step): (usize, &NodeTime)| {
        let mut times: Vec<Duration> = runs.iter().map(|run| run[i].time).collect();
        times.sort_unstable();
        NodeTime { time: percentile(&times, 0.5), ..step.clone() }
    };
    Ok(runs[0].iter().enumerate().map(median).collect())
}

fn step_table(steps: &[NodeTime], peak: f64) -> String {
    let total: f64 = steps.iter().map(|step| step.time.as_secs_f64()).sum();
    let mut table = Table::new(&["node", "kernel", ">µs", ">GFLOP/s", ">of limit", ">of time", ""]);
    for NodeTime { name, kernel, macs, time } in steps {
        let seconds = time.as_secs_f64();
        let flops = 2.0 * *macs as f64 / seconds;
        let has_macs = *macs > 0;
        let share = seconds / total;
        table.row([
            name.clone(),
            kernel.clone(),
            format!("{:.1}", seconds * 1e6),
            if has_macs { format!("{:.1}", flops / 1e9) } else { String::new() },
            if has_macs { format!("{:.0} %", 100.0 * flops / peak) } else { String::new() },
            format!("{:.1} %", 100.0 * share),
            bar(5.0 * share, 10).trim_end().to_owned(),
        ]);
    }
    table.format()
}

/// The value at a share of a sorted list.
fn percentile(sorted: &[Duration], share: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A batch of noise in the range of normalised pictures.
fn picture(batch: usize, height: usize, width: usize, channels: usize) -> Tensor {
    let shape = [batch, height, width, channels];
    let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    let values = (0..shape.iter().product()).map(value).collect();
    Tensor::new(&shape, values).expect("as many values as the shape says")
}

/// The most memory that the process has held, where Linux tells.
fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_few() {
        let times: Vec<Duration> = (1..=11).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 0.5), Duration::from_millis(6));
        assert_eq!(percentile(&times, 0.9), Duration::from_millis(10));
        assert_eq!(percentile(&times[..1], 0.9), Duration::from_millis(1));
    }
}
