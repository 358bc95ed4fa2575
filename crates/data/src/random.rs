//! Random numbers by counting: what is drawn follows from the key alone, whoever draws it and when.

/// A stream of random numbers. Streams of different keys are independent of each other.
///
/// SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"), begun at a hash of
/// the key. It is not for secrets.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

/// What a stream is for, so that no two purposes draw the same numbers from equal keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The order of an epoch's pictures.
    Order = 1,
    /// What is done to a picture.
    Picture = 2,
    /// What is done to a batch.
    Batch = 3,
    /// Another picture for one that cannot be read.
    Substitute = 4,
    /// Which pictures are kept for validation.
    Split = 5,
    /// A search, such as the one for anchors.
    Search = 6,
    /// What parameters begin at.
    Parameters = 7,
    /// What dropout drops of a batch.
    Dropout = 8,
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The stream of a purpose and a key, such as seed, epoch and the sample's index.
    #[must_use]
    pub fn new(purpose: Purpose, key: [u64; 3]) -> Self {
        let state = key.into_iter().fold(mix(purpose as u64), |state, part| mix(state ^ mix(part)));
        Self { state }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// From 0 up to, not including, 1, in steps of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From `from` up to `to`.
    pub fn uniform(&mut self, [from, to]: [f64; 2]) -> f64 {
        from + (to - from) * self.unit()
    }

    /// A whole number below `end`, which is at least 1; 0 where it is not.
    pub fn below(&mut self, end: usize) -> usize {
        // The product's upper half: biased by less than end / 2⁶⁴.
        ((u128::from(self.bits()) * end as u128) >> 64) as usize
    }

    /// Whether something of this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Of the normal distribution with mean 0 and variance 1: Box and Muller 1958.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Of the gamma distribution of this shape, above 0, and scale 1: Marsaglia and Tsang 2000.
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let boost = (1.0 - self.unit()).powf(1.0 / shape);
            return self.gamma(shape + 1.0) * boost;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && (1.0 - self.unit()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    /// Of the beta distribution with both shapes `shape`, above 0: how much of each of two pictures a mixture
    /// has.
    pub fn beta(&mut self, shape: f64) -> f64 {
        let (a, b) = (self.gamma(shape), self.gamma(shape));
        // Both can round to 0 where the shape is tiny; then the whole lies at either end.
        if a + b > 0.0 { a / (a + b) } else { f64::from(u8::from(self.happens(0.5))) }
    }

    /// The numbers below `count`, shuffled: Fisher and Yates.
    #[must_use]
    pub fn shuffled(mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

/// A permutation of the 64-bit numbers in which every bit depends on every other.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(key: [u64; 3]) -> Random {
        Random::new(Purpose::Picture, key)
    }

    /// The published generator begun at 1234567, as its reference code prints it.
    #[test]
    fn bits_are_those_of_splitmix64() {
        let mut random = Random { state: 1_234_567 };
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([random.bits(), random.bits(), random.bits()], expected);
    }

    #[test]
    fn the_key_decides() {
        assert_eq!(stream([1, 2, 3]).bits(), stream([1, 2, 3]).bits());
        let mut firsts: Vec<u64> = Vec::new();
        for key in [[1, 2, 3], [3, 2, 1], [1, 2, 4], [0, 0, 0], [0, 0, 1], [0, 1, 0]] {
            firsts.push(stream(key).bits());
            firsts.push(Random::new(Purpose::Order, key).bits());
        }
        let all = firsts.len();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), all);
    }

    /// Mean and variance of 20,000 numbers lie within five standard errors.
    #[test]
    fn distributions_have_their_moments() {
        let count = 20_000;
        let check = |mean: f64, variance: f64, draw: fn(&mut Random) -> f64| {
            let mut random = stream([7, 7, 7]);
            let drawn: Vec<f64> = (0..count).map(|_| draw(&mut random)).collect();
            let found = drawn.iter().sum::<f64>() / f64::from(count);
            let spread = drawn.iter().map(|x| (x - found).powi(2)).sum::<f64>() / f64::from(count);
            assert!((found - mean).abs() < 5.0 * (variance / f64::from(count)).sqrt(), "{found} {mean}");
            assert!((spread / variance - 1.0).abs() < 0.1, "{spread} {variance}");
        };
        check(0.5, 1.0 / 12.0, Random::unit);
        check(0.0, 1.0, Random::normal);
        check(2.0, 3.0, |random| random.uniform([-1.0, 5.0]));
        check(4.5, 99.0 / 12.0, |random| random.below(10) as f64);
        check(0.5, 1.0 / 5.6, |random| random.beta(0.2));
        check(0.5, 1.0 / 12.0, |random| random.beta(1.0));
        check(0.3, 0.21, |random| f64::from(u8::from(random.happens(0.3))));
    }

    #[test]
    fn a_shuffle_has_every_number_once() {
        let mut order = stream([0, 0, 0]).shuffled(1000);
        assert_ne!(order, (0..1000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
        assert!(stream([0, 0, 0]).shuffled(0).is_empty());
    }
}
