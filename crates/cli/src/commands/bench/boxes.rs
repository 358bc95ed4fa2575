//! A detector's post-processing, as `effigy eval` runs it: without a threshold, the most work there is.

use std::time::{Duration, Instant};

use effigy::arch::AnchorBox;
use effigy::engine::{Input, Model, Value};
use effigy::vision::{Level, Placement, Workers, detections_shared};
use effigy::{EfficientDet, PostProcessing};

use crate::failure::Failure;

pub(super) struct Boxes {
    classes: usize,
    anchors: Vec<AnchorBox>,
    placement: Placement,
    options: PostProcessing,
}

impl Boxes {
    pub(super) fn new(network: &EfficientDet, size: [usize; 2]) -> Self {
        Self {
            classes: network.classes,
            anchors: network.anchor_boxes(size[0], size[1]),
            placement: Placement::new(size, &network.clone().with_size(size[0], size[1]).letterbox),
            options: PostProcessing::EFFDET,
        }
    }

    /// Runs the network on so many pictures and finds the objects in its answers; the time of the latter.
    pub(super) fn run(&self, model: &Model, input: Input<'_>, pictures: usize) -> Result<Duration, Failure> {
        let find = |outputs: &[Value<'_>]| {
            let start = Instant::now();
            let found = (0..pictures).try_for_each(|picture| {
                let maps = outputs.iter().map(|value| &*value.data);
                let levels = Level::of_picture(maps, pictures, picture);
                let share = |tasks: usize, task: &(dyn Fn(usize) + Sync)| model.share(tasks, task);
                let workers = Workers { threads: model.threads(), share: &share };
                let Self { anchors, classes, placement, options } = self;
                detections_shared(&levels, anchors, *classes, placement, options, workers).map(drop)
            });
            found.map(|()| start.elapsed())
        };
        Ok(model.run_with(input, find)?.map_err(effigy::Error::from)?)
    }
}
