//! From anchors and offsets to boxes.

use effigy_arch::AnchorBox;

use super::candidates::Candidate;
use super::options::Clip;
use super::{Level, NotFinite};
use crate::{InputBox, Placement};

/// The box of each candidate, in pixels of the network's input.
pub(super) fn boxes(
    levels: &[Level<'_>],
    anchors: &[AnchorBox],
    candidates: &[Candidate],
    placement: &Placement,
    clip: Clip,
) -> Result<Vec<InputBox>, NotFinite> {
    let decoded = candidates.iter().map(|candidate| {
        let (level, offsets) = offsets(levels, candidate.anchor);
        let bounds = clipped(decode(anchors[candidate.anchor], offsets), placement, clip);
        let edges = [bounds.y1, bounds.x1, bounds.y2, bounds.x2];
        if edges.iter().any(|edge| edge.is_nan()) { Err(NotFinite::new("box", level)) } else { Ok(bounds) }
    });
    decoded.collect()
}

/// The level of an anchor, counted from the first, and its offsets.
fn offsets(levels: &[Level<'_>], mut anchor: usize) -> (usize, [f32; 4]) {
    for (index, level) in levels.iter().enumerate() {
        let (offsets, _) = level.box_offsets.as_chunks();
        match offsets.get(anchor) {
            Some(&found) => return (index, found),
            None => anchor -= offsets.len(),
        }
    }
    unreachable!("every anchor is of a level")
}

/// In f32 and in this order, as effdet and zylo117 decode.
fn decode(anchor: AnchorBox, [ty, tx, th, tw]: [f32; 4]) -> InputBox {
    let AnchorBox { y1, x1, y2, x2 } = anchor;
    let (height, width) = (y2 - y1, x2 - x1);
    let (y, x) = (ty * height + (y1 + y2) / 2.0, tx * width + (x1 + x2) / 2.0);
    let (half_height, half_width) = (th.exp() * height / 2.0, tw.exp() * width / 2.0);
    InputBox { y1: y - half_height, x1: x - half_width, y2: y + half_height, x2: x + half_width }
}

/// A NaN stays one.
fn clipped(bounds: InputBox, placement: &Placement, clip: Clip) -> InputBox {
    let InputBox { y1, x1, y2, x2 } = bounds;
    match clip {
        Clip::Never => bounds,
        Clip::Picture => {
            let InputBox { y2: height, x2: width, .. } = placement.extent();
            InputBox {
                y1: y1.clamp(0.0, height),
                x1: x1.clamp(0.0, width),
                y2: y2.clamp(0.0, height),
                x2: x2.clamp(0.0, width),
            }
        }
        Clip::LastPixel => {
            let [height, width] = placement.input.map(|side| (side - 1) as f32);
            InputBox {
                y1: y1.clamp(0.0, f32::INFINITY),
                x1: x1.clamp(0.0, f32::INFINITY),
                y2: y2.clamp(f32::NEG_INFINITY, height),
                x2: x2.clamp(f32::NEG_INFINITY, width),
            }
        }
    }
}
