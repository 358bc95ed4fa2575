//! The weights of one pass, and the sum they make.

use std::ops::Range;

use effigy_arch::Interpolation;

/// Fraction bits of a weight, as Pillow has them: 32, less 8 for the sample and 2 for the overshoot of a
/// bicubic's sum.
const PRECISION: u32 = 32 - 8 - 2;
/// A weight is kept as `high · 2^SPLIT + low` so that each half is 16 bits wide: 16-bit products are
/// what every vector unit has, and the sum of both halves is exact.
const SPLIT: u32 = 12;

/// For each output sample of a range, its input samples and their weights.
pub(super) struct Taps {
    spans: Vec<Span>,
    high: Vec<i16>,
    low: Vec<i16>,
}

struct Span {
    start: usize,
    weights: Range<usize>,
}

/// The weights of one output sample, beginning at input sample `start`.
pub(super) struct Tap<'a> {
    pub(super) start: usize,
    high: &'a [i16],
    low: &'a [i16],
}

impl Taps {
    /// Taps of the outputs `range` when `input` samples become `output`, both in f64 as Pillow's
    /// `precompute_coeffs` has them: the order of the operations decides the last bit.
    pub(super) fn new(
        input: usize,
        output: usize,
        range: Range<usize>,
        interpolation: Interpolation,
    ) -> Self {
        if input == output {
            return Self::identity(range);
        }
        let (filter, reach): (fn(f64) -> f64, f64) = match interpolation {
            Interpolation::Bilinear | Interpolation::PlainBilinear => (triangle, 1.0),
            Interpolation::Bicubic => (cubic, 2.0),
        };
        let scale = input as f64 / output as f64;
        let stretch = if interpolation == Interpolation::PlainBilinear { 1.0 } else { scale.max(1.0) };
        let support = reach * stretch;
        let shrink = 1.0 / stretch;

        let mut taps = Self { spans: Vec::with_capacity(range.len()), high: Vec::new(), low: Vec::new() };
        let mut weights = Vec::new();
        for index in range {
            let centre = (index as f64 + 0.5) * scale;
            // `as usize` takes a negative start to 0, and cuts off the fraction.
            let start = (centre - support + 0.5) as usize;
            let end = ((centre + support + 0.5) as usize).min(input);
            weights.clear();
            weights.extend((start..end).map(|x| filter((x as f64 - centre + 0.5) * shrink)));
            taps.push(start, &weights);
        }
        taps
    }

    /// Each output sample is its input sample.
    fn identity(range: Range<usize>) -> Self {
        let mut taps = Self { spans: Vec::with_capacity(range.len()), high: Vec::new(), low: Vec::new() };
        for index in range {
            taps.push(index, &[1.0]);
        }
        taps
    }

    /// Adds an output sample whose weights are normalised to sum 1, then rounded to fixed point.
    fn push(&mut self, start: usize, weights: &[f64]) {
        let sum: f64 = weights.iter().sum();
        let first = self.high.len();
        for &weight in weights {
            let weight = if sum == 0.0 { weight } else { weight / sum };
            let fixed = (weight * f64::from(1 << PRECISION)).round() as i32;
            self.high.push((fixed >> SPLIT) as i16);
            self.low.push((fixed & ((1 << SPLIT) - 1)) as i16);
        }
        self.spans.push(Span { start, weights: first..self.high.len() });
    }

    /// Number of output samples.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The input samples that any output sample needs.
    pub(super) fn inputs(&self) -> Range<usize> {
        // Both ends grow with the output sample, so the first and the last tell.
        match (self.spans.first(), self.spans.last()) {
            (Some(first), Some(last)) => first.start..last.start + last.weights.len(),
            _ => 0..0,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Tap<'_>> {
        self.spans.iter().map(|span| Tap {
            start: span.start,
            high: &self.high[span.weights.clone()],
            low: &self.low[span.weights.clone()],
        })
    }
}

/// Triangle of half-width 1.
fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Keys' cubic convolution (1981) with a = −0.5, in Horner's form.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// The weighted sum of `blocks`, lane by lane, rounded and clipped to a byte.
///
/// The halves wrap on their own for a very long run of taps; their sum is right all the same, because
/// it is a sum modulo 2³² whose true value fits 32 bits.
#[inline(always)]
pub(super) fn weigh<'a, const N: usize>(tap: &Tap, blocks: impl Iterator<Item = &'a [u8; N]>) -> [u8; N] {
    let mut high = [0i32; N];
    let mut low = [1i32 << (PRECISION - 1); N];
    for ((&weight_high, &weight_low), block) in tap.high.iter().zip(tap.low).zip(blocks) {
        for lane in 0..N {
            let sample = i32::from(block[lane]);
            high[lane] = high[lane].wrapping_add(i32::from(weight_high) * sample);
            low[lane] = low[lane].wrapping_add(i32::from(weight_low) * sample);
        }
    }
    std::array::from_fn(|lane| {
        let sum = high[lane].wrapping_shl(SPLIT).wrapping_add(low[lane]);
        (sum >> PRECISION).clamp(0, 255) as u8
    })
}
