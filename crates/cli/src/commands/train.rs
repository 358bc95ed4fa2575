//! `effigy train`: a classifier or a detector of one's own pictures.

mod flags;
mod watch;

use std::io::Write;

use effigy::Loader;
use effigy::arch::Network;
use effigy_train::{Config, CpuDevice, CpuOptions, Trainer, TrainingPrecision, can_resume};

use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::options::{describe_input, warn_of_slow_bf16};
use crate::progress::download_bar;
use crate::report::{self, note, warning};
use watch::Watch;

pub(crate) use flags::Options;

const EXAMPLES: &str = "\
Every option is a key of CONFIG.toml, too: --learning-rate is learning_rate, and
--augment-mirror is mirror below [augment].

Examples:
  effigy train --data flowers/ --out flowers-run
  effigy train configs/bccd-lite0.toml --data BCCD/ --out cells-run
  effigy train configs/bccd-lite0.toml --data BCCD/ --out cells-run --resume
  effigy train configs/folder.toml --data flowers/ --model efficientnet-b0 --dry-run
  effigy classify rose.jpg --weights flowers-run/best.safetensors";

pub(crate) fn run(options: &Options) -> Result<Outcome, Failure> {
    let mut config = options.config().map_err(effigy_train::TrainError::from)?;
    let threads = config.threads.or_else(asked_threads);
    let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    config.threads = Some(threads);
    let mut fetch = |name: &str| {
        let loader = Loader::pretrained(name).on_download(download_bar());
        loader.weights().map_err(|error| error.to_string())
    };
    let resumed = options.resume && can_resume(&config.out);
    let trainer = Trainer::new(config.clone(), &mut fetch)?.resume(options.resume);
    for problem in trainer.problems() {
        report::error(problem);
    }
    let (frozen, precision) = (trainer.frozen().clone(), config.precision);
    let cpu = CpuOptions { frozen, precision, ..CpuOptions::new(threads) };
    if precision == TrainingPrecision::Bf16 {
        warn_of_slow_bf16(cpu.isa);
    }
    let mut device = CpuDevice::new(trainer.graph().clone(), &cpu);
    describe(&config, &trainer);
    memory(trainer.memory_needed(&device));
    if options.dry_run {
        return Ok(Outcome::Done);
    }
    if resumed {
        note(format_args!("going on with the run in {}", config.out.display()));
    }
    interrupt::watch();
    let mut watch = Watch::new(config.epochs, options.progress);
    let summary = trainer.run(&mut device, &mut watch);
    let problems = watch.finish();
    let summary = summary?;
    note(format_args!("report: {}", summary.report.display()));
    if summary.stopped {
        let step = watch::last_step(&summary.history);
        return Err(Failure::Stopped { step: watch.step().max(step) });
    }
    if let (Some(best), Some(path)) = (&summary.history.best, &summary.best) {
        let text = format!(
            "{}  {} {}  epoch {}\n",
            path.display(),
            best.name,
            watch::score(&best.name, best.score),
            best.epoch
        );
        anstream::stdout().write_all(text.as_bytes())?;
    }
    if problems > 0 {
        report::error(format_args!("{problems} pictures could not be used"));
    }
    Ok(Outcome::of(problems))
}

/// What is about to be trained, on what.
fn describe(config: &Config, trainer: &Trainer) {
    let network: &Network = trainer.network();
    let [train, val] = trainer.pictures();
    let [trained, all] = trainer.parameter_counts();
    trainer.notes().iter().take(1).for_each(note);
    trainer.notes().iter().skip(1).filter(|text| text.contains("are new")).for_each(note);
    note(format_args!(
        "{}, {}, {} classes; {trained} of {all} values are trained",
        network.name(),
        describe_input(network),
        trainer.labels().len()
    ));
    let [height, width] = trainer.size();
    note(format_args!(
        "{train} pictures to learn from at {height}×{width}, {val} to judge by; {} epochs of {} batches of {}",
        config.epochs,
        (train / config.batch).max(1),
        config.batch
    ));
}

/// What the environment asks for, as in other commands.
fn asked_threads() -> Option<usize> {
    std::env::var("EFFIGY_THREADS").ok()?.parse().ok().filter(|&threads| threads > 0)
}

/// Says how much memory is needed, and warns where there is less.
fn memory(needed: u64) {
    const GB: f64 = 1e9;
    match available_memory() {
        Some(free) if free < needed => warning(format_args!(
            "the run needs about {:.1} GB of memory, and {:.1} GB are free: a smaller `batch` (with `accumulate`) or \
             `size` needs less",
            needed as f64 / GB,
            free as f64 / GB
        )),
        Some(free) => {
            note(format_args!(
                "memory: about {:.1} GB of the {:.1} GB that are free",
                needed as f64 / GB,
                free as f64 / GB
            ));
        }
        None => note(format_args!("memory: about {:.1} GB", needed as f64 / GB)),
    }
}

/// Bytes that the system can give without swapping, where it tells.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kibibytes)
}
