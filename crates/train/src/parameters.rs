//! The parameters of a network in one stretch of memory.

use std::ops::Range;
use std::sync::Arc;

use effigy_arch::{Graph, ParamSpec};
use effigy_tensor::AlignedBuf;

/// A value for every parameter of a network: the parameters themselves, their gradients, an optimiser's
/// moments, or an average.
///
/// BatchNorm's moving statistics are among them; where the values are gradients, theirs stay zero.
#[derive(Clone, Debug)]
pub struct Parameters {
    slots: Arc<[Slot]>,
    values: AlignedBuf,
}

/// Where a parameter lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Its name, role and shape, as the graph has them.
    pub spec: ParamSpec,
    /// Its values, in row-major order, within [`Parameters::values`].
    pub range: Range<usize>,
}

impl Slot {
    /// Every parameter of `graph`, in the order of [`Graph::param_specs`].
    pub(crate) fn all(graph: &Graph) -> Vec<Self> {
        let mut end = 0;
        let slot = |spec: ParamSpec| {
            let start = end;
            end += spec.shape.iter().product::<usize>();
            Self { spec, range: start..end }
        };
        graph.param_specs().into_iter().map(slot).collect()
    }
}

impl Parameters {
    /// Zeros for every parameter of `graph`, in the order of [`Graph::param_specs`].
    #[must_use]
    pub fn zeroed(graph: &Graph) -> Self {
        let slots = Slot::all(graph);
        let len = slots.last().map_or(0, |slot| slot.range.end);
        Self { slots: slots.into(), values: AlignedBuf::zeroed(len) }
    }

    /// Zeros in the same places.
    #[must_use]
    pub fn zeros_like(&self) -> Self {
        Self { slots: Arc::clone(&self.slots), values: AlignedBuf::zeroed(self.values.len()) }
    }

    /// Every parameter, in the order of its values.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// All values, parameter after parameter.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, to be changed.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The values of the parameter of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        self.find(name).map(|range| &self.values[range])
    }

    /// The values of the parameter of this name, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        self.find(name).map(|range| &mut self.values[range])
    }

    fn find(&self, name: &str) -> Option<Range<usize>> {
        self.slots.iter().find(|slot| slot.spec.name == name).map(|slot| slot.range.clone())
    }
}

/// What is judged runs on the engine.
impl effigy_engine::Parameters for Parameters {
    fn parameter(&self, name: &str) -> Option<std::borrow::Cow<'_, [f32]>> {
        self.get(name).map(std::borrow::Cow::Borrowed)
    }
}
