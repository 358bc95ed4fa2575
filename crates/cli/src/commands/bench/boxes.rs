//! A detector's post-processing, as `effigy eval` runs it: without a threshold, the most work there is.

use std::time::{Duration, Instant};

use effigy::arch::AnchorBox;
use effigy::engine::{Model, Value};
use effigy::vision::{Level, Placement, Workers, detections_shared};
use effigy::{EfficientDet, PostProcessing, Tensor};

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

    /// Runs the network and finds the objects in its answers; the time of the latter.
    pub(super) fn run(&self, model: &Model, input: &Tensor) -> Result<Duration, Failure> {
        let pictures = input.shape()[0];
        let find = |outputs: &[Value<'_>]| {
            let start = Instant::now();
            let (pairs, _) = outputs.as_chunks::<2>();
            let found = (0..pictures).try_for_each(|picture| {
                let levels: Vec<Level<'_>> = pairs
                    .iter()
                    .map(|[class, offsets]| Level {
                        class_logits: of(class, picture),
                        box_offsets: of(offsets, picture),
                    })
                    .collect();
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

/// One picture's part of a batch.
fn of<'a>(value: &'a Value<'_>, picture: usize) -> &'a [f32] {
    let length = value.data.len() / value.shape[0];
    &value.data[picture * length..(picture + 1) * length]
}
