//! Checkpoints: what a run is for.

use std::path::Path;

use effigy_arch::Network;
use effigy_tensor::Tensor;
use effigy_weights::{Precision, Weights, WeightsError, convert};

use crate::Parameters;

/// Writes parameters as a safetensors file that says which network they are of, how its pictures are prepared and
/// what its classes are called, so that every command of effigy loads it without being told anything.
///
/// # Errors
/// What the operating system says when the file cannot be written; what was there before is then still there.
pub fn save(
    path: &Path,
    network: &Network,
    parameters: &Parameters,
    labels: &[String],
) -> Result<(), WeightsError> {
    let tensors = parameters.slots().iter().map(|slot| {
        let values = parameters.values()[slot.range.clone()].to_vec();
        let tensor = Tensor::new(&slot.spec.shape, values).expect("a slot is as long as its shape says");
        (slot.spec.name.clone(), tensor)
    });
    convert(path, network, &Weights::from_tensors(tensors), Some(labels), Precision::F32)
}
