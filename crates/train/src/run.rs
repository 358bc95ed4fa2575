//! The loop.

use std::time::{Duration, Instant};

use effigy_arch::{Graph, Network};
use effigy_data::loader::{Loader, Place};
use effigy_data::{Problem, Purpose, Random};
use effigy_engine::{Model, Options};
use effigy_tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::Blowup;
use crate::folder::Folder;
use crate::optimiser::{AdamW, Optimiser, RmsProp, Sgd, StepSize};
use crate::output::Output;
use crate::record::{EpochRecord, History, Point, Sums};
use crate::task::{Judgement, Task};
use crate::trainer::Summary;
use crate::{
    Config, ConfigError, Decay, Device, Ema, Groups, Observer, OptimiserKind, Parameters, Pass, Progress,
    Reduce, Schedule, ScheduleKind, TrainError, clip_scale, state,
};

/// Points of the curve of losses, at most.
const POINTS: u64 = 1000;

/// What a run is made of, its task, parameters and device apart.
pub(crate) struct Parts<'a> {
    pub(crate) config: &'a Config,
    pub(crate) network: &'a Network,
    /// Height and width of what it learns from, in pixels.
    pub(crate) size: [usize; 2],
    pub(crate) graph: &'a Graph,
    pub(crate) labels: &'a [String],
    pub(crate) counts: [usize; 2],
    pub(crate) groups: Groups,
    pub(crate) fingerprint: u32,
    pub(crate) resume: bool,
    pub(crate) reduce: Box<dyn Reduce>,
}

/// What is saved beside parameters.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    config: String,
    fingerprint: u32,
    epoch: u64,
    batch: u64,
    step: u64,
    optimiser_steps: u64,
    ema_steps: u64,
    history: History,
    /// Sums of the epoch that is not over, and of the point that is not.
    epoch_sums: Sums,
    point_sums: Sums,
    /// Of the epoch that is not over.
    record: EpochRecord,
}

struct Run<'a, T: Task> {
    task: &'a T,
    parts: Parts<'a>,
    device: &'a mut dyn Device,
    folder: Folder,
    output: Output,
    parameters: Parameters,
    gradients: Parameters,
    optimiser: Box<dyn Optimiser>,
    ema: Option<Ema>,
    schedule: Schedule,
    loader: Loader<T::Batch>,
    saved: Saved,
    last_save: Instant,
    pace: Pace,
    /// Problems that the observer has been told.
    told: Vec<Problem>,
}

/// How long things take, as far as this process has seen.
#[derive(Default)]
struct Pace {
    steps: u64,
    step_time: Duration,
    judgements: u32,
    judge_time: Duration,
}

/// Runs a task to its end, or to where it is stopped.
pub(crate) fn run<T: Task>(
    task: &T,
    parts: Parts<'_>,
    parameters: Parameters,
    device: &mut dyn Device,
    observer: &mut dyn Observer,
) -> Result<Summary, TrainError> {
    let config = parts.config;
    let folder = Folder::open(&config.out)?;
    let loader = task.loader();
    let gradients = parameters.zeros_like();
    let optimiser = config.optimiser(&parameters);
    let ema = config.ema_decay.map(|decay| Ema::new(&parameters, decay));
    let schedule = config.schedule(loader.batches().div_ceil(config.accumulate as u64));
    let output = Output::default();
    let saved = Saved { config: config.to_toml(), fingerprint: parts.fingerprint, ..Saved::default() };
    let mut run = Run {
        task,
        parts,
        device,
        folder,
        output,
        parameters,
        gradients,
        optimiser,
        ema,
        schedule,
        loader,
        saved,
        last_save: Instant::now(),
        pace: Pace::default(),
        told: Vec::new(),
    };
    run.restore()?;
    run.output.open(&run.folder, run.parts.config)?;
    run.go(observer)
}

impl<T: Task> Run<'_, T> {
    fn go(&mut self, observer: &mut dyn Observer) -> Result<Summary, TrainError> {
        let mut stopped = false;
        while !stopped && self.saved.epoch < self.parts.config.epochs as u64 {
            stopped = self.epoch(observer)?;
            if !stopped {
                self.close_epoch(observer)?;
            }
        }
        let model = self.model()?;
        let samples = self.task.samples(&model, self.parts.config.samples)?;
        self.output.report(&self.folder, &self.parts, &self.saved.history, &samples)?;
        let best = self.folder.best();
        Ok(Summary {
            history: self.saved.history.clone(),
            stopped,
            best: best.is_file().then_some(best),
            report: self.folder.report(),
        })
    }

    /// The rest of an epoch; true where it was stopped.
    fn epoch(&mut self, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        let accumulate = self.parts.config.accumulate as u64;
        let place = Place { epoch: self.saved.epoch, batch: self.saved.batch };
        self.loader.seek(place);
        let (begun, waited) = (Instant::now(), self.loader.waited());
        let pictures_before = self.saved.record.pictures;
        let before = (self.saved.record.data_seconds, self.saved.record.compute_seconds);
        let mut in_step = 0;
        let mut files = Vec::new();
        let mut problems = self.loader.problems().len();
        self.gradients.values_mut().fill(0.0);
        loop {
            let batch = self.loader.next()?;
            if self.loader.problems().len() > problems {
                let new = self.loader.problems()[problems..].to_vec();
                problems += new.len();
                self.tell(&new, observer);
            }
            let over = batch.is_none();
            if let Some(batch) = batch {
                self.learn(&batch, &mut files)?;
                self.saved.batch = self.loader.place().batch;
                in_step += 1;
            }
            let ends = in_step == accumulate || (over && in_step > 0);
            if ends {
                self.step(in_step, &files)?;
                in_step = 0;
                files.clear();
                self.gradients.values_mut().fill(0.0);
                let data = self.loader.waited().saturating_sub(waited);
                let compute = begun.elapsed().saturating_sub(data);
                self.saved.record.data_seconds = before.0 + data.as_secs_f64();
                self.saved.record.compute_seconds = before.1 + compute.as_secs_f64();
                let pictures = self.saved.record.pictures - pictures_before;
                observer.step(&self.progress(data, compute, pictures));
            }
            if over {
                return Ok(false);
            }
            if !ends {
                continue;
            }
            let stop = observer.stop();
            let due = self.last_save.elapsed().as_secs_f64() >= 60.0 * self.parts.config.save_minutes;
            if stop || due {
                self.save()?;
            }
            if stop {
                return Ok(true);
            }
        }
    }

    /// Adds a batch's gradients.
    fn learn(&mut self, batch: &T::Batch, files: &mut Vec<std::path::PathBuf>) -> Result<(), TrainError> {
        let Place { epoch, batch: number } = self.loader.place();
        let key = [self.parts.config.seed, epoch, number];
        let pass = Pass::Train { seed: Random::new(Purpose::Dropout, key).bits() };
        let input = self.task.input(batch);
        let pictures = input.shape()[0];
        let outputs: Vec<Tensor> = self.device.forward(&mut self.parameters, input, pass)?;
        let (losses, gradients) = self.task.loss(&outputs, batch);
        files.extend(self.task.files(batch));
        let (_, loss) = losses[0];
        self.device.backward(&self.parameters, &gradients, &mut self.gradients)?;
        if !loss.is_finite() {
            return Err(self.blowup("loss", loss, files));
        }
        self.saved.epoch_sums.add(&losses);
        self.saved.point_sums.add(&losses);
        self.saved.record.pictures += pictures;
        self.output.loss = loss;
        Ok(())
    }

    /// Moves the parameters by the gradients of `batches` batches.
    fn step(&mut self, batches: u64, files: &[std::path::PathBuf]) -> Result<(), TrainError> {
        self.parts.reduce.mean(&mut self.gradients)?;
        let norm = self.parts.groups.norm(&self.gradients) / batches as f64;
        let learning_rate = self.schedule.at(self.saved.step);
        if !norm.is_finite() {
            return Err(self.blowup("gradient", norm, files));
        }
        let clip = self.parts.config.clip_norm.map_or(1.0, |limit| clip_scale(norm, limit));
        let size = StepSize { learning_rate: learning_rate as f32, gradient_scale: clip / batches as f32 };
        self.optimiser.step(&mut self.parameters, &self.gradients, &self.parts.groups, size);
        if let Some(ema) = &mut self.ema {
            ema.update(&self.parameters);
        }
        self.saved.step += 1;
        self.saved.record.learning_rate = learning_rate;
        self.output.gradient_norm = norm;
        self.output.step(&self.folder, self.saved.step, learning_rate)?;

        let total = self.steps_per_epoch() * self.parts.config.epochs as u64;
        if self.saved.step.is_multiple_of(total.div_ceil(POINTS).max(1)) {
            let loss = self.saved.point_sums.means().get("loss").copied().unwrap_or(f64::NAN);
            self.saved.history.points.push(Point { step: self.saved.step, loss, learning_rate });
            self.saved.point_sums = Sums::default();
        }
        Ok(())
    }

    /// Judges and saves what an epoch has made.
    fn close_epoch(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let config = self.parts.config;
        let epoch = self.saved.epoch as usize + 1;
        let mut record = std::mem::take(&mut self.saved.record);
        self.pace.step_time += Duration::from_secs_f64(record.data_seconds + record.compute_seconds);
        record.epoch = epoch;
        record.step = self.saved.step;
        record.losses = std::mem::take(&mut self.saved.epoch_sums).means();
        if epoch.is_multiple_of(config.eval_every) || epoch == config.epochs {
            let start = Instant::now();
            let model = self.model()?;
            let total = self.parts.counts[1];
            let Judgement { scores, problems } =
                self.task.judge(&model, &mut |done| observer.judged(done, total))?;
            self.tell(&problems, observer);
            record.judge_seconds = start.elapsed().as_secs_f64();
            self.pace.judge_time += start.elapsed();
            self.pace.judgements += 1;
            let (name, score) = scores[0];
            record.is_best = self.saved.history.best.as_ref().is_none_or(|best| score > best.score);
            if record.is_best {
                let best = crate::record::Best { name: name.to_owned(), score, epoch };
                self.saved.history.best = Some(best);
                self.checkpoint(&self.folder.best())?;
            }
            record.scores = scores.into_iter().map(|(name, score)| (name.to_owned(), score)).collect();
            self.saved.history.epochs.push(record.clone());
            let samples = self.task.samples(&model, config.samples)?;
            self.output.report(&self.folder, &self.parts, &self.saved.history, &samples)?;
        } else {
            self.saved.history.epochs.push(record.clone());
        }
        self.checkpoint(&self.folder.last())?;
        self.output.epoch(&self.folder, &self.saved.history)?;
        self.saved.epoch += 1;
        self.saved.batch = 0;
        self.save()?;
        observer.epoch(&record);
        Ok(())
    }

    /// The parameters that are judged and kept.
    fn judged(&self) -> &Parameters {
        self.ema.as_ref().map_or(&self.parameters, Ema::average)
    }

    fn model(&self) -> Result<Model, TrainError> {
        let mut options = Options::default();
        options.threads = self.parts.config.threads.unwrap_or(options.threads);
        Ok(Model::new(self.parts.graph, self.judged(), &options)?)
    }

    fn checkpoint(&self, path: &std::path::Path) -> Result<(), TrainError> {
        crate::checkpoint::save(path, self.parts.network, self.judged(), self.parts.labels)?;
        state::sync_folder(path)
    }

    fn save(&mut self) -> Result<(), TrainError> {
        self.saved.optimiser_steps = self.optimiser.steps();
        self.saved.ema_steps = self.ema.as_ref().map_or(0, Ema::steps);
        let mut stretches = vec![("parameters", &self.parameters)];
        stretches.extend(MOMENTS.into_iter().zip(self.optimiser.moments()));
        stretches.extend(self.ema.iter().map(|ema| (EMA, ema.average())));
        state::write(&self.folder.state(), &self.saved, &stretches)?;
        self.last_save = Instant::now();
        Ok(())
    }

    /// Goes to where the run in the folder stopped, if that is wanted.
    fn restore(&mut self) -> Result<(), TrainError> {
        let path = self.folder.state();
        if !self.parts.resume {
            if path.is_file() {
                let out = self.folder.path().display();
                let words = "resume it, remove it, or begin this one in another folder";
                return Err(TrainError::conflict(format!("{out}: a run is there already; {words}")));
            }
            return Ok(());
        }
        let Some(state) = state::read::<Saved>(&path)? else { return Ok(()) };
        let damaged = |reason: &str| TrainError::State { path: path.clone(), reason: reason.to_owned() };
        let mut before = Config::default();
        before.apply(&path, &state.content.config)?;
        let changed = self.parts.config.changes(&before);
        if !changed.is_empty() {
            return Err(ConfigError::Changed { out: self.folder.path().to_owned(), changed }.into());
        }
        if state.content.fingerprint != self.saved.fingerprint {
            return Err(TrainError::conflict(format!(
                "{}: the data is not that with which the run was begun: a picture, its class, its boxes or the \
                 order has changed",
                self.parts.config.data.display()
            )));
        }
        let mut whole = state.restore("parameters", &mut self.parameters);
        for (name, moments) in MOMENTS.into_iter().zip(self.optimiser.moments_mut()) {
            whole &= state.restore(name, moments);
        }
        if let Some(ema) = &mut self.ema {
            whole &= state.restore(EMA, ema.restore(state.content.ema_steps));
        }
        if !whole {
            return Err(damaged("its parameters are another network's"));
        }
        self.optimiser.set_steps(state.content.optimiser_steps);
        let config = std::mem::take(&mut self.saved.config);
        self.saved = Saved { config, ..state.content };
        Ok(())
    }

    fn steps_per_epoch(&self) -> u64 {
        self.loader.batches().div_ceil(self.parts.config.accumulate as u64)
    }

    fn progress(&mut self, data: Duration, compute: Duration, pictures: usize) -> Progress {
        let seconds = (data + compute).as_secs_f64().max(1e-9);
        self.pace.steps += 1;
        let config = self.parts.config;
        let (batches, batch) = (self.loader.batches(), self.saved.batch);
        // By the pictures of this epoch, for all that are left.
        let epochs_left =
            config.epochs as f64 - self.saved.epoch as f64 - batch as f64 / batches.max(1) as f64;
        let an_epoch = seconds / pictures.max(1) as f64 * (batches as usize * config.batch) as f64;
        let judgements = (epochs_left.ceil() / config.eval_every as f64).ceil();
        let judging = self.pace.judge_time.as_secs_f64() / f64::from(self.pace.judgements.max(1));
        Progress {
            epoch: self.saved.epoch as usize,
            epochs: config.epochs,
            batch,
            batches,
            step: self.saved.step,
            loss: self.output.loss,
            gradient_norm: self.output.gradient_norm,
            learning_rate: self.saved.record.learning_rate,
            pictures_per_second: pictures as f64 / seconds,
            data_time: data,
            compute_time: compute,
            left: Duration::from_secs_f64((epochs_left * an_epoch + judgements * judging).max(0.0)),
        }
    }

    /// Tells problems that are new.
    fn tell(&mut self, problems: &[Problem], observer: &mut dyn Observer) {
        for problem in problems {
            if !self.told.contains(problem) {
                observer.problem(problem);
                self.told.push(problem.clone());
            }
        }
    }

    fn blowup(&self, what: &'static str, value: f64, files: &[std::path::PathBuf]) -> TrainError {
        TrainError::NotFinite(Box::new(Blowup {
            what,
            value,
            step: self.saved.step + 1,
            learning_rate: self.schedule.at(self.saved.step),
            node: self.device.first_not_finite(),
            files: files.to_vec(),
        }))
    }
}

/// Names of an optimiser's moments in a state.
const MOMENTS: [&str; 2] = ["moment.0", "moment.1"];
/// The average's name in a state.
const EMA: &str = "average";

impl Config {
    /// Pictures of a step, of all its batches.
    fn step_pictures(&self) -> usize {
        self.batch * self.accumulate
    }

    /// How many moments the optimiser keeps.
    pub(crate) fn moments(&self) -> usize {
        if self.optimiser == OptimiserKind::Sgd { 1 } else { 2 }
    }

    fn optimiser(&self, parameters: &Parameters) -> Box<dyn Optimiser> {
        match self.optimiser {
            OptimiserKind::Sgd => Box::new(Sgd::new(parameters, self.momentum, self.nesterov)),
            OptimiserKind::RmsProp => {
                let epsilon = self.epsilon.unwrap_or(1e-3);
                Box::new(RmsProp::new(parameters, self.rmsprop_decay, self.momentum, epsilon))
            }
            OptimiserKind::AdamW => {
                let betas = [self.betas[0] as f32, self.betas[1] as f32];
                Box::new(AdamW::new(parameters, betas, self.epsilon.unwrap_or(1e-8)))
            }
        }
    }

    fn schedule(&self, steps_per_epoch: u64) -> Schedule {
        let scale = self.learning_rate_batch.map_or(1.0, |of| self.step_pictures() as f64 / of.max(1) as f64);
        let steps = |epochs: f64| epochs * steps_per_epoch as f64;
        Schedule {
            learning_rate: self.learning_rate * scale,
            warm_up_steps: steps(self.warm_up_epochs).round() as u64,
            warm_up_from: self.warm_up_from * scale,
            decay: match self.schedule {
                ScheduleKind::Constant => Decay::Constant,
                ScheduleKind::Exponential => Decay::Exponential {
                    factor: self.decay_factor,
                    every: steps(self.decay_epochs),
                    staircase: self.staircase,
                },
                ScheduleKind::Cosine => {
                    Decay::Cosine { steps: steps(self.epochs as f64) as u64, floor: self.cosine_floor }
                }
            },
        }
    }
}
