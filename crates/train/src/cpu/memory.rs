//! The buffers of a plan, from which a unit takes what it writes.

use effigy_arch::NodeId;
use effigy_kernels::{Layout, View, ViewMut};
use effigy_tensor::{AlignedBuf, Tensor};

use super::backward::GradientId;
use super::plan::{Place, Plan};
use crate::DeviceError;

pub(super) struct Memory {
    pub(super) plan: Plan,
    rooms: Vec<AlignedBuf>,
}

/// A buffer while it is written: its room is empty meanwhile.
pub(super) struct Taken {
    place: Place,
    room: AlignedBuf,
}

impl Taken {
    pub(super) fn view(&mut self) -> ViewMut<'_> {
        ViewMut::new(&mut self.room, self.place.layout)
    }

    /// The values, where there is no halo.
    pub(super) fn values(&mut self) -> &mut [f32] {
        &mut self.room[..self.place.layout.len()]
    }
}

impl Memory {
    pub(super) fn new(plan: Plan) -> Self {
        Self { rooms: plan.allocate(), plan }
    }

    pub(super) fn value(&self, value: NodeId) -> View<'_> {
        self.view(self.plan.value(value))
    }

    pub(super) fn gradient(&self, id: GradientId) -> View<'_> {
        self.view(self.plan.gradient(id))
    }

    fn view(&self, place: Place) -> View<'_> {
        View::new(&self.rooms[place.room], place.layout)
    }

    /// `[N, C]`: the values of a map of one pixel an image.
    pub(super) fn vector(&self, value: NodeId) -> &[f32] {
        let view = self.value(value);
        &view.data[..view.layout.len()]
    }

    pub(super) fn layout(&self, value: NodeId) -> Layout {
        self.plan.value(value).layout
    }

    pub(super) fn take_value(&mut self, value: NodeId) -> Taken {
        self.take(self.plan.value(value))
    }

    pub(super) fn take_gradient(&mut self, id: GradientId) -> Taken {
        self.take(self.plan.gradient(id))
    }

    fn take(&mut self, place: Place) -> Taken {
        Taken { place, room: std::mem::take(&mut self.rooms[place.room]) }
    }

    pub(super) fn put(&mut self, taken: Taken) {
        self.rooms[taken.place.room] = taken.room;
    }

    /// A value, dense.
    pub(super) fn tensor(&self, value: NodeId) -> Tensor {
        let view = self.value(value);
        let Layout { images, height, width, channels, .. } = view.layout;
        let mut tensor = Tensor::zeros(&[images, height, width, channels]);
        let mut to = ViewMut::new(tensor.data_mut(), Layout::dense(images, height, width, channels));
        effigy_kernels::copy(view, &mut to);
        tensor
    }

    /// Puts the outputs' gradients in their places.
    pub(super) fn give(&mut self, ids: &[GradientId], gradients: &[Tensor]) -> Result<(), DeviceError> {
        if ids.len() != gradients.len() {
            let message = format!("{} gradients for {} outputs", gradients.len(), ids.len());
            return Err(DeviceError::Gradients(message));
        }
        for (id, gradient) in ids.iter().zip(gradients) {
            let layout = self.plan.gradient(*id).layout;
            let Layout { images, height, width, channels, .. } = layout;
            let shape = [images, height, width, channels];
            if gradient.shape() != shape {
                let message =
                    format!("a gradient of shape {:?} for an output of {shape:?}", gradient.shape());
                return Err(DeviceError::Gradients(message));
            }
            let mut to = self.take_gradient(*id);
            let from = View::new(gradient.data(), Layout::dense(images, height, width, channels));
            effigy_kernels::copy(from, &mut to.view());
            self.put(to);
        }
        Ok(())
    }
}
