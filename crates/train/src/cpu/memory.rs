//! The buffers of a plan, from which a unit takes what it writes.

use std::ops::Range;

use effigy_arch::NodeId;
use effigy_kernels::{Cpu, Layout, View, ViewMut};
use effigy_tensor::{AlignedBuf, Tensor};

use super::backward::GradientId;
use super::plan::{Place, Plan};
use crate::DeviceError;

pub(super) struct Memory {
    pub(super) plan: Plan,
    rooms: Vec<AlignedBuf>,
    /// The images of the batch that are worked on: views are of them.
    pub(super) images: Range<usize>,
}

/// A buffer while it is written: its room is empty meanwhile.
pub(super) struct Taken {
    place: Place,
    room: AlignedBuf,
    images: Range<usize>,
}

impl Taken {
    pub(super) fn view(&mut self) -> ViewMut<'_> {
        let layout = of_images(self.place, &self.images);
        let start = self.place.start(&self.images);
        ViewMut::new(&mut self.room[start..start + layout.len()], layout)
    }

    /// The values, where there is no halo.
    pub(super) fn values(&mut self) -> &mut [f32] {
        self.view().data
    }
}

/// The layout of some images.
fn of_images(place: Place, images: &Range<usize>) -> Layout {
    Layout { images: images.len(), ..place.layout }
}

impl Memory {
    pub(super) fn new(plan: Plan) -> Self {
        Self { rooms: plan.allocate(), images: 0..plan.shape[0], plan }
    }

    pub(super) fn value(&self, value: NodeId) -> View<'_> {
        self.view(self.plan.value(value))
    }

    pub(super) fn gradient(&self, id: GradientId) -> View<'_> {
        self.view(self.plan.gradient(id))
    }

    fn view(&self, place: Place) -> View<'_> {
        let layout = of_images(place, &self.images);
        let start = place.start(&self.images);
        View::new(&self.rooms[place.room][start..start + layout.len()], layout)
    }

    /// `[N, C]`: the values of a map of one pixel an image.
    pub(super) fn vector(&self, value: NodeId) -> &[f32] {
        let view = self.value(value);
        &view.data[..view.layout.len()]
    }

    /// The layout of the whole batch.
    pub(super) fn layout(&self, value: NodeId) -> Layout {
        Layout { images: self.plan.shape[0], ..self.plan.value(value).layout }
    }

    pub(super) fn take_value(&mut self, value: NodeId) -> Taken {
        self.take(self.plan.value(value))
    }

    pub(super) fn take_gradient(&mut self, id: GradientId) -> Taken {
        self.take(self.plan.gradient(id))
    }

    fn take(&mut self, place: Place) -> Taken {
        let room = std::mem::take(&mut self.rooms[place.room]);
        Taken { place, room, images: self.images.clone() }
    }

    pub(super) fn put(&mut self, taken: Taken) {
        self.rooms[taken.place.room] = taken.room;
    }

    /// A value, dense.
    pub(super) fn tensor(&self, cpu: &Cpu, value: NodeId) -> Tensor {
        let view = self.value(value);
        let Layout { images, height, width, channels, .. } = view.layout;
        let mut tensor = Tensor::zeros(&[images, height, width, channels]);
        let mut to = ViewMut::new(tensor.data_mut(), Layout::dense(images, height, width, channels));
        effigy_kernels::copy(cpu, view, &mut to);
        tensor
    }

    /// Puts the outputs' gradients in their places.
    pub(super) fn give(
        &mut self,
        cpu: &Cpu,
        ids: &[GradientId],
        gradients: &[Tensor],
    ) -> Result<(), DeviceError> {
        if ids.len() != gradients.len() {
            let message = format!("{} gradients for {} outputs", gradients.len(), ids.len());
            return Err(DeviceError::Gradients(message));
        }
        for (id, gradient) in ids.iter().zip(gradients) {
            let layout = self.plan.gradient(*id).layout;
            let Layout { height, width, channels, .. } = layout;
            let images = self.plan.shape[0];
            let shape = [images, height, width, channels];
            if gradient.shape() != shape {
                let message =
                    format!("a gradient of shape {:?} for an output of {shape:?}", gradient.shape());
                return Err(DeviceError::Gradients(message));
            }
            let mut to = self.take_gradient(*id);
            let from = View::new(gradient.data(), Layout::dense(images, height, width, channels));
            effigy_kernels::copy(cpu, from, &mut to.view());
            self.put(to);
        }
        Ok(())
    }
}
