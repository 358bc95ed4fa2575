//! Pictures of a batch mixed with each other.

use crate::Random;
use crate::loader::ClassificationBatch;

/// Mixes the picture `i` of a batch with the picture `i` from its end, and their targets: every picture becomes
/// `share` of itself, the rest of the other one. Zhang et al. 2017, mixup (arXiv 1710.09412); pairs as timm forms
/// them.
pub fn mixup(batch: &mut ClassificationBatch, share: f32) {
    for_pairs(&mut batch.input, |a, b| blend(a, b, share));
    for_pairs(&mut batch.targets, |a, b| blend(a, b, share));
}

/// Puts a rectangle of the picture `i` from a batch's end into its picture `i`, and mixes their targets by area:
/// the rectangle would have `1 − share` of the picture, if its middle, drawn anywhere, did not put a part of it
/// outside. Yun et al. 2019, CutMix (arXiv 1905.04899).
pub fn cutmix(batch: &mut ClassificationBatch, share: f64, random: &mut Random) {
    let [_, height, width, channels] = batch.input.shape()[..] else { return };
    let side = (1.0 - share).max(0.0).sqrt();
    let rows = span(height, side, random);
    let columns = span(width, side, random);
    for_pairs(&mut batch.input, |a, b| {
        for row in rows.clone() {
            let part = (row * width + columns.start) * channels..(row * width + columns.end) * channels;
            a[part.clone()].swap_with_slice(&mut b[part]);
        }
    });
    let kept = 1.0 - (rows.len() * columns.len()) as f64 / (height * width) as f64;
    for_pairs(&mut batch.targets, |a, b| blend(a, b, kept as f32));
}

/// A stretch of a side around a drawn middle, cut off at its ends.
fn span(length: usize, share: f64, random: &mut Random) -> std::ops::Range<usize> {
    let half = (length as f64 * share / 2.0) as usize;
    let middle = random.below(length);
    middle.saturating_sub(half)..(middle + half).min(length)
}

/// Calls `each` for the first and the last of a tensor's items, the second and the last but one, and so on. One
/// in the middle stays as it is.
fn for_pairs(tensor: &mut effigy_tensor::Tensor, mut each: impl FnMut(&mut [f32], &mut [f32])) {
    let count = tensor.shape()[0];
    let length = tensor.data().len() / count.max(1);
    let (front, back) = tensor.data_mut().split_at_mut(count.div_ceil(2) * length);
    let pairs = front.chunks_exact_mut(length.max(1)).zip(back.chunks_exact_mut(length.max(1)).rev());
    pairs.for_each(|(a, b)| each(a, b));
}

fn blend(a: &mut [f32], b: &mut [f32], share: f32) {
    for (a, b) in a.iter_mut().zip(b) {
        (*a, *b) = (share * *a + (1.0 - share) * *b, share * *b + (1.0 - share) * *a);
    }
}

#[cfg(test)]
mod tests {
    use effigy_tensor::Tensor;

    use super::*;
    use crate::Purpose;
    use crate::loader::Place;

    /// Pictures of 10×8 pixels, all of whose values are their number, each of a class of its own.
    fn batch(count: usize) -> ClassificationBatch {
        let mut input = Tensor::zeros(&[count, 8, 10, 3]);
        let mut targets = Tensor::zeros(&[count, count]);
        for index in 0..count {
            input.data_mut()[index * 240..(index + 1) * 240].fill(index as f32);
            targets.data_mut()[index * count + index] = 1.0;
        }
        let classes: Vec<usize> = (0..count).collect();
        let (place, samples, files) = (Place::default(), classes.clone(), Vec::new());
        ClassificationBatch { place, input, targets, classes, samples, files }
    }

    #[test]
    fn mixup_is_a_weighted_sum_of_pairs() {
        let mut mixed = batch(3);
        mixup(&mut mixed, 0.75);
        let first: Vec<f32> = mixed.input.data().iter().step_by(240).copied().collect();
        assert_eq!(first, [0.5, 1.0, 1.5]);
        assert_eq!(mixed.targets.data(), [0.75, 0.0, 0.25, 0.0, 1.0, 0.0, 0.25, 0.0, 0.75]);
        let mut same = batch(3);
        mixup(&mut same, 1.0);
        assert_eq!(same, batch(3));
    }

    #[test]
    fn cutmix_has_the_targets_of_its_areas() {
        for draw in 0..50 {
            let mut mixed = batch(2);
            cutmix(&mut mixed, 0.4, &mut Random::new(Purpose::Batch, [0, 0, draw]));
            let other = mixed.input.data()[..240].iter().filter(|&&value| value == 1.0).count();
            assert_eq!(other, mixed.input.data()[240..].iter().filter(|&&value| value == 0.0).count());
            let kept = 1.0 - other as f32 / 240.0;
            assert_eq!(mixed.targets.data(), [kept, 1.0 - kept, 1.0 - kept, kept]);
            assert!(other <= 240 * 6 / 10);
        }
        let mut same = batch(2);
        cutmix(&mut same, 1.0, &mut Random::new(Purpose::Batch, [0, 0, 0]));
        assert_eq!(same, batch(2));
    }
}
