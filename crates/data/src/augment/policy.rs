//! Which changes a picture goes through: AutoAugment and RandAugment, as google/automl has them for EfficientNet
//! (`efficientnetv2/autoaugment.py`).
//!
//! There, distances are pixels of pictures of 224; here they are that share of the side, so that smaller inputs
//! are not moved out of sight.

use effigy_vision::Picture;
use serde::{Deserialize, Serialize};

use super::bounds::{Recipe, RecipeError, not_negative};
use super::{colour, geometry};
use crate::Random;

/// Levels that a magnitude counts; greater ones go on beyond.
const LEVELS: f64 = 10.0;
/// Side of the pictures for which distances were chosen.
const SIDE: f64 = 224.0;

/// A sequence of changes, drawn for every picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Policy {
    /// No changes.
    #[default]
    None,
    /// One of the 25 pairs of changes that were learnt on ImageNet (Cubuk et al. 2018, arXiv 1805.09501).
    AutoAugment,
    /// So many changes, all of one magnitude, drawn from all kinds (Cubuk et al. 2019, arXiv 1909.13719).
    RandAugment {
        /// How many.
        operations: usize,
        /// How strong, from 0; 10 is the strongest of AutoAugment.
        magnitude: f64,
    },
}

impl Recipe for Policy {
    fn check(&self) -> Result<(), RecipeError> {
        match *self {
            Self::RandAugment { magnitude, .. } => not_negative("policy.randaugment.magnitude", magnitude),
            Self::None | Self::AutoAugment => Ok(()),
        }
    }
}

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// [`colour::autocontrast`].
    AutoContrast,
    /// [`colour::equalize`].
    Equalize,
    /// [`colour::invert`].
    Invert,
    /// [`geometry::rotate`] by up to 30°, either way.
    Rotate,
    /// [`colour::posterize`] to 4 bits at the greatest level, to fewer at smaller ones: stronger, as it was
    /// learnt; but not to none, which would be black.
    Posterize,
    /// [`colour::solarize`] from 256 on at the greatest level, which changes nothing; stronger at smaller ones.
    Solarize,
    /// [`colour::solarize_add`] of up to 110.
    SolarizeAdd,
    /// [`colour::saturation`], .1 to 1.9.
    Color,
    /// [`colour::contrast`], .1 to 1.9.
    Contrast,
    /// [`colour::brightness`], .1 to 1.9.
    Brightness,
    /// [`colour::sharpness`], .1 to 1.9.
    Sharpness,
    /// [`geometry::shear_x`] by up to .3, either way.
    ShearX,
    /// [`geometry::shear_y`] by up to .3, either way.
    ShearY,
    /// [`geometry::translate_x`] by up to 100 pixels of 224, either way.
    TranslateX,
    /// [`geometry::translate_y`] by up to 100 pixels of 224, either way.
    TranslateY,
    /// [`geometry::cutout`] of up to 80 pixels of 224 a side.
    Cutout,
}

impl Operation {
    /// Those that RandAugment draws from.
    pub const ALL: [Self; 16] = [
        Self::AutoContrast,
        Self::Equalize,
        Self::Invert,
        Self::Rotate,
        Self::Posterize,
        Self::Solarize,
        Self::Color,
        Self::Contrast,
        Self::Brightness,
        Self::Sharpness,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
        Self::Cutout,
        Self::SolarizeAdd,
    ];

    /// Makes the change at a level of 0 to 10, or beyond.
    #[must_use]
    pub fn apply(self, picture: Picture, level: f64, random: &mut Random) -> Picture {
        let share = level / LEVELS;
        // All streams draw alike, whatever the operation.
        let (negative, place) = (random.happens(0.5), [random.unit(), random.unit()]);
        let either = |amount: f64| if negative { -amount } else { amount };
        let [width, height] = [picture.width(), picture.height()];
        let distance = |side: usize, pixels: f64| share * pixels / SIDE * side as f64;
        let factor = (share * 1.8 + 0.1) as f32;
        match self {
            Self::AutoContrast => colour::autocontrast(picture),
            Self::Equalize => colour::equalize(picture),
            Self::Invert => colour::invert(picture),
            Self::Rotate => geometry::rotate(&picture, either(share * 30.0)),
            Self::Posterize => colour::posterize(picture, ((share * 4.0) as u8).max(1)),
            Self::Solarize => colour::solarize(picture, (share * 256.0) as u16),
            Self::SolarizeAdd => colour::solarize_add(picture, (share * 110.0) as u8),
            Self::Color => colour::saturation(picture, factor),
            Self::Contrast => colour::contrast(picture, factor),
            Self::Brightness => colour::brightness(picture, factor),
            Self::Sharpness => colour::sharpness(&picture, factor),
            Self::ShearX => geometry::shear_x(&picture, either(share * 0.3)),
            Self::ShearY => geometry::shear_y(&picture, either(share * 0.3)),
            Self::TranslateX => geometry::translate_x(&picture, either(distance(width, 100.0))),
            Self::TranslateY => geometry::translate_y(&picture, either(distance(height, 100.0))),
            Self::Cutout => {
                let [x, y] = [place[0] * width as f64, place[1] * height as f64];
                let reach = distance(width.min(height), 40.0);
                geometry::cutout(picture, [x as usize, y as usize], reach as usize)
            }
        }
    }
}

impl Policy {
    /// A picture gone through what is drawn for it.
    #[must_use]
    pub fn apply(&self, picture: Picture, random: &mut Random) -> Picture {
        match *self {
            Self::None => picture,
            Self::AutoAugment => {
                let pair = IMAGENET[random.below(IMAGENET.len())];
                pair.into_iter().fold(picture, |picture, (operation, probability, level)| {
                    if random.happens(probability) {
                        operation.apply(picture, level, random)
                    } else {
                        picture
                    }
                })
            }
            Self::RandAugment { operations, magnitude } => (0..operations).fold(picture, |picture, _| {
                let operation = Operation::ALL[random.below(Operation::ALL.len())];
                let probability = random.uniform([0.2, 0.8]);
                if random.happens(probability) {
                    operation.apply(picture, magnitude, random)
                } else {
                    picture
                }
            }),
        }
    }
}

use Operation::{
    AutoContrast, Color, Equalize, Invert, Posterize, Rotate, ShearX, ShearY, Solarize, SolarizeAdd,
    TranslateY,
};

/// ImageNet's policy `v0`: pairs of operations, each with its probability and level.
const IMAGENET: [[(Operation, f64, f64); 2]; 25] = [
    [(Equalize, 0.8, 1.0), (ShearY, 0.8, 4.0)],
    [(Color, 0.4, 9.0), (Equalize, 0.6, 3.0)],
    [(Color, 0.4, 1.0), (Rotate, 0.6, 8.0)],
    [(Solarize, 0.8, 3.0), (Equalize, 0.4, 7.0)],
    [(Solarize, 0.4, 2.0), (Solarize, 0.6, 2.0)],
    [(Color, 0.2, 0.0), (Equalize, 0.8, 8.0)],
    [(Equalize, 0.4, 8.0), (SolarizeAdd, 0.8, 3.0)],
    [(ShearX, 0.2, 9.0), (Rotate, 0.6, 8.0)],
    [(Color, 0.6, 1.0), (Equalize, 1.0, 2.0)],
    [(Invert, 0.4, 9.0), (Rotate, 0.6, 0.0)],
    [(Equalize, 1.0, 9.0), (ShearY, 0.6, 3.0)],
    [(Color, 0.4, 7.0), (Equalize, 0.6, 0.0)],
    [(Posterize, 0.4, 6.0), (AutoContrast, 0.4, 7.0)],
    [(Solarize, 0.6, 8.0), (Color, 0.6, 9.0)],
    [(Solarize, 0.2, 4.0), (Rotate, 0.8, 9.0)],
    [(Rotate, 1.0, 7.0), (TranslateY, 0.8, 9.0)],
    [(ShearX, 0.0, 0.0), (Solarize, 0.8, 4.0)],
    [(ShearY, 0.8, 0.0), (Color, 0.6, 4.0)],
    [(Color, 1.0, 0.0), (Rotate, 0.6, 2.0)],
    [(Equalize, 0.8, 4.0), (Equalize, 0.0, 8.0)],
    [(Equalize, 1.0, 4.0), (AutoContrast, 0.6, 2.0)],
    [(ShearY, 0.4, 7.0), (SolarizeAdd, 0.6, 7.0)],
    [(Posterize, 0.8, 2.0), (Solarize, 0.6, 10.0)],
    [(Solarize, 0.6, 8.0), (Equalize, 0.6, 1.0)],
    [(Color, 0.8, 6.0), (Rotate, 0.4, 5.0)],
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Purpose;

    fn picture() -> Picture {
        Picture::new(20, 16, (0..20 * 16 * 3).map(|i| (i * 37 % 256) as u8).collect()).unwrap()
    }

    fn random(sample: u64) -> Random {
        Random::new(Purpose::Picture, [0, 0, sample])
    }

    #[test]
    fn a_policy_changes_most_pictures_and_always_alike() {
        let policies = [Policy::AutoAugment, Policy::RandAugment { operations: 2, magnitude: 9.0 }];
        for policy in policies {
            let vary = |sample| policy.apply(picture(), &mut random(sample));
            let changed = (0..200).filter(|&sample| vary(sample) != picture()).count();
            assert!((100..200).contains(&changed), "{policy:?}: {changed}");
            assert_eq!(vary(7), vary(7));
        }
        assert_eq!(Policy::None.apply(picture(), &mut random(0)), picture());
    }

    #[test]
    fn every_operation_takes_any_level_and_the_smallest_pictures() {
        for operation in Operation::ALL {
            for level in [0.0, 5.0, 10.0, 28.0, 60.0] {
                let same = |picture: Picture| {
                    let size = [picture.width(), picture.height()];
                    let varied = operation.apply(picture, level, &mut random(3));
                    assert_eq!([varied.width(), varied.height()], size, "{operation:?}");
                };
                same(picture());
                same(Picture::new(1, 1, vec![1, 2, 3]).unwrap());
                same(Picture::new(2, 9, vec![7; 54]).unwrap());
            }
        }
    }

    #[test]
    fn policies_are_read_from_files() {
        let read = |text: &str| serde_json::from_str::<Policy>(text).unwrap();
        assert_eq!(read("\"autoaugment\""), Policy::AutoAugment);
        assert_eq!(read("\"none\""), Policy::None);
        let text = r#"{"randaugment": {"operations": 2, "magnitude": 17}}"#;
        assert_eq!(read(text), Policy::RandAugment { operations: 2, magnitude: 17.0 });
    }
}
