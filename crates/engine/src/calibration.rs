//! Between which bounds a network's values lie, learned from pictures.

use std::collections::{BTreeMap, HashMap};

use effigy_arch::{Graph, NodeId, Quantisation};
use effigy_kernels::View;
use effigy_tensor::Tensor;

use crate::error::EngineError;
use crate::model::{Model, Options, Parameters};
use crate::passes;
use crate::precision::Precision;
use crate::program::Program;

/// Runs a network in floats and keeps a histogram of every value that an 8-bit network would keep in memory.
pub struct Calibration {
    model: Model,
    seen: HashMap<NodeId, Histogram>,
}

impl Calibration {
    /// A network in floats, with nothing seen yet. The precision and the taps of `options` do not matter.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn new(graph: &Graph, parameters: &dyn Parameters, options: &Options) -> Result<Self, EngineError> {
        let mut program = Program::lower(graph, parameters, &[])?;
        passes::fuse_values(&mut program);
        let options = Options { precision: Precision::Fp32, taps: Vec::new(), ..options.clone() };
        Ok(Self { model: Model::pack(graph, program, &options)?, seen: HashMap::new() })
    }

    /// Runs the network on `input: [N, H, W, C]`, notes its values and returns its outputs.
    ///
    /// # Errors
    /// As [`Model::run`].
    pub fn observe(&mut self, input: &Tensor) -> Result<Vec<Tensor>, EngineError> {
        let Self { model, seen } = self;
        model.run_watched(input, &mut |value, view| seen.entry(value).or_default().add(view))
    }

    /// The bounds of every value. Values far out are cut off where that costs less than coarser steps for all
    /// others: the mean squared error of bytes over the bounds is the least.
    #[must_use]
    pub fn measured(&self) -> Quantisation {
        let range = |(value, seen): (&NodeId, &Histogram)| {
            (self.model.graph().node(*value).name.clone(), seen.range())
        };
        let ranges: BTreeMap<String, [f32; 2]> = self.seen.iter().map(range).collect();
        Quantisation { ranges, ..Quantisation::default() }
    }
}

/// Bins of a histogram.
const BINS: usize = 4096;

/// How often values occurred, over −reach..reach, which grows with them.
struct Histogram {
    counts: Vec<u64>,
    reach: f32,
    low: f32,
    high: f32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BINS], reach: 0.0, low: 0.0, high: 0.0 }
    }
}

impl Histogram {
    fn add(&mut self, view: View<'_>) {
        let layout = view.layout;
        let rows = (0..layout.images).flat_map(|image| (0..layout.height).map(move |y| (image, y)));
        for (image, y) in rows {
            let row = &view.data[layout.index(image, y, 0)..][..layout.width * layout.channels];
            let (low, high) =
                row.iter().fold((0.0_f32, 0.0_f32), |(low, high), v| (low.min(*v), high.max(*v)));
            self.reach_to(high.max(-low));
            (self.low, self.high) = (self.low.min(low), self.high.max(high));
            if self.reach > 0.0 {
                let scale = BINS as f32 / 2.0 / self.reach;
                for value in row {
                    let bin = (value * scale + BINS as f32 / 2.0) as usize;
                    self.counts[bin.min(BINS - 1)] += 1;
                }
            }
        }
    }

    /// Makes the histogram wide enough: its reach is doubled until it is.
    fn reach_to(&mut self, largest: f32) {
        if !largest.is_finite() || largest <= self.reach {
            return;
        }
        if self.reach == 0.0 {
            self.reach = largest;
            return;
        }
        while self.reach < largest {
            let mut wider = vec![0; BINS];
            for (bin, count) in self.counts.iter().enumerate() {
                wider[bin / 2 + BINS / 4] += count;
            }
            self.counts = wider;
            self.reach *= 2.0;
        }
    }

    /// The bounds of the least mean squared error.
    fn range(&self) -> [f32; 2] {
        let mut best = ([self.low, self.high], f64::INFINITY);
        for high in CUTS.map(|cut| self.high * cut) {
            for low in CUTS.map(|cut| self.low * cut) {
                let error = self.error(low, high);
                if error < best.1 {
                    best = ([low, high], error);
                }
            }
        }
        best.0
    }

    /// The mean squared error, unscaled, of bytes from `low` to `high`.
    fn error(&self, low: f32, high: f32) -> f64 {
        let step = f64::from(high - low) / 255.0;
        let width = 2.0 * self.reach / BINS as f32;
        let mut error = 0.0;
        for (bin, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let value = (bin as f32 + 0.5) * width - self.reach;
            let beyond = f64::from((low - value).max(value - high).max(0.0));
            error += *count as f64 * (beyond * beyond + step * step / 12.0);
        }
        error
    }
}

/// Shares of the largest values that may become bounds.
const CUTS: [f32; 20] = [
    1.0, 0.96, 0.92, 0.88, 0.84, 0.8, 0.76, 0.72, 0.68, 0.64, 0.6, 0.56, 0.52, 0.48, 0.44, 0.4, 0.36, 0.32,
    0.28, 0.24,
];

#[cfg(test)]
mod tests {
    use super::*;
    use effigy_kernels::Layout;

    fn histogram(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::default();
        for half in values.chunks(values.len() / 2) {
            histogram.add(View::new(half, Layout::dense(1, 1, half.len(), 1)));
        }
        histogram
    }

    #[test]
    fn even_values_keep_their_bounds() {
        let values: Vec<f32> = (0..2000).map(|i| i as f32 / 500.0 - 1.0).collect();
        let [low, high] = histogram(&values).range();
        assert!((-1.0..=-0.9).contains(&low) && (2.9..=3.0).contains(&high), "{low} {high}");
    }

    #[test]
    fn a_single_far_value_is_cut_off() {
        // The error is n · (high / 255)² / 12 + (3 − high)², whose least lies at 1.3 for a million values.
        let mut values: Vec<f32> = (0..1_000_000).map(|i| (i % 1000) as f32 / 1000.0).collect();
        values[77] = 3.0;
        let [low, high] = histogram(&values).range();
        assert!(low == 0.0 && (1.2..1.4).contains(&high), "{low} {high}");
    }

    #[test]
    fn zeros_have_a_range() {
        assert_eq!(histogram(&[0.0; 10]).range(), [0.0, 0.0]);
    }
}
