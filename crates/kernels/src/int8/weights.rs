//! Weights as signed bytes.

use std::ops::{Add, Neg};

/// Weights of a convolution as signed bytes, with a scale for every output channel.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantWeights {
    /// Row-major, the output channel first.
    pub values: Vec<i8>,
    /// `value · scale` is the weight; one for each output channel.
    pub scales: Vec<f32>,
}

/// The smallest scale of weights, so that its reciprocal is finite.
const MIN_SCALE: f32 = 1e-30;

/// The largest sum, of either sign, of weights whose products with bytes are added in 16 bits.
const MAX_SUM: i32 = 128;

/// Whether the products of any bytes with these weights, eight from [`GROUP`] to [`GROUP`] along the sum,
/// can be added as an instruction set without 32-bit sums of bytes does it: of eight, number 0, 1, 4 and 5
/// in one 16-bit integer and the others in another.
#[must_use]
pub fn fits(weights: &[i8]) -> bool {
    largest_sum(weights.iter().map(|w| i32::from(*w))) <= MAX_SUM
}

/// The largest sum, positive or negative, of weights whose products are added in one 16-bit integer.
fn largest_sum<T: Copy + Default + PartialOrd + Add<Output = T> + Neg<Output = T>>(
    weights: impl Iterator<Item = T>,
) -> T {
    let zero = T::default();
    let (mut largest, mut sums) = (zero, [[zero; 2]; 2]);
    for (i, weight) in weights.enumerate() {
        if i % GROUP == 0 {
            sums = [[zero; 2]; 2];
        }
        let [positive, negative] = &mut sums[i / 2 % 2];
        let (sum, more) = if weight > zero { (positive, weight) } else { (negative, -weight) };
        *sum = *sum + more;
        if *sum > largest {
            largest = *sum;
        }
    }
    largest
}

/// Values along the sum that are multiplied in one step.
pub(crate) const GROUP: usize = 8;

impl QuantWeights {
    /// Weights of a matrix product: `rows` (one for each output channel) of values in the order in which
    /// they are summed, each in the finest steps under which it [`fits`].
    #[must_use]
    pub fn summed<'a>(rows: impl Iterator<Item = &'a [f32]>) -> Self {
        // Each of the four weights of a sum is rounded by half a step at most.
        let least = |row: &[f32]| largest_sum(row.iter().copied()) / (MAX_SUM + 2) as f32;
        Self::new(rows, least, fits)
    }

    /// Weights whose products are summed in 32 bits: any bytes fit.
    #[must_use]
    pub fn free<'a>(rows: impl Iterator<Item = &'a [f32]>) -> Self {
        Self::new(rows, |_| 0.0, |_| true)
    }

    /// No row fits in finer steps than `least` of it.
    fn new<'a>(
        rows: impl Iterator<Item = &'a [f32]>,
        least: impl Fn(&[f32]) -> f32,
        fits: impl Fn(&[i8]) -> bool,
    ) -> Self {
        let mut quantised = Self { values: Vec::new(), scales: Vec::new() };
        for row in rows {
            let largest = row.iter().fold(0.0_f32, |max, weight| max.max(weight.abs()));
            let mut scale = (largest / 127.0).max(MIN_SCALE);
            let least = least(row);
            while scale < least {
                scale *= STEP;
            }
            let start = quantised.values.len();
            loop {
                quantised.values.truncate(start);
                quantised.values.extend(row.iter().map(|weight| (weight / scale).round_ties_even() as i8));
                if fits(&quantised.values[start..]) {
                    break;
                }
                scale *= STEP;
            }
            balance(row, scale, &mut quantised.values[start..], &fits);
            quantised.scales.push(scale);
        }
        quantised
    }

    /// The values of one output channel.
    #[must_use]
    pub fn row(&self, output: usize) -> &[i8] {
        let len = self.values.len() / self.scales.len();
        &self.values[output * len..(output + 1) * len]
    }
}

/// Rounds a few of a row's weights the other way, those that are nearest to the middle, until the row's sum is the
/// nearest to what it was: what a convolution reads is alike in places that lie side by side, and positive behind
/// most activations, so that errors of one sign would add up.
fn balance(row: &[f32], scale: f32, values: &mut [i8], fits: impl Fn(&[i8]) -> bool) {
    let error = |i: usize, value: i8| f32::from(value) - row[i] / scale;
    let mut total: f32 = values.iter().enumerate().map(|(i, value)| error(i, *value)).sum();
    let sign = total.signum();
    let mut candidates: Vec<(f32, usize)> =
        (0..row.len()).map(|i| (sign * error(i, values[i]), i)).filter(|(error, _)| *error > 0.0).collect();
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, i) in candidates {
        if sign * total <= 0.5 {
            return;
        }
        let nearest = values[i];
        values[i] = nearest.saturating_sub(sign as i8).max(-127);
        if fits(values) {
            total -= f32::from(nearest) - f32::from(values[i]);
        } else {
            values[i] = nearest;
        }
    }
}

/// How much coarser steps become at a time until they fit.
const STEP: f32 = 1.01;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naive::noise;

    #[test]
    fn weights_fit_and_are_near() {
        let rows: Vec<Vec<f32>> = (0..20).map(|i| noise(3 + 11 * i, i as u32)).collect();
        for (i, row) in rows.iter().enumerate() {
            let summed = QuantWeights::summed(std::iter::once(&row[..]));
            let free = QuantWeights::free(std::iter::once(&row[..]));
            assert!(fits(&summed.values), "row {i}");
            assert!(free.scales[0] <= summed.scales[0]);
            for (weight, (a, b)) in row.iter().zip(summed.values.iter().zip(&free.values)) {
                assert!((weight - f32::from(*a) * summed.scales[0]).abs() <= summed.scales[0]);
                assert!((weight - f32::from(*b) * free.scales[0]).abs() <= free.scales[0]);
            }
            let sum: f32 = row.iter().sum();
            let rounded: f32 = free.values.iter().map(|value| f32::from(*value) * free.scales[0]).sum();
            assert!((sum - rounded).abs() <= 0.51 * free.scales[0], "row {i} sums to {rounded}, not {sum}");
        }
    }

    #[test]
    fn zeros_stay_zeros() {
        let row = [0.3, 0.0, 0.3, 0.0, 0.3, 0.0, 1.0, 0.0, 0.3];
        let values = QuantWeights::free(std::iter::once(&row[..])).values;
        assert!(row.iter().zip(&values).all(|(weight, value)| (*weight == 0.0) == (*value == 0)));
    }

    #[test]
    fn sums_of_four_are_bounded() {
        assert!(fits(&[64, 64, 0, 0, 0, 0, 0, 0]) && fits(&[64, 0, 100, 0, 64, 0, 28]));
        assert!(!fits(&[64, 64, 0, 0, 1]) && !fits(&[0, 0, -64, -64, 0, 0, 0, -1]));
        assert!(fits(&[127, -127, 0, 0, 1, -1]) && fits(&[-128]) && fits(&[0; 3]));
    }
}
