//! A checkpoint against a network: what is missing, unexpected, misshapen or not a number.

use std::collections::HashSet;
use std::fmt;

use effigy_arch::Network;

use crate::names::{Names, Place};
use crate::state_dict::{StateDict, StoredTensor};

/// Everything in which a checkpoint differs from a network, under the checkpoint's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Tensors that the network needs and the checkpoint lacks.
    pub missing: Vec<String>,
    /// Tensors that the checkpoint has and the network does not know.
    pub unexpected: Vec<String>,
    /// Tensors of another shape.
    pub misshapen: Vec<Misshapen>,
    /// Tensors with values that are infinite or not numbers.
    pub not_finite: Vec<String>,
}

/// A tensor of another shape than the network's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misshapen {
    /// Its name in the checkpoint.
    pub name: String,
    /// The network's shape.
    pub expected: Vec<usize>,
    /// The checkpoint's.
    pub actual: Vec<usize>,
}

impl Differences {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many tensors are concerned.
    #[must_use]
    pub fn count(&self) -> usize {
        self.missing.len() + self.unexpected.len() + self.misshapen.len() + self.not_finite.len()
    }

    /// Leaves out the tensors that `excused` names. A missing or misshapen one then is filled with
    /// zeros (ones for BatchNorm's scale and variance).
    pub(crate) fn excuse(&mut self, excused: &[String]) {
        let stays = |name: &String| !excused.contains(name);
        self.missing.retain(stays);
        self.unexpected.retain(stays);
        self.misshapen.retain(|tensor| stays(&tensor.name));
        self.not_finite.retain(stays);
    }
}

/// Compares names and shapes; numbers are not touched.
pub(crate) fn compare(state: &StateDict, place: &Place, network: &Network, names: &Names) -> Differences {
    let mut differences = Differences::default();
    let mut known = HashSet::new();
    for spec in network.graph().param_specs() {
        let stored = names.get(&spec.name).expect("the names are the network's");
        let expected = stored.layout.stored_shape(&spec.shape);
        for name in &stored.names {
            match state.get(name).map(|entry| entry.tensor().shape()) {
                None => differences.missing.push(name.clone()),
                Some(actual) => {
                    if actual != expected {
                        let (expected, actual) = (expected.clone(), actual.to_vec());
                        differences.misshapen.push(Misshapen { name: name.clone(), expected, actual });
                    }
                    known.insert(name.clone());
                }
            }
        }
    }
    let inside = state.tensors().iter().map(StoredTensor::name).filter(|name| place.contains(name));
    differences.unexpected = inside.filter(|name| !known.contains(*name)).map(str::to_owned).collect();
    differences
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = |what: &str, lines: Vec<String>| -> fmt::Result {
            if lines.is_empty() {
                return Ok(());
            }
            write!(f, "\n  {what} ({}):", lines.len())?;
            lines.iter().try_for_each(|line| write!(f, "\n    {line}"))
        };
        list("missing", self.missing.clone())?;
        list("unexpected", self.unexpected.clone())?;
        let misshapen = self.misshapen.iter();
        let misshapen =
            misshapen.map(|t| format!("{}: expected {:?}, found {:?}", t.name, t.expected, t.actual));
        list("misshapen", misshapen.collect())?;
        list("infinite or not a number", self.not_finite.clone())
    }
}
