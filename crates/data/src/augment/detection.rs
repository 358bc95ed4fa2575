//! A detector's pictures.

use effigy_vision::{InputBox, Picture, PixelBox};
use serde::{Deserialize, Serialize};

use super::Region;
use crate::Random;

/// How a detector's pictures are varied: by default as the official code does, by their scale, and a mirror for
/// every other one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectionRecipe {
    /// Least and largest scale, where 1 is the scale at which the picture just fits into the input. What a larger
    /// one leaves outside is cut off at random.
    pub scale: [f64; 2],
    /// Probability of a picture to be mirrored.
    pub mirror: f64,
    /// Probability of a picture to be put together with three others.
    pub mosaic: f64,
    /// Least share of its area that a box keeps when the picture is cut; boxes that keep less are dropped.
    pub keep: f32,
    /// Least width and height, in pixels of the input, of a box that is not dropped.
    pub smallest: f32,
}

impl Default for DetectionRecipe {
    fn default() -> Self {
        Self { scale: [0.1, 2.0], mirror: 0.5, mosaic: 0.0, keep: 0.1, smallest: 1.0 }
    }
}

/// A part of a picture and its place in a detector's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// The picture, as an index of the data set.
    pub sample: usize,
    /// The part of it.
    pub region: Region,
    /// Whether the part is mirrored.
    pub mirrored: bool,
    /// Row and column of the input where it begins.
    pub at: [usize; 2],
    /// Height and width that it is resized to.
    pub size: [usize; 2],
}

impl DetectionRecipe {
    /// The parts that make an input of `input` (height, width) pixels of the picture `sample`, and of others
    /// below `others`. `size_of` tells a picture's height and width.
    #[must_use]
    pub fn arrange(
        &self,
        sample: usize,
        others: usize,
        size_of: impl Fn(usize) -> [usize; 2],
        input: [usize; 2],
        random: &mut Random,
    ) -> Vec<Part> {
        if random.happens(self.mosaic) {
            return self.mosaic(sample, others, size_of, input, random);
        }
        let size = size_of(sample);
        let scale = fitting(size, input) * random.uniform(self.scale);
        let spans = [0, 1].map(|side| Span::random(size[side], input[side], scale, random));
        vec![self.part(sample, [0, 0], spans, random)]
    }

    /// Four pictures around a point in the input's middle, each filling its quarter: YOLOv4's (Bochkovskiy, Wang
    /// and Liao 2020, arXiv 2004.10934).
    fn mosaic(
        &self,
        sample: usize,
        others: usize,
        size_of: impl Fn(usize) -> [usize; 2],
        input: [usize; 2],
        random: &mut Random,
    ) -> Vec<Part> {
        let middle = input.map(|side| (side as f64 * random.uniform([0.25, 0.75])) as usize);
        let middle = [0, 1].map(|side| middle[side].clamp(1, (input[side] - 1).max(1)));
        let mut parts = Vec::with_capacity(4);
        for quarter in 0..4 {
            let sample = if quarter == 0 { sample } else { random.below(others) };
            let (mut at, mut room) = ([0, 0], [0, 0]);
            for (side, far) in [quarter / 2 == 1, quarter % 2 == 1].into_iter().enumerate() {
                (at[side], room[side]) =
                    if far { (middle[side], input[side] - middle[side]) } else { (0, middle[side]) };
            }
            if room.contains(&0) {
                continue;
            }
            let size = size_of(sample);
            let drawn = fitting(size, input) * random.uniform(self.scale);
            let covering = (room[0] as f64 / size[0] as f64).max(room[1] as f64 / size[1] as f64);
            let spans = [0, 1].map(|side| Span::random(size[side], room[side], drawn.max(covering), random));
            parts.push(self.part(sample, at, spans, random));
        }
        parts
    }

    fn part(&self, sample: usize, at: [usize; 2], [down, across]: [Span; 2], random: &mut Random) -> Part {
        Part {
            sample,
            region: Region { left: across.first, top: down.first, width: across.pixels, height: down.pixels },
            mirrored: random.happens(self.mirror),
            at,
            size: [down.resized, across.resized],
        }
    }

    /// Colours changed at random.
    #[must_use]
    pub fn recolour(&self, picture: Picture, _random: &mut Random) -> Picture {
        picture
    }
}

/// The scale at which a picture just fits into the input.
fn fitting(size: [usize; 2], input: [usize; 2]) -> f64 {
    (input[0] as f64 / size[0] as f64).min(input[1] as f64 / size[1] as f64)
}

/// What is kept of a side, and how long it becomes.
#[derive(Clone, Copy)]
struct Span {
    first: usize,
    pixels: usize,
    resized: usize,
}

impl Span {
    /// A side of `pixels`, scaled; what has no `room` is cut off at random.
    fn random(pixels: usize, room: usize, scale: f64, random: &mut Random) -> Self {
        let place = random.unit();
        let scaled = ((pixels as f64 * scale).round() as usize).max(1);
        if scaled <= room {
            return Self { first: 0, pixels, resized: scaled };
        }
        // Whole pixels are cut off, so that the part has edges of its own: boxes are scaled by what that gives.
        let kept = ((room as f64 / scale).round() as usize).clamp(1, pixels);
        let first = ((pixels - kept) as f64 * place).round() as usize;
        Self { first, pixels: kept, resized: room }
    }
}

impl Part {
    /// The part cut out of its picture.
    ///
    /// # Panics
    /// Where the picture is smaller than was told.
    #[must_use]
    pub fn cut(&self, picture: Picture) -> Picture {
        let Region { left, top, width, height } = self.region;
        let whole = [left, top, width, height] == [0, 0, picture.width(), picture.height()];
        let cut = if whole { picture } else { self.region.of(&picture) };
        if self.mirrored { cut.mirrored() } else { cut }
    }

    /// Where a box of the picture is in the input, cut off at the part's edges; `None` where that leaves less
    /// than `keep` of its area, or less than `smallest` pixels of a side.
    #[must_use]
    pub fn place(&self, bounds: PixelBox, keep: f32, smallest: f32) -> Option<InputBox> {
        let Region { left, top, width, height } = self.region;
        let (x, y) = (left as f32, top as f32);
        let edges = PixelBox { x1: x, y1: y, x2: x + width as f32, y2: y + height as f32 };
        let cut = bounds.intersection(edges);
        if bounds.is_degenerate() || cut.is_degenerate() || cut.area() < keep * bounds.area() {
            return None;
        }
        let (mut x1, mut x2) = (cut.x1 - x, cut.x2 - x);
        if self.mirrored {
            (x1, x2) = (width as f32 - x2, width as f32 - x1);
        }
        let across = |edge: f32| self.at[1] as f32 + edge * self.size[1] as f32 / width as f32;
        let down = |edge: f32| self.at[0] as f32 + (edge - y) * self.size[0] as f32 / height as f32;
        let placed = InputBox { y1: down(cut.y1), x1: across(x1), y2: down(cut.y2), x2: across(x2) };
        (placed.y2 - placed.y1 >= smallest && placed.x2 - placed.x1 >= smallest).then_some(placed)
    }
}
