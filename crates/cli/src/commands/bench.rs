//! `effigy bench`: how fast a network is here, and how much of what the processor can do that is.

mod boxes;
mod figures;
mod limit;
mod measure;
mod noise;
mod picture;
mod steps;

use std::borrow::Cow;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use effigy::Precision;
use effigy::arch::{Network, Quantisation};
use effigy::engine::{Calibration, Model, Options as EngineOptions, Parameters};
use effigy::weights::{self, LoadOptions, Loaded, Weights};
use effigy_kernels::peak;

use crate::failure::{Failure, Outcome};
use crate::npy::{beside, keep};
use crate::options::{MachineOptions, Size, positive};
use crate::untrained::Untrained;
use boxes::Boxes;
use figures::{Figures, Start};
use limit::Machine;
use measure::{milliseconds, percentile};
use noise::Noise;

/// Measure a network's speed on this machine, with made-up weights or those of a file
#[derive(Args, Debug)]
#[command(
    after_help = "share_of_limit is the achieved share of the multiply-adds that the same threads do per second
with the same instruction set when nothing has to be loaded; it is measured in the same run.

Examples:
  effigy bench efficientnet-b0
  effigy bench efficientnet-b0 --threads 1 -v
  effigy bench efficientdet-d0 --picture d0.svg
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
    /// Give the network 8-bit pixels, as `classify` does, instead of values that are normalised
    #[arg(long)]
    pixels: bool,
    #[command(flatten)]
    machine: MachineOptions,
    /// Runs that count [default: as many as fit in 3 seconds, 5 to 200]
    #[arg(long, value_name = "N", value_parser = positive)]
    runs: Option<usize>,
    /// Every step of the network: its kernel, time, speed, bytes and share of the limit
    #[arg(long, short)]
    verbose: bool,
    /// Draw where the time goes: every step as a bar, and how much of it is the limit
    #[arg(long, value_name = "FILE.svg")]
    picture: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<Outcome, Failure> {
    options.machine.warn();
    let start = Instant::now();
    let (network, loaded, quantisation) = network(options)?;
    let reading = start.elapsed();
    let [height, width] = options.size.map_or(network.size(), |Size(size)| size);
    let default = EngineOptions::default();
    let mut engine = EngineOptions {
        threads: options.machine.threads.unwrap_or(default.threads),
        isa: options.machine.isa.unwrap_or(default.isa),
        precision: options.machine.precision,
        quantisation,
        ..default
    };
    let graph = network.graph();
    let shape = [options.batch, height, width, network.in_channels()];
    let noise = if options.pixels { Noise::pixels(shape) } else { Noise::Values(Noise::values(shape)) };
    let input = noise.input();
    if engine.precision == Precision::Int8 && loaded.is_none() {
        // Made-up weights have no ranges; those on the noise that is measured with are as good as any.
        let mut calibration = Calibration::new(&graph, &Untrained::new(&graph), &engine)?;
        calibration.observe(&Noise::values(shape))?;
        engine.quantisation = Some(calibration.measured().into());
    }
    let model = match &loaded {
        Some(weights) => Model::new(&graph, &Trained(weights), &engine)?,
        None => Model::new(&graph, &Untrained::new(&graph), &engine)?,
    };
    let packing = start.elapsed() - reading;
    let first = Instant::now();
    model.run_with(input, |_| ())?;
    // To make weights up takes longer than to read them, and tells nothing.
    let start = loaded.map(|_| Start { reading, packing, first_run: first.elapsed() });

    let times = measure::times(options.runs, || Ok(model.run_with(input, |_| ())?))?;
    let post_processing = match &network {
        Network::EfficientNet(_) => None,
        Network::EfficientDet(network) => {
            let boxes = Boxes::new(network, [height, width]);
            let mut times = Vec::new();
            measure::times(options.runs, || {
                boxes.run(&model, input, options.batch).map(|time| times.push(time))
            })?;
            times.sort();
            Some(milliseconds(percentile(&times, 0.5)))
        }
    };
    // Before the machine's limits are measured, which takes memory too.
    let peak_rss_mb = measure::peak_rss_mb();
    let peak = match engine.precision {
        Precision::Bf16 => peak::bf16_flops(engine.isa, engine.threads),
        Precision::Fp32 | Precision::Int8 => peak::flops(engine.isa, engine.threads),
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
        peak_rss_mb,
        gmacs: macs as f64 / 1e9,
        post_processing_ms: post_processing,
        start_ms: start.as_ref().map(|start| milliseconds(start.total())),
        share_of_limit: (2 * macs * options.batch as u64) as f64 / median.as_secs_f64() / peak,
    };
    let mut text = if options.json {
        serde_json::to_string(&result).expect("text and finite numbers are always valid JSON") + "\n"
    } else {
        result.format(engine.isa, peak, start.as_ref())
    };
    if options.verbose || options.picture.is_some() {
        let steps = steps::measure(&model, input, times.len())?;
        let machine = Machine::measure(engine.isa, engine.threads, peak, &steps);
        if let Some(path) = &options.picture {
            let subtitle = result.subtitle(engine.isa, peak);
            write(path, &picture::draw(&result.model, &subtitle, &steps, &machine))?;
        }
        let table = if options.verbose { steps::table(&steps, &machine) } else { String::new() };
        if options.json {
            // Standard output is one object for programs.
            let _ = anstream::stderr().write_all(table.as_bytes());
        } else if options.verbose {
            text += &format!("\n{table}");
        }
    }
    anstream::stdout().write_all(text.as_bytes())?;
    Ok(Outcome::Done)
}

/// Writes a file; whole, or not at all.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let written = beside(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        keep(file, path)
    });
    written.map_err(|source| Failure::Write { path: path.to_owned(), source })
}

/// A network, and its weights and the ranges of its values where a file has them.
type Found = (Network, Option<Weights>, Option<Arc<Quantisation>>);

/// The network that was asked for, and its weights where a file has them.
fn network(options: &Options) -> Result<Found, Failure> {
    match (&options.weights, &options.model) {
        (Some(path), model) => {
            let load = LoadOptions { model: model.clone(), ..LoadOptions::default() };
            let Loaded { network, weights, quantisation, .. } = weights::load(path, &load)?;
            Ok((network, Some(weights), quantisation.map(Arc::new)))
        }
        (None, model) => Ok((Network::from_name(model.as_deref().unwrap_or_default())?, None, None)),
    }
}

/// A checkpoint's weights as the engine takes them.
struct Trained<'a>(&'a Weights);

impl Parameters for Trained<'_> {
    fn parameter(&self, name: &str) -> Option<Cow<'_, [f32]>> {
        self.0.get(name).map(|parameter| parameter.values)
    }

    fn release(&self, name: &str) {
        self.0.release(name);
    }
}
