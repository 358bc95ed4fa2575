//! What a checkpoint holds, as far as it can be told, even where it cannot be loaded.

use std::path::Path;

use effigy_arch::Network;

use crate::check::Differences;
use crate::error::WeightsError;
use crate::format::Format;
use crate::load::{self, LoadOptions, Recognised};
use crate::names::Family;
use crate::state_dict::{self, DType, StateDict};

/// What a checkpoint holds.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The file's format.
    pub format: Format,
    /// Whose names its tensors have.
    pub family: Option<Family>,
    /// The network, with its classes, channels, preprocessing and anchors.
    pub network: Option<Network>,
    /// Every tensor in the file, in its order.
    pub tensors: Vec<TensorInfo>,
    /// Trainable values of the network.
    pub params: Option<u64>,
    /// What was recognised and assumed, and why.
    pub assumptions: Vec<String>,
    /// Why the file cannot be loaded; nothing when it can.
    pub problems: Vec<String>,
}

/// A tensor of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in the file.
    pub name: String,
    /// The type of its numbers.
    pub dtype: DType,
    /// The length of each axis.
    pub shape: Vec<usize>,
}

/// Looks into the checkpoint at `path`. What keeps it from being loaded is listed in
/// [`Inspection::problems`].
///
/// # Errors
/// When the file cannot be read at all.
pub fn inspect(path: &Path, options: &LoadOptions) -> Result<Inspection, WeightsError> {
    let state = state_dict::read(path)?;
    let mut inspection = blank(&state);
    match load::recognise(&state, path, options) {
        Err(error) => inspection.problems.push(error.to_string()),
        Ok(Recognised { found, assumed, differences, .. }) => {
            inspection.family = Some(found.place.family());
            inspection.params = Some(assumed.network.graph().param_count());
            inspection.network = Some(assumed.network);
            inspection.assumptions.extend(assumed.reasons);
            inspection.problems.extend(problems(&differences));
        }
    }
    if inspection.problems.is_empty()
        && let Err(error) = load::load(path, options)
    {
        inspection.problems.push(error.to_string());
    }
    Ok(inspection)
}

fn blank(state: &StateDict) -> Inspection {
    let tensors = state.tensors().iter().map(|tensor| TensorInfo {
        name: tensor.name().to_owned(),
        dtype: tensor.dtype(),
        shape: tensor.shape().to_vec(),
    });
    Inspection {
        format: state.format(),
        family: None,
        network: None,
        tensors: tensors.collect(),
        params: None,
        assumptions: state.notes().to_vec(),
        problems: Vec::new(),
    }
}

fn problems(differences: &Differences) -> Vec<String> {
    let missing = differences.missing.iter().map(|name| format!("`{name}` is missing"));
    let unexpected = differences.unexpected.iter().map(|name| format!("`{name}` is unexpected"));
    let misshapen = differences.misshapen.iter().map(|tensor| {
        format!("`{}` has shape {:?} instead of {:?}", tensor.name, tensor.actual, tensor.expected)
    });
    missing.chain(unexpected).chain(misshapen).collect()
}
