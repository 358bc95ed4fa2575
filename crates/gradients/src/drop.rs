//! What is dropped while training: drawn from a seed by position, so that it can be drawn again on the way back and
//! does not depend on who draws first.

/// A number of 24 bits as a fraction, for position `index` of a stream (SplitMix64's finaliser).
fn fraction(seed: u64, index: u64) -> f32 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
}

/// Multiplies `values` with 0 with probability `rate`, and with `1 / (1 − rate)` otherwise: values on the way
/// forward, gradients on the way back. They are those from `first` on of all that the seed is for.
pub fn dropout(seed: u64, rate: f32, first: usize, values: &mut [f32]) {
    let keep = 1.0 / (1.0 - rate);
    for (index, value) in values.iter_mut().enumerate() {
        *value *= if fraction(seed, (first + index) as u64) < rate { 0.0 } else { keep };
    }
}

/// The factors of drop-connect (stochastic depth), `[N, C]`: one for every image, 0 with probability `rate` and
/// `1 / (1 − rate)` otherwise, repeated for every channel.
#[must_use]
pub fn drop_connect(seed: u64, rate: f32, images: usize, channels: usize) -> Vec<f32> {
    let mut factors = vec![1.0; images];
    dropout(seed, rate, 0, &mut factors);
    factors.iter().flat_map(|factor| std::iter::repeat_n(*factor, channels)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_its_share_and_keeps_the_mean() {
        let mut values = vec![1.0; 100_000];
        dropout(7, 0.2, 0, &mut values);
        let dropped = values.iter().filter(|v| **v == 0.0).count();
        assert!((19_500..20_500).contains(&dropped), "{dropped}");
        assert!(values.iter().all(|v| *v == 0.0 || *v == 1.25));
        let mut again = vec![1.0; 100_000];
        dropout(7, 0.2, 0, &mut again);
        assert_eq!(values, again);
        dropout(8, 0.2, 0, &mut again);
        assert_ne!(values, again);
    }

    #[test]
    fn whole_images_are_dropped() {
        let factors = drop_connect(3, 0.5, 64, 5);
        assert!(factors.chunks(5).all(|image| image.iter().all(|f| *f == image[0])));
        assert!(factors.contains(&0.0) && factors.contains(&2.0));
    }
}
