//! Training: the graph that `arch` builds, run forward and backward.
//!
//! [`Parameters`] are plain memory of the host, one stretch for a whole network; a [`Device`] computes a batch's
//! outputs from them, and the gradients of a loss. Everything else (losses, optimisers, schedules, averages,
//! checkpoints) reads and writes that memory and knows no device.

mod config;
mod cpu;
mod device;
mod ema;
mod groups;
pub mod loss;
mod math;
pub mod optimiser;
mod parameters;
mod reduce;
mod schedule;

pub use config::{
    ClassWeights, Config, ConfigError, DetectionLossKind, Freeze, OPTIONS, Opt, OptimiserKind, ScheduleKind, Size, flag,
    names,
};
pub use cpu::{CpuDevice, CpuOptions};
pub use device::{Device, DeviceError, Pass};
pub use ema::Ema;
pub use groups::{Groups, Run, clip_scale};
pub use parameters::{Parameters, Slot};
pub use reduce::{Alone, Reduce, ReduceError};
pub use schedule::{Decay, Schedule};
