//! Boxes in the pixels of a picture. A type for each way of writing one, so that none is taken for another.

/// A box by its corners, in pixels of the original picture.
///
/// Coordinates are continuous: the picture spans 0 to its width and 0 to its height, and the pixel of column
/// `x` spans `x` to `x + 1`. `x1 < x2` and `y1 < y2` unless the box is [degenerate](Self::is_degenerate); a
/// box may reach outside its picture until it is [clipped](Self::clip).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PixelBox {
    /// Left edge.
    pub x1: f32,
    /// Upper edge.
    pub y1: f32,
    /// Right edge.
    pub x2: f32,
    /// Lower edge.
    pub y2: f32,
}

impl PixelBox {
    /// The box of corners given vertical first, as TensorFlow's detectors give them.
    pub fn from_yxyx([y1, x1, y2, x2]: [f32; 4]) -> Self {
        Self { x1, y1, x2, y2 }
    }

    /// The corners vertical first, upper left before lower right.
    pub fn to_yxyx(self) -> [f32; 4] {
        [self.y1, self.x1, self.y2, self.x2]
    }

    /// Width in pixels; not positive where the box is degenerate.
    pub fn width(self) -> f32 {
        self.x2 - self.x1
    }

    /// Height in pixels; not positive where the box is degenerate.
    pub fn height(self) -> f32 {
        self.y2 - self.y1
    }

    /// Area in square pixels; 0 where the box is degenerate.
    pub fn area(self) -> f32 {
        if self.is_degenerate() { 0.0 } else { self.width() * self.height() }
    }

    /// Whether the box encloses nothing: no positive width or height, or a coordinate that is no finite
    /// number.
    pub fn is_degenerate(self) -> bool {
        let finite = [self.x1, self.y1, self.x2, self.y2].iter().all(|edge| edge.is_finite());
        !finite || self.x1 >= self.x2 || self.y1 >= self.y2
    }

    /// What two boxes share; degenerate where they share nothing.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self {
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
            x2: self.x2.min(other.x2),
            y2: self.y2.min(other.y2),
        }
    }

    /// Intersection over union, 0 to 1; 0 where either box is degenerate.
    pub fn iou(self, other: Self) -> f32 {
        if self.is_degenerate() || other.is_degenerate() {
            return 0.0;
        }
        let shared = self.intersection(other).area();
        shared / (self.area() + other.area() - shared)
    }

    /// The part of the box inside a picture of `width` by `height` pixels; degenerate where there is none.
    #[must_use]
    pub fn clip(self, width: usize, height: usize) -> Self {
        if self.is_degenerate() {
            // Not clipped, lest a NaN become the picture's edge.
            return self;
        }
        self.intersection(Self { x1: 0.0, y1: 0.0, x2: width as f32, y2: height as f32 })
    }
}

/// A box by its upper left corner and its size, in pixels of the original picture, as COCO's files hold it.
///
/// In f64, because a metric must judge the very numbers of the file: rounding an edge moves an overlap across
/// a threshold now and then.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CocoBox {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

impl CocoBox {
    /// The box of a file's four numbers: left, top, width, height.
    pub fn from_xywh([left, top, width, height]: [f64; 4]) -> Self {
        Self { left, top, width, height }
    }

    /// The four numbers as a file holds them: left, top, width, height.
    pub fn to_xywh(self) -> [f64; 4] {
        [self.left, self.top, self.width, self.height]
    }

    /// Area in square pixels.
    pub fn area(self) -> f64 {
        self.width * self.height
    }

    /// The area that two boxes share, in square pixels; 0 where they share none.
    pub fn shared_area(self, other: Self) -> f64 {
        let right = (self.left + self.width).min(other.left + other.width);
        let bottom = (self.top + self.height).min(other.top + other.height);
        let (width, height) = (right - self.left.max(other.left), bottom - self.top.max(other.top));
        if width > 0.0 && height > 0.0 { width * height } else { 0.0 }
    }
}

impl From<CocoBox> for PixelBox {
    fn from(coco: CocoBox) -> Self {
        let CocoBox { left, top, width, height } = coco;
        Self { x1: left as f32, y1: top as f32, x2: (left + width) as f32, y2: (top + height) as f32 }
    }
}

impl From<PixelBox> for CocoBox {
    fn from(corners: PixelBox) -> Self {
        let [x1, y1, x2, y2] = [corners.x1, corners.y1, corners.x2, corners.y2].map(f64::from);
        Self { left: x1, top: y1, width: x2 - x1, height: y2 - y1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: PixelBox = PixelBox { x1: 0.0, y1: 0.0, x2: 1.0, y2: 1.0 };
    const WIDE: PixelBox = PixelBox { x1: 10.0, y1: 20.0, x2: 40.0, y2: 30.0 };

    #[test]
    fn every_way_of_writing_a_box_leads_back() {
        assert_eq!(WIDE.to_yxyx(), [20.0, 10.0, 30.0, 40.0]);
        assert_eq!(PixelBox::from_yxyx(WIDE.to_yxyx()), WIDE);
        assert_eq!(CocoBox::from(WIDE).to_xywh(), [10.0, 20.0, 30.0, 10.0]);
        assert_eq!(PixelBox::from(CocoBox::from_xywh([10.0, 20.0, 30.0, 10.0])), WIDE);
    }

    #[test]
    fn overlaps() {
        let right = PixelBox { x1: 20.0, x2: 50.0, ..WIDE };
        assert_eq!(WIDE.iou(WIDE), 1.0);
        assert_eq!(WIDE.iou(right), 0.5);
        assert_eq!(right.iou(WIDE), 0.5);
        assert_eq!(WIDE.iou(UNIT), 0.0);
        assert_eq!(CocoBox::from(WIDE).shared_area(right.into()), 200.0);
        assert_eq!(CocoBox::from(WIDE).shared_area(UNIT.into()), 0.0);
        // Neighbours that touch share an edge, which has no area.
        let below = PixelBox { y1: 30.0, y2: 40.0, ..WIDE };
        assert_eq!((WIDE.iou(below), CocoBox::from(WIDE).shared_area(below.into())), (0.0, 0.0));
    }

    #[test]
    fn degenerate_boxes_overlap_nothing() {
        let flat = PixelBox { y2: 20.0, ..WIDE };
        let inside_out = PixelBox { x1: 40.0, x2: 10.0, ..WIDE };
        let unknown = PixelBox { x1: f32::NAN, ..WIDE };
        let endless = PixelBox { x2: f32::INFINITY, ..WIDE };
        for degenerate in [flat, inside_out, unknown, endless, PixelBox::default()] {
            assert!(degenerate.is_degenerate(), "{degenerate:?}");
            assert!(degenerate.clip(100, 100).is_degenerate(), "{degenerate:?}");
            assert_eq!((degenerate.area(), degenerate.iou(WIDE), WIDE.iou(degenerate)), (0.0, 0.0, 0.0));
        }
    }

    #[test]
    fn clips_to_the_picture() {
        assert_eq!(WIDE.clip(100, 100), WIDE);
        assert_eq!(WIDE.clip(25, 22), PixelBox { x2: 25.0, y2: 22.0, ..WIDE });
        assert!(WIDE.clip(10, 100).is_degenerate());
        assert!(PixelBox { x1: -5.0, x2: -1.0, ..WIDE }.clip(100, 100).is_degenerate());
    }
}
