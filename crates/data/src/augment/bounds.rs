//! Within which bounds a recipe's values must lie.

/// A value of a recipe that nothing can be drawn by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be {wanted}")]
pub struct RecipeError {
    /// The field, such as `jitter.contrast`.
    pub field: &'static str,
    /// What it must be.
    pub wanted: &'static str,
}

/// How pictures are varied, by values that have bounds.
pub trait Recipe {
    /// Whether all values are within their bounds.
    ///
    /// # Errors
    /// [`RecipeError`]: the first field that is not.
    fn check(&self) -> Result<(), RecipeError>;
}

/// A probability, or a part of something.
pub(super) fn share(field: &'static str, value: f64) -> Result<(), RecipeError> {
    ensure(field, (0.0..=1.0).contains(&value), "from 0 to 1")
}

pub(super) fn not_negative(field: &'static str, value: f64) -> Result<(), RecipeError> {
    ensure(field, value >= 0.0 && value.is_finite(), "at least 0")
}

/// The least and the largest of what is drawn.
pub(super) fn range(field: &'static str, [least, most]: [f64; 2]) -> Result<(), RecipeError> {
    let holds = least > 0.0 && least <= most && most.is_finite();
    ensure(field, holds, "two numbers above 0, the smaller one first")
}

/// A [`range`] of shares.
pub(super) fn shares(field: &'static str, [least, most]: [f64; 2]) -> Result<(), RecipeError> {
    let holds = least > 0.0 && least <= most && most <= 1.0;
    ensure(field, holds, "two numbers above 0 and up to 1, the smaller one first")
}

fn ensure(field: &'static str, holds: bool, wanted: &'static str) -> Result<(), RecipeError> {
    if holds { Ok(()) } else { Err(RecipeError { field, wanted }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{ClassificationRecipe, DetectionRecipe, Jitter, Policy};

    #[test]
    fn a_classifiers_values_have_bounds() {
        type Change = fn(&mut ClassificationRecipe);
        let good: [Change; 4] = [
            |_| {},
            |r| r.crop_area = [1.0, 1.0],
            |r| (r.mirror, r.mixup, r.cutmix) = (1.0, 8.0, 0.0),
            |r| r.policy = Policy::RandAugment { operations: 0, magnitude: 17.0 },
        ];
        let bad: [(&str, Change); 12] = [
            ("crop_area", |r| r.crop_area = [0.0, 1.0]),
            ("crop_area", |r| r.crop_area = [0.5, 0.4]),
            ("crop_area", |r| r.crop_area = [0.5, 1.1]),
            ("crop_area", |r| r.crop_area = [f64::NAN, 1.0]),
            ("crop_ratio", |r| r.crop_ratio = [-1.0, 1.0]),
            ("crop_ratio", |r| r.crop_ratio = [1.0, f64::INFINITY]),
            ("mirror", |r| r.mirror = 1.5),
            ("mixup", |r| r.mixup = -1.0),
            ("cutmix", |r| r.cutmix = f64::NAN),
            ("jitter.contrast", |r| r.jitter = Jitter { contrast: 2.0, ..Jitter::default() }),
            ("jitter.saturation", |r| r.jitter = Jitter { saturation: -0.1, ..Jitter::default() }),
            ("policy.randaugment.magnitude", |r| {
                r.policy = Policy::RandAugment { operations: 2, magnitude: -9.0 };
            }),
        ];
        let check = |change: Change| {
            let mut recipe = ClassificationRecipe::default();
            change(&mut recipe);
            recipe.check().map_err(|error| error.field)
        };
        assert!(good.into_iter().all(|change| check(change).is_ok()));
        for (field, change) in bad {
            assert_eq!(check(change), Err(field));
        }
    }

    #[test]
    fn a_detectors_values_have_bounds() {
        type Change = fn(&mut DetectionRecipe);
        let bad: [(&str, Change); 7] = [
            ("scale", |r| r.scale = [0.0, 2.0]),
            ("scale", |r| r.scale = [2.0, 1.0]),
            ("mirror", |r| r.mirror = -0.5),
            ("mosaic", |r| r.mosaic = f64::NAN),
            ("keep", |r| r.keep = 1.5),
            ("smallest", |r| r.smallest = -1.0),
            ("jitter.brightness", |r| r.jitter.brightness = 1.5),
        ];
        assert_eq!(DetectionRecipe::default().check(), Ok(()));
        for (field, change) in bad {
            let mut recipe = DetectionRecipe::default();
            change(&mut recipe);
            assert_eq!(recipe.check().map_err(|error| error.field), Err(field));
        }
    }
}
