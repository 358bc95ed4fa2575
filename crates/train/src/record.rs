//! What a run remembers of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Figures of a whole run, for files and the report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The epochs that are over.
    pub epochs: Vec<EpochRecord>,
    /// Losses between, each the mean of some steps.
    pub points: Vec<Point>,
    /// The best score so far.
    pub best: Option<Best>,
}

/// An epoch's figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Steps done by its end.
    pub step: u64,
    /// The learning rate of its last step.
    pub learning_rate: f64,
    /// Mean loss, and its parts by name.
    pub losses: BTreeMap<String, f64>,
    /// What the network was judged to be, by name; nothing where it was not its turn. `top1` and `top5` are in
    /// percent, COCO's figures are shares.
    pub scores: BTreeMap<String, f64>,
    /// Whether it is the best so far.
    pub is_best: bool,
    /// Pictures learnt from.
    pub pictures: usize,
    /// Seconds that batches were waited for.
    pub data_seconds: f64,
    /// Seconds that were computed.
    pub compute_seconds: f64,
    /// Seconds that judging took.
    pub judge_seconds: f64,
}

/// The mean of some steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The last of them.
    pub step: u64,
    /// Their mean loss.
    pub loss: f64,
    /// The learning rate of the last.
    pub learning_rate: f64,
}

/// The best score, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// What it is called.
    pub name: String,
    /// Its value.
    pub score: f64,
    /// The epoch, from 1.
    pub epoch: usize,
}

/// Sums over steps, for means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sums {
    pub(crate) losses: BTreeMap<String, f64>,
    pub(crate) count: u64,
}

impl Sums {
    pub(crate) fn add(&mut self, parts: &[(&'static str, f64)]) {
        for &(name, value) in parts {
            *self.losses.entry(name.to_owned()).or_default() += value;
        }
        self.count += 1;
    }

    pub(crate) fn means(&self) -> BTreeMap<String, f64> {
        let count = self.count.max(1) as f64;
        self.losses.iter().map(|(name, sum)| (name.clone(), sum / count)).collect()
    }
}

impl EpochRecord {
    /// Pictures a second, waiting included.
    #[must_use]
    pub fn pictures_per_second(&self) -> f64 {
        let seconds = self.data_seconds + self.compute_seconds;
        if seconds > 0.0 { self.pictures as f64 / seconds } else { 0.0 }
    }
}

impl History {
    /// The epochs as comma-separated values, with a line of names. What was not judged is empty.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let keys = |of: fn(&EpochRecord) -> &BTreeMap<String, f64>| {
            let mut keys: Vec<&String> = self.epochs.iter().flat_map(|epoch| of(epoch).keys()).collect();
            keys.sort();
            keys.dedup();
            keys
        };
        let (losses, scores) = (keys(|epoch| &epoch.losses), keys(|epoch| &epoch.scores));
        let names = losses.iter().chain(&scores).map(|name| format!(",{name}")).collect::<String>();
        let mut text = format!(
            "epoch,step,learning_rate{names},is_best,pictures_per_second,data_seconds,compute_seconds,judge_seconds\n"
        );
        for epoch in &self.epochs {
            let value = |of: &BTreeMap<String, f64>, name: &String| {
                of.get(name).map_or(",".to_owned(), |value| format!(",{value}"))
            };
            text += &format!("{},{},{}", epoch.epoch, epoch.step, epoch.learning_rate);
            text.extend(losses.iter().map(|name| value(&epoch.losses, name)));
            text.extend(scores.iter().map(|name| value(&epoch.scores, name)));
            text += &format!(
                ",{},{:.2},{:.3},{:.3},{:.3}\n",
                u8::from(epoch.is_best),
                epoch.pictures_per_second(),
                epoch.data_seconds,
                epoch.compute_seconds,
                epoch.judge_seconds
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_an_epoch() {
        let losses = BTreeMap::from([("loss".to_owned(), 0.5)]);
        let first = EpochRecord { epoch: 1, step: 9, losses: losses.clone(), ..EpochRecord::default() };
        let scores = BTreeMap::from([("top1".to_owned(), 62.5)]);
        let second = EpochRecord {
            epoch: 2,
            step: 18,
            losses,
            scores,
            is_best: true,
            pictures: 30,
            data_seconds: 1.0,
            compute_seconds: 2.0,
            ..EpochRecord::default()
        };
        let history = History { epochs: vec![first, second], ..History::default() };
        assert_eq!(
            history.to_csv(),
            "epoch,step,learning_rate,loss,top1,is_best,pictures_per_second,data_seconds,compute_seconds,judge_seconds\n\
             1,9,0,0.5,,0,0.00,0.000,0.000,0.000\n\
             2,18,0,0.5,62.5,1,10.00,1.000,2.000,0.000\n"
        );
    }
}
