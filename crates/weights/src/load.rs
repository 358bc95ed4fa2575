//! From a file to a network with its weights.

use std::path::{Path, PathBuf};

use effigy_arch::{Anchors, Convention, Network, ParamSpec, Preprocessing, Quantisation};

use crate::adapt;
use crate::assume::{self, Assumed};
use crate::bytes::Bytes;
use crate::card;
use crate::check::{self, Differences};
use crate::detect::{self, Found};
use crate::error::WeightsError;
use crate::format::Format;
use crate::names::{Family, Names, Place};
use crate::state_dict::{self, StateDict};
use crate::weights::{self, Source, Weights};

/// What to do with what tells classes: a network's classifier, or the last layer of a detector's class head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClassifierPolicy {
    /// As the checkpoint has it.
    #[default]
    Keep,
    /// Without: the network ends with the pooled features. Not for detectors.
    Drop,
    /// With so many classes. The checkpoint's own if it has as many, otherwise a new one of zeros,
    /// to be trained.
    Replace(usize),
    /// Without the first class: TensorFlow's networks of 1001 classes have «background» there. Not for
    /// detectors.
    DropBackground,
}

/// How to load. The default asks for nothing and takes everything as the checkpoint has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadOptions {
    /// The network by any name that [`Network::from_name`] knows. timm's and effdet's names also settle
    /// ε, padding and preprocessing, which tensors do not tell.
    pub model: Option<String>,
    /// ε and padding, whatever else is assumed. Not for detectors.
    pub convention: Option<Convention>,
    /// Preprocessing, whatever else is assumed. Not for detectors.
    pub preprocessing: Option<Preprocessing>,
    /// Height and width of the input in pixels, whatever else is assumed.
    pub size: Option<[usize; 2]>,
    /// A detector's anchors, whatever else is assumed. Needed where there are not 9 on every cell.
    pub anchors: Option<Anchors>,
    /// What to do with the classifier.
    pub classifier: ClassifierPolicy,
    /// Input channels that the network shall have. Where the checkpoint's stem has others, its
    /// filters are summed (to one channel) or repeated and rescaled (to several).
    pub in_channels: Option<usize>,
    /// Tensors, under the checkpoint's names, that may be missing, unexpected, misshapen or not
    /// finite. Those that the network needs become zeros, or ones for BatchNorm's scale and variance.
    pub excuse: Vec<String>,
    /// Trained weights rather than averaged ones, where the checkpoint has both.
    pub raw: bool,
}

/// A network with its weights.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The network, with the checkpoint's classes, channels, convention, preprocessing and anchors.
    pub network: Network,
    /// Its parameters under canonical names.
    pub weights: Weights,
    /// Whose names the checkpoint uses.
    pub family: Family,
    /// The file's format.
    pub format: Format,
    /// What was recognised, assumed and changed, and why: one sentence each, for people.
    pub assumptions: Vec<String>,
    /// Names of the classes, where the file has them.
    pub labels: Option<Vec<String>>,
    /// The ranges of the network's values, where the file has them.
    pub quantisation: Option<Quantisation>,
}

/// Loads the checkpoint at `path`.
///
/// # Errors
/// When the file cannot be read, holds no EfficientNet, or has missing, unexpected, misshapen or
/// non-finite tensors; the error lists them all.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Loaded, WeightsError> {
    load_state(&state_dict::read(path)?, path, options)
}

/// Loads a checkpoint from memory. `name` stands for the path.
///
/// # Errors
/// As [`load`].
pub fn load_bytes(
    bytes: impl Into<Bytes>,
    name: &Path,
    options: &LoadOptions,
) -> Result<Loaded, WeightsError> {
    load_state(&state_dict::read_bytes(bytes, name)?, name, options)
}

/// What [`load`] and [`crate::inspect()`] learn about a checkpoint before its numbers are touched.
pub(crate) struct Recognised {
    pub(crate) found: Found,
    pub(crate) assumed: Assumed,
    pub(crate) names: Names,
    pub(crate) differences: Differences,
}

pub(crate) fn recognise(
    state: &StateDict,
    path: &Path,
    options: &LoadOptions,
) -> Result<Recognised, WeightsError> {
    let path_buf = || path.to_owned();
    let found = detect::find(state, options.raw)
        .map_err(|source| WeightsError::Unrecognised { path: path_buf(), source })?;
    let mut assumed = assume::network(state, &found, path, options)
        .map_err(|source| WeightsError::NoModel { path: path_buf(), source: Box::new(source) })?;
    let network = found.fit(assumed.network);
    assumed.network = adapt::as_asked(network, options, &mut assumed.reasons)
        .map_err(|source| WeightsError::Adapt { path: path_buf(), source })?;
    let names = found.place.names(&assumed.network).ok_or_else(|| WeightsError::NoNames {
        path: path_buf(),
        family: found.place.family(),
        model: assumed.network.name().to_owned(),
    })?;
    let mut differences = check::compare(state, &found.place, &assumed.network, &names);
    differences.excuse(&options.excuse);
    Ok(Recognised { found, assumed, names, differences })
}

fn load_state(state: &StateDict, path: &Path, options: &LoadOptions) -> Result<Loaded, WeightsError> {
    let Recognised { found, assumed, names, mut differences } = recognise(state, path, options)?;
    let Assumed { network, reasons, labels } = assumed;
    let path: PathBuf = path.to_owned();
    let mismatch = |differences| WeightsError::Mismatch {
        path: path.clone(),
        model: network.name().to_owned(),
        family: found.place.family(),
        differences: Box::new(differences),
    };
    if !differences.is_empty() {
        return Err(mismatch(differences));
    }
    let mut assumptions = vec![origin(state, &found.place)];
    assumptions.extend(reasons);

    let params = network.graph().param_specs().into_iter().map(|spec| {
        let source = source(state, &names, &spec);
        if matches!(source, Source::Owned(_)) {
            assumptions.push(format!("`{}`: initial values, since its lack was excused", spec.name));
        }
        (spec.name, source)
    });
    let weights = Weights::new(Some(state.clone()), params.collect());
    differences.not_finite = not_finite(&weights, &names);
    differences.excuse(&options.excuse);
    if !differences.is_empty() {
        return Err(mismatch(differences));
    }
    let (family, format) = (found.place.family(), state.format());
    let quantisation = quantisation(state, &path)?;
    let loaded = Loaded { network, weights, family, format, assumptions, labels, quantisation };
    adapt::classifier(loaded, options.classifier)
        .and_then(|loaded| adapt::stem(loaded, options.in_channels))
        .map_err(|source| WeightsError::Adapt { path, source })
}

/// What the file says about the ranges of the network's values.
fn quantisation(state: &StateDict, path: &Path) -> Result<Option<Quantisation>, WeightsError> {
    let json = state.metadata().get(card::quantisation::KEY);
    let parsed = json.map(|json| card::quantisation::parse(json)).transpose();
    parsed.map_err(|source| WeightsError::NoModel { path: path.to_owned(), source: Box::new(source.into()) })
}

/// Where in the file the network was found.
fn origin(state: &StateDict, place: &Place) -> String {
    let inside = match place.prefix.as_str() {
        "" => String::new(),
        prefix => format!(", under `{prefix}`"),
    };
    let averages = match place.suffix.as_str() {
        "" => String::new(),
        suffix => format!("; averaged weights, which end in `{suffix}`"),
    };
    let is_outside = |name: &str| !name.starts_with(&place.prefix) || !name.ends_with(&place.suffix);
    let outside = state.tensors().iter().filter(|tensor| is_outside(tensor.name())).count();
    let outside =
        if outside == 0 { String::new() } else { format!(" ({outside} other tensors passed over)") };
    format!("family {}: told by its tensors' names{inside}{averages}{outside}", place.family())
}

/// The tensor of the file; initial values where its lack or its shape was excused.
fn source(state: &StateDict, names: &Names, spec: &ParamSpec) -> Source {
    let stored = names.get(&spec.name).expect("the names are the network's");
    let shape = stored.layout.stored_shape(&spec.shape);
    let fitting =
        |name: &String| state.position(name).filter(|&position| state.tensors()[position].shape() == shape);
    match stored.names.iter().map(fitting).collect::<Option<_>>() {
        Some(positions) => Source::Stored { positions, shape: spec.shape.clone(), layout: stored.layout },
        None => Source::Owned(weights::initial(&spec.shape, spec.role)),
    }
}

/// The checkpoint's names of parameters with values that are infinite or not numbers.
fn not_finite(weights: &Weights, names: &Names) -> Vec<String> {
    let bad = weights.not_finite().into_iter().filter_map(|name| names.get(name));
    bad.flat_map(|stored| stored.names.clone()).collect()
}
