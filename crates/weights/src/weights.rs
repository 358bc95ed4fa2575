//! A network's parameters under their canonical names.

use std::borrow::Cow;
use std::collections::HashMap;

use effigy_arch::ParamRole;
use effigy_tensor::Tensor;

use crate::layout::Layout;
use crate::state_dict::StateDict;

/// A network's parameters: `blocks.0.project.conv.weight` and so on, in the graph's order.
///
/// Those that are as the file has them stay in the file, mapped, until asked for.
#[derive(Clone, Debug)]
pub struct Weights {
    state: Option<StateDict>,
    params: Vec<(String, Source)>,
    index: HashMap<String, usize>,
}

#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The positions of its tensors in the state dict.
    Stored {
        positions: Vec<usize>,
        shape: Vec<usize>,
        layout: Layout,
    },
    Owned(Tensor),
}

/// A parameter's shape and its values in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Param<'a> {
    /// `[O, I/groups, k, k]` for convolutions, `[O, I]` for linear, `[C]` otherwise.
    pub shape: &'a [usize],
    /// Borrowed from the mapped file where it holds them as aligned little-endian `f32`.
    pub values: Cow<'a, [f32]>,
}

impl Weights {
    pub(crate) fn new(state: Option<StateDict>, params: Vec<(String, Source)>) -> Self {
        let index = params.iter().enumerate().map(|(i, (name, _))| (name.clone(), i)).collect();
        Self { state, params, index }
    }

    /// Weights from tensors in memory, such as those that training gives, in the order given.
    #[must_use]
    pub fn from_tensors(tensors: impl IntoIterator<Item = (String, Tensor)>) -> Self {
        let params = tensors.into_iter().map(|(name, tensor)| (name, Source::Owned(tensor)));
        Self::new(None, params.collect())
    }

    /// The parameter of a canonical name. Converted values are not kept: ask once.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Param<'_>> {
        self.index.get(name).map(|&i| self.param(&self.params[i].1))
    }

    /// Every parameter, in the order of the graph's nodes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Param<'_>)> {
        self.params.iter().map(|(name, source)| (name.as_str(), self.param(source)))
    }

    /// Says that a parameter will not be asked for again soon: the part of the file that it lies in no longer
    /// counts as this process's memory. It can still be asked for.
    pub fn release(&self, name: &str) {
        if let Some(&i) = self.index.get(name) {
            self.release_source(&self.params[i].1);
        }
    }

    /// The names of parameters with values that are infinite or not numbers. Of a file no more than a
    /// parameter is held in memory at a time, and afterwards nothing.
    pub(crate) fn not_finite(&self) -> Vec<&str> {
        let is_finite = |source: &Source| match (source, &self.state) {
            (Source::Stored { positions, .. }, Some(state)) => {
                let finite = positions.iter().all(|&position| state.entry(position).is_finite());
                self.release_source(source);
                finite
            }
            _ => self.param(source).values.iter().all(|value| value.is_finite()),
        };
        let bad = self.params.iter().filter(|(_, source)| !is_finite(source));
        let bad = bad.map(|(name, _)| name.as_str()).collect();
        self.state.iter().for_each(StateDict::release_all);
        bad
    }

    fn release_source(&self, source: &Source) {
        if let (Source::Stored { positions, .. }, Some(state)) = (source, &self.state) {
            positions.iter().for_each(|&position| state.release(position));
        }
    }

    /// Number of parameters (tensors, not values).
    #[must_use]
    pub fn len(&self) -> usize {
        self.params.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.params.is_empty()
    }

    /// Every parameter, converted and copied.
    #[must_use]
    pub fn to_tensors(&self) -> HashMap<String, Tensor> {
        let tensor = |param: Param<'_>| {
            Tensor::new(param.shape, param.values.into_owned())
                .expect("readers give as many values as shapes say")
        };
        self.iter().map(|(name, param)| (name.to_owned(), tensor(param))).collect()
    }

    /// The same weights with one parameter new or another.
    #[must_use]
    pub fn with(mut self, name: &str, tensor: Tensor) -> Self {
        match self.index.get(name) {
            Some(&i) => self.params[i].1 = Source::Owned(tensor),
            None => {
                self.index.insert(name.to_owned(), self.params.len());
                self.params.push((name.to_owned(), Source::Owned(tensor)));
            }
        }
        self
    }

    /// The same weights without one parameter.
    #[must_use]
    pub fn without(self, name: &str) -> Self {
        let Self { state, mut params, .. } = self;
        params.retain(|(param, _)| param != name);
        Self::new(state, params)
    }

    fn param<'a>(&'a self, source: &'a Source) -> Param<'a> {
        match source {
            Source::Owned(tensor) => Param { shape: tensor.shape(), values: Cow::Borrowed(tensor.data()) },
            Source::Stored { positions, shape, layout } => {
                let state = self.state.as_ref().expect("stored parameters come with their file");
                let stored = positions.iter().map(|&position| state.entry(position).values());
                Param { shape, values: layout.values(shape, stored) }
            }
        }
    }
}

/// What a parameter is where no checkpoint gives it: ones for BatchNorm's scale and variance,
/// zeros for everything else.
///
/// A classifier of zeros starts with equal probabilities for all classes, which is where training
/// should start, and is the same in every run.
pub(crate) fn initial(shape: &[usize], role: ParamRole) -> Tensor {
    let is_norm_scale = role == ParamRole::Weight && shape.len() == 1;
    let mut tensor = Tensor::zeros(shape);
    if is_norm_scale || role == ParamRole::RunningVar {
        tensor.data_mut().fill(1.0);
    }
    tensor
}
