//! A detector's pictures.

use effigy_vision::{InputBox, Picture, PixelBox};
use serde::{Deserialize, Serialize};

use super::bounds::{Recipe, RecipeError, not_negative, range, share};
use super::{Jitter, Region};
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
    /// How colours are changed.
    pub jitter: Jitter,
}

impl Default for DetectionRecipe {
    fn default() -> Self {
        Self {
            scale: [0.1, 2.0],
            mirror: 0.5,
            mosaic: 0.0,
            keep: 0.1,
            smallest: 1.0,
            jitter: Jitter::default(),
        }
    }
}

impl Recipe for DetectionRecipe {
    fn check(&self) -> Result<(), RecipeError> {
        range("scale", self.scale)?;
        share("mirror", self.mirror)?;
        share("mosaic", self.mosaic)?;
        share("keep", self.keep.into())?;
        not_negative("smallest", self.smallest.into())?;
        self.jitter.check()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Purpose;

    const INPUT: [usize; 2] = [96, 128];

    fn arranged(recipe: &DetectionRecipe, size: [usize; 2], sample: u64) -> Vec<Part> {
        recipe.arrange(3, 10, |_| size, INPUT, &mut Random::new(Purpose::Picture, [1, 0, sample]))
    }

    #[test]
    fn parts_lie_inside_their_picture_and_the_input() {
        let recipe = DetectionRecipe { mosaic: 0.5, ..DetectionRecipe::default() };
        let mut mosaics = 0;
        for sample in 0..500 {
            let size = [[60, 80], [480, 640], [1, 1], [700, 5]][sample as usize % 4];
            let parts = arranged(&recipe, size, sample);
            mosaics += usize::from(parts.len() == 4);
            let mut covered = 0;
            for Part { sample, region, at, size: to, .. } in &parts {
                assert!(region.left + region.width <= size[1] && region.top + region.height <= size[0]);
                assert!(region.width > 0 && region.height > 0 && to[0] > 0 && to[1] > 0);
                assert!(at[0] + to[0] <= INPUT[0] && at[1] + to[1] <= INPUT[1], "{parts:?}");
                assert!(*sample < 10);
                covered += to[0] * to[1];
            }
            assert_eq!(parts[0].sample, 3);
            if parts.len() == 4 {
                assert_eq!(covered, INPUT[0] * INPUT[1], "a mosaic leaves nothing empty");
            }
        }
        assert!((200..300).contains(&mosaics), "{mosaics}");
    }

    #[test]
    fn scale_one_without_a_mirror_is_the_letterbox() {
        let recipe = DetectionRecipe { scale: [1.0, 1.0], mirror: 0.0, ..DetectionRecipe::default() };
        let [part] = arranged(&recipe, [480, 320], 0)[..] else { panic!("one") };
        assert_eq!((part.at, part.size), ([0, 0], [96, 64]));
        let bounds = PixelBox { x1: 10.0, y1: 20.0, x2: 110.0, y2: 220.0 };
        let placed = part.place(bounds, 0.1, 1.0).unwrap();
        assert_eq!(placed, InputBox { y1: 4.0, x1: 2.0, y2: 44.0, x2: 22.0 });
    }

    #[test]
    fn boxes_follow_their_part() {
        let region = Region { left: 100, top: 50, width: 40, height: 20 };
        let part = Part { sample: 0, region, mirrored: false, at: [10, 5], size: [40, 20] };
        let bounds = PixelBox { x1: 110.0, y1: 55.0, x2: 120.0, y2: 60.0 };
        let placed = |part: Part, bounds| part.place(bounds, 0.5, 1.0);
        assert_eq!(placed(part, bounds), Some(InputBox { y1: 20.0, x1: 10.0, y2: 30.0, x2: 15.0 }));
        let mirrored = Part { mirrored: true, ..part };
        assert_eq!(placed(mirrored, bounds), Some(InputBox { y1: 20.0, x1: 15.0, y2: 30.0, x2: 20.0 }));
        // Half of it is cut off: just kept. A little more: dropped. And too thin, or outside altogether.
        let half = PixelBox { x1: 90.0, x2: 110.0, ..bounds };
        assert_eq!(placed(part, half), Some(InputBox { y1: 20.0, x1: 5.0, y2: 30.0, x2: 10.0 }));
        assert_eq!(placed(part, PixelBox { x1: 89.0, ..half }), None);
        assert_eq!(placed(part, PixelBox { x1: 110.0, x2: 111.9, ..bounds }), None);
        assert_eq!(placed(part, PixelBox { x1: 10.0, x2: 20.0, ..bounds }), None);
        assert_eq!(placed(part, PixelBox::default()), None);
    }

    /// The pixels of a part are where its boxes say: a white square stays under its box.
    #[test]
    fn pixels_and_boxes_move_alike() {
        let [width, height] = [80, 60];
        let mut picture = Picture::new(width, height, vec![0; width * height * 3]).unwrap();
        for y in 20..30 {
            picture.pixels_mut()[(y * width + 40) * 3..(y * width + 60) * 3].fill(255);
        }
        let bounds = PixelBox { x1: 40.0, y1: 20.0, x2: 60.0, y2: 30.0 };
        let recipe = DetectionRecipe { scale: [1.0, 2.0], ..DetectionRecipe::default() };
        let mut seen = 0;
        for sample in 0..100 {
            let [part] = arranged(&recipe, [height, width], sample)[..] else { panic!("one") };
            let Some(placed) = part.place(bounds, 1.0, 1.0) else { continue };
            let cut = effigy_vision::resize(
                &part.cut(picture.clone()),
                part.size[1],
                part.size[0],
                effigy_arch::Interpolation::Bilinear,
            );
            let pixel = |y: f32, x: f32| cut.row(y as usize)[x as usize][0];
            let (y, x) = ((placed.y1 + placed.y2) / 2.0, (placed.x1 + placed.x2) / 2.0);
            assert_eq!(pixel(y, x), 255);
            for (y, x) in [(placed.y1, x), (placed.y2, x), (y, placed.x1), (y, placed.x2)] {
                // On either side of each edge.
                let away = [y + (y - (placed.y1 + placed.y2) / 2.0).signum() * 2.0, x];
                let away = if x == (placed.x1 + placed.x2) / 2.0 {
                    away
                } else {
                    [y, x + (x - (placed.x1 + placed.x2) / 2.0).signum() * 2.0]
                };
                let inside = away[0] >= 0.0
                    && away[1] >= 0.0
                    && away[0] < part.size[0] as f32
                    && away[1] < part.size[1] as f32;
                if inside {
                    assert!(pixel(away[0], away[1]) < 30, "{part:?} {placed:?} {away:?}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 100, "{seen}");
    }
}
