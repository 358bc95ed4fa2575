//! Training: the graph that `arch` builds, run forward and backward.
//!
//! [`Parameters`] are plain memory of the host, one stretch for a whole network; a [`Device`] computes a batch's
//! outputs from them, and the gradients of a loss. Everything else (losses, optimisers, schedules, averages,
//! checkpoints) reads and writes that memory and knows no device.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use effigy_train::{Config, CpuDevice, CpuOptions, Trainer};
//!
//! let mut config = Config::read(Path::new("flowers.toml"))?;
//! config.epochs = 5;
//! let trainer = Trainer::new(config, &mut |name| Err(format!("{name}: give its file by `weights`")))?;
//! let mut device = CpuDevice::new(trainer.graph().clone(), &CpuOptions::new(2));
//! let summary = trainer.run(&mut device, &mut ())?;
//! println!("{:?}", summary.best);
//! # Ok::<(), effigy_train::TrainError>(())
//! ```

mod begin;
mod checkpoint;
mod config;
mod cpu;
mod dataset;
mod device;
mod ema;
mod error;
mod folder;
mod groups;
mod init;
pub mod loss;
mod math;
mod observer;
pub mod optimiser;
mod output;
mod parameters;
mod record;
mod reduce;
mod report;
mod run;
mod schedule;
mod state;
mod task;
mod tensorboard;
mod trainer;

pub use begin::Fetch;
pub use checkpoint::save;
pub use config::{
    ClassWeights, Config, ConfigError, DetectionLossKind, Freeze, OPTIONS, Opt, OptimiserKind, ScheduleKind,
    Size, flag, names,
};
pub use cpu::{CpuDevice, CpuOptions, Timing, TrainingPrecision};
pub use device::{Device, DeviceError, Pass};
pub use ema::Ema;
pub use error::{Blowup, TrainError};
pub use groups::{Groups, Run, clip_scale};
pub use init::initial;
pub use observer::{Observer, Progress};
pub use parameters::{Parameters, Slot};
pub use record::{Best, EpochRecord, History, Point};
pub use reduce::{Alone, Reduce, ReduceError};
pub use schedule::{Decay, Schedule};
pub use trainer::{Summary, Trainer, can_resume};
