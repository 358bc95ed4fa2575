//! Colours changed a little.

use effigy_vision::Picture;
use serde::{Deserialize, Serialize};

use super::bounds::{Recipe, RecipeError, share};
use super::colour::{brightness, contrast, saturation};
use crate::Random;

/// By how much colours are changed: each factor is drawn from `1 − amount` to `1 + amount`, in a drawn order, as
/// torchvision's `ColorJitter` does. Zeros change nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jitter {
    /// Of the brightness, 0 to 1.
    pub brightness: f64,
    /// Of the contrast, 0 to 1.
    pub contrast: f64,
    /// Of the saturation, 0 to 1.
    pub saturation: f64,
}

impl Recipe for Jitter {
    fn check(&self) -> Result<(), RecipeError> {
        share("jitter.brightness", self.brightness)?;
        share("jitter.contrast", self.contrast)?;
        share("jitter.saturation", self.saturation)
    }
}

impl Jitter {
    /// A picture with its colours changed.
    #[must_use]
    pub fn apply(&self, picture: Picture, random: &mut Random) -> Picture {
        if *self == Self::default() {
            return picture;
        }
        let mut order: [usize; 3] = [0, 1, 2];
        order.swap(2, random.below(3));
        order.swap(1, random.below(2));
        let amounts = [self.brightness, self.contrast, self.saturation];
        let factors = amounts.map(|amount| random.uniform([(1.0 - amount).max(0.0), 1.0 + amount]) as f32);
        order.into_iter().fold(picture, |picture, kind| match kind {
            _ if amounts[kind] == 0.0 => picture,
            0 => brightness(picture, factors[0]),
            1 => contrast(picture, factors[1]),
            _ => saturation(picture, factors[2]),
        })
    }
}
