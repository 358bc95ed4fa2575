//! What a run writes beside checkpoints: figures and the report.

use std::io::Write;

use crate::folder::Folder;
use crate::record::History;
use crate::run::Parts;
use crate::task::Sample;
use crate::tensorboard::EventWriter;
use crate::{Config, TrainError, report, state};

/// The figures of the last step, and where figures go.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) loss: f64,
    pub(crate) gradient_norm: f64,
    events: Option<EventWriter>,
}

impl Output {
    /// Begins, once it is certain that the run can.
    pub(crate) fn open(&mut self, folder: &Folder, config: &Config) -> Result<(), TrainError> {
        state::replace(&folder.config(), |out| out.write_all(config.to_toml().as_bytes()))?;
        if config.tensorboard {
            let events = EventWriter::create(folder.path());
            self.events = Some(events.map_err(TrainError::io(folder.path()))?);
        }
        Ok(())
    }

    /// Notes a step.
    pub(crate) fn step(&mut self, folder: &Folder, step: u64, learning_rate: f64) -> Result<(), TrainError> {
        let values = [
            ("train/loss", self.loss),
            ("train/gradient_norm", self.gradient_norm),
            ("train/learning_rate", learning_rate),
        ];
        self.scalars(folder, step, values)
    }

    /// Notes the last epoch of `history`.
    pub(crate) fn epoch(&mut self, folder: &Folder, history: &History) -> Result<(), TrainError> {
        state::replace(&folder.metrics(), |out| out.write_all(history.to_csv().as_bytes()))?;
        let Some(epoch) = history.epochs.last() else { return Ok(()) };
        let named = |prefix: &str, name: &str| format!("{prefix}/{name}");
        let losses = epoch.losses.iter().map(|(name, &value)| (named("epoch", name), value));
        let scores = epoch.scores.iter().map(|(name, &value)| (named("val", name), value));
        let pace = [(named("epoch", "pictures_per_second"), epoch.pictures_per_second())];
        let values: Vec<(String, f64)> = losses.chain(scores).chain(pace).collect();
        self.scalars(folder, epoch.step, values.iter().map(|(name, value)| (name.as_str(), *value)))
    }

    /// Writes the report.
    pub(crate) fn report(
        &self,
        folder: &Folder,
        parts: &Parts<'_>,
        history: &History,
        samples: &[Sample],
    ) -> Result<(), TrainError> {
        let page = report::page(parts, history, samples)?;
        state::replace(&folder.report(), |out| out.write_all(page.as_bytes()))
    }

    fn scalars<'a>(
        &mut self,
        folder: &Folder,
        step: u64,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<(), TrainError> {
        match &mut self.events {
            Some(events) => events.scalars(step, values).map_err(TrainError::io(folder.path())),
            None => Ok(()),
        }
    }
}
