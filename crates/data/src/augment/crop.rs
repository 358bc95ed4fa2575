//! Parts of pictures.

use effigy_vision::Picture;

use crate::Random;

/// Tries to find a crop of the drawn area and shape, as in TensorFlow's `sample_distorted_bounding_box` of the
/// official EfficientNet code (google/automl `efficientnetv2/preprocessing.py`) and in torchvision.
const TRIES: usize = 10;

/// A part of a picture, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Column of its left pixels.
    pub left: usize,
    /// Row of its upper pixels.
    pub top: usize,
    /// Width in pixels, at least 1.
    pub width: usize,
    /// Height in pixels, at least 1.
    pub height: usize,
}

impl Region {
    /// A part of a picture of `width` × `height` pixels: its share of the area and its ratio of width to height
    /// are drawn, the ratio by its logarithm; then its place. Where nothing of the kind fits, it is the largest
    /// part in the middle whose ratio is allowed.
    ///
    /// Inception's crop (Szegedy et al. 2014, arXiv 1409.4842), as torchvision's `RandomResizedCrop` draws it.
    #[must_use]
    pub fn random([width, height]: [usize; 2], area: [f64; 2], ratio: [f64; 2], random: &mut Random) -> Self {
        let whole = (width * height) as f64;
        for _ in 0..TRIES {
            let target = whole * random.uniform(area);
            let ratio = random.uniform(ratio.map(f64::ln)).exp();
            let sides = [(target * ratio).sqrt(), (target / ratio).sqrt()].map(|side| side.round() as usize);
            let [part_width, part_height] = sides;
            if (1..=width).contains(&part_width) && (1..=height).contains(&part_height) {
                let left = random.below(width - part_width + 1);
                let top = random.below(height - part_height + 1);
                return Self { left, top, width: part_width, height: part_height };
            }
        }
        let own = width as f64 / height as f64;
        let shape = own.clamp(ratio[0].min(ratio[1]), ratio[1].max(ratio[0]));
        let part_width = ((height as f64 * shape).round() as usize).clamp(1, width);
        let part_height = ((width as f64 / shape).round() as usize).clamp(1, height);
        Self {
            left: (width - part_width) / 2,
            top: (height - part_height) / 2,
            width: part_width,
            height: part_height,
        }
    }

    /// This part of a picture.
    ///
    /// # Panics
    /// Where it reaches outside.
    #[must_use]
    pub fn of(&self, picture: &Picture) -> Picture {
        picture.crop(self.left, self.top, self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Purpose;

    #[test]
    fn crops_keep_their_bounds() {
        let (mut least, mut most): (f64, f64) = (1.0, 0.0);
        for sample in 0..2000 {
            let random = &mut Random::new(Purpose::Picture, [1, 2, sample]);
            let [width, height] = [200, 150];
            let region = Region::random([width, height], [0.08, 1.0], [0.75, 4.0 / 3.0], random);
            assert!(region.left + region.width <= width && region.top + region.height <= height);
            let ratio = region.width as f64 / region.height as f64;
            assert!((0.73..1.37).contains(&ratio), "{region:?}");
            let area = (region.width * region.height) as f64 / 30_000.0;
            assert!((0.07..=1.0).contains(&area), "{region:?}");
            (least, most) = (least.min(area), most.max(area));
        }
        assert!(least < 0.1 && most > 0.95, "{least} {most}");
    }

    #[test]
    fn a_thin_picture_has_a_crop() {
        let random = &mut Random::new(Purpose::Picture, [0, 0, 0]);
        let region = Region::random([1000, 2], [0.9, 1.0], [0.75, 4.0 / 3.0], random);
        assert_eq!(region, Region { left: 498, top: 0, width: 3, height: 2 });
        let region = Region::random([1, 1], [0.5, 1.0], [1.0, 1.0], random);
        assert_eq!(region, Region { left: 0, top: 0, width: 1, height: 1 });
    }
}
