//! A classifier's pictures.

use effigy_arch::Preprocessing;
use effigy_vision::{Picture, resize};
use serde::{Deserialize, Serialize};

use super::bounds::{Recipe, RecipeError, not_negative, range, share, shares};
use super::{Jitter, Policy, Region, cutmix, mixup};
use crate::Random;
use crate::loader::ClassificationBatch;

/// How a classifier's pictures are varied: by default a random crop, and a mirror for every other one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClassificationRecipe {
    /// Least and largest share of the picture's area in the crop, above 0 and up to 1.
    pub crop_area: [f64; 2],
    /// Least and largest ratio of the crop's width to its height.
    pub crop_ratio: [f64; 2],
    /// Probability of a picture to be mirrored.
    pub mirror: f64,
    /// How colours are changed.
    pub jitter: Jitter,
    /// Further changes.
    pub policy: Policy,
    /// Shape of the beta distribution that mixup's shares are drawn from; 0 for no mixup.
    pub mixup: f64,
    /// The same for CutMix. Where both are wanted, every other batch gets either.
    pub cutmix: f64,
}

impl Default for ClassificationRecipe {
    fn default() -> Self {
        Self {
            crop_area: [0.08, 1.0],
            crop_ratio: [3.0 / 4.0, 4.0 / 3.0],
            mirror: 0.5,
            jitter: Jitter::default(),
            policy: Policy::None,
            mixup: 0.0,
            cutmix: 0.0,
        }
    }
}

impl Recipe for ClassificationRecipe {
    fn check(&self) -> Result<(), RecipeError> {
        shares("crop_area", self.crop_area)?;
        range("crop_ratio", self.crop_ratio)?;
        share("mirror", self.mirror)?;
        self.jitter.check()?;
        self.policy.check()?;
        not_negative("mixup", self.mixup)?;
        not_negative("cutmix", self.cutmix)
    }
}

impl ClassificationRecipe {
    /// A picture as the network will see it, but for the normalisation: of the preprocessing's size.
    #[must_use]
    pub fn vary(&self, picture: &Picture, preprocessing: &Preprocessing, random: &mut Random) -> Picture {
        let size = [picture.width(), picture.height()];
        let part = Region::random(size, self.crop_area, self.crop_ratio, random).of(picture);
        let [height, width] = preprocessing.size;
        let resized = resize(&part, width, height, preprocessing.interpolation);
        let mirrored = if random.happens(self.mirror) { resized.mirrored() } else { resized };
        self.policy.apply(self.jitter.apply(mirrored, random), random)
    }

    /// Mixes the pictures of a batch with each other, and their targets.
    pub fn mix(&self, batch: &mut ClassificationBatch, random: &mut Random) {
        let cut = random.happens(match (self.mixup > 0.0, self.cutmix > 0.0) {
            (true, true) => 0.5,
            (false, true) => 1.0,
            _ => 0.0,
        });
        if cut {
            let share = random.beta(self.cutmix);
            cutmix(batch, share, random);
        } else if self.mixup > 0.0 {
            mixup(batch, random.beta(self.mixup) as f32);
        }
    }
}
