//! Pixels that can be written, and rectangles of them.

use crate::{Picture, PixelBox};

/// Whole pixels: columns `x1..x2`, rows `y1..y2`, never empty. It may reach beyond its canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rectangle {
    pub(super) x1: i64,
    pub(super) y1: i64,
    pub(super) x2: i64,
    pub(super) y2: i64,
}

impl Rectangle {
    /// The nearest pixels to a box inside a picture of this size, at least one each way.
    pub(super) fn around(bounds: PixelBox, width: usize, height: usize) -> Self {
        let side = |low: f32, high: f32, length: usize| {
            let low = (low.round() as i64).min(length as i64 - 1);
            (low, (high.round() as i64).max(low + 1))
        };
        let (x1, x2) = side(bounds.x1, bounds.x2, width);
        let (y1, y2) = side(bounds.y1, bounds.y2, height);
        Self { x1, y1, x2, y2 }
    }

    pub(super) fn at(x1: i64, y1: i64, width: usize, height: usize) -> Self {
        Self { x1, y1, x2: x1 + width as i64, y2: y1 + height as i64 }
    }

    pub(super) fn grown(self, by: usize) -> Self {
        let by = by as i64;
        Self { x1: self.x1 - by, y1: self.y1 - by, x2: self.x2 + by, y2: self.y2 + by }
    }

    /// Nothing where nothing would be left.
    pub(super) fn shrunk(self, by: usize) -> Option<Self> {
        let by = by as i64;
        let inside = Self { x1: self.x1 + by, y1: self.y1 + by, x2: self.x2 - by, y2: self.y2 - by };
        (inside.x1 < inside.x2 && inside.y1 < inside.y2).then_some(inside)
    }

    /// Pixels that two rectangles share.
    pub(super) fn shared(self, other: Self) -> i64 {
        let width = self.x2.min(other.x2) - self.x1.max(other.x1);
        let height = self.y2.min(other.y2) - self.y1.max(other.y1);
        width.max(0) * height.max(0)
    }
}

/// A picture that is being drawn into; what is drawn beyond its edges is lost.
pub(super) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    pub(super) fn new(picture: Picture) -> Self {
        Self { width: picture.width(), height: picture.height(), pixels: picture.into_pixels() }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn height(&self) -> usize {
        self.height
    }

    pub(super) fn into_picture(self) -> Picture {
        Picture::new(self.width, self.height, self.pixels).expect("the bytes of a picture")
    }

    pub(super) fn fill(&mut self, area: Rectangle, colour: [u8; 3]) {
        self.each(area, |pixel| *pixel = colour);
    }

    /// Takes away a share (0..=1) of the light.
    pub(super) fn darken(&mut self, area: Rectangle, share: f32) {
        let keep = ((1.0 - share) * 256.0) as u32;
        self.each(area, |pixel| *pixel = pixel.map(|channel| ((u32::from(channel) * keep) >> 8) as u8));
    }

    /// Draws on the four sides of a frame, `line` pixels inwards; no pixel twice.
    pub(super) fn outline(
        &mut self,
        frame: Rectangle,
        line: usize,
        mut draw: impl FnMut(&mut Self, Rectangle),
    ) {
        match frame.shrunk(line) {
            None => draw(self, frame),
            Some(inside) => {
                draw(self, Rectangle { y2: inside.y1, ..frame });
                draw(self, Rectangle { y1: inside.y2, ..frame });
                draw(self, Rectangle { x2: inside.x1, y1: inside.y1, y2: inside.y2, ..frame });
                draw(self, Rectangle { x1: inside.x2, y1: inside.y1, y2: inside.y2, ..frame });
            }
        }
    }

    /// Lays a colour over a pixel, which it hides to the degree `cover`, 0..=1.
    pub(super) fn blend(&mut self, x: i64, y: i64, colour: [u8; 3], cover: f32) {
        let cover = (cover.clamp(0.0, 1.0) * 256.0) as u32;
        self.each(Rectangle::at(x, y, 1, 1), |pixel| {
            for (below, above) in pixel.iter_mut().zip(colour) {
                *below = ((u32::from(*below) * (256 - cover) + u32::from(above) * cover) >> 8) as u8;
            }
        });
    }

    fn each(&mut self, area: Rectangle, mut change: impl FnMut(&mut [u8; 3])) {
        let within = |edge: i64, length: usize| edge.clamp(0, length as i64) as usize;
        let columns = within(area.x1, self.width)..within(area.x2, self.width);
        let (pixels, _) = self.pixels.as_chunks_mut::<3>();
        for y in within(area.y1, self.height)..within(area.y2, self.height) {
            pixels[y * self.width..][columns.clone()].iter_mut().for_each(&mut change);
        }
    }
}
