//! Training: the graph that `arch` builds, run forward and backward.
//!
//! [`Parameters`] are plain memory of the host, one stretch for a whole network; a [`Device`] computes a batch's
//! outputs from them, and the gradients of a loss. Everything else (losses, optimisers, schedules, averages,
//! checkpoints) reads and writes that memory and knows no device.

mod device;
pub mod loss;
mod math;
mod parameters;

pub use device::{Device, DeviceError, Pass};
pub use parameters::{Parameters, Slot};
