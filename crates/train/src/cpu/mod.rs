//! Training on the CPU.
//!
//! The graph is lowered to a [program](program) of units, in which what follows a BatchNorm is [fused](fuse) with it; the
//! [way back](backward) is a list of steps made from the program once; a [plan](plan) gives every value and every
//! gradient its place for one shape of input. [Running](forward) a unit, or a [step back](run), is a call or two of
//! `effigy-kernels` and `effigy-gradients`.

mod backward;
mod forward;
mod fuse;
mod memory;
mod plan;
mod profile;
mod program;
mod run;

use std::cell::RefCell;
use std::collections::HashSet;

use effigy_arch::Graph;
use effigy_gradients::{Batch, Factors, GradientSums, Statistics};
use effigy_kernels::{Cpu, Isa};
use effigy_tensor::Tensor;

use crate::parameters::Slot;
use crate::{Device, DeviceError, Parameters, Pass};
use backward::Backward;
use memory::Memory;
use plan::Plan;
use profile::{Profile, Work};
use program::Program;

pub use profile::Timing;

/// In what numbers convolutions are multiplied in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrainingPrecision {
    /// 32-bit floats throughout.
    #[default]
    Fp32,
    /// Products of 16-bit floats, summed in 32 bits, in all convolutions but depthwise ones, forward and for the
    /// gradients of their inputs. The gradients of weights, the weights themselves and everything else stay 32-bit
    /// floats. Faster only where [`Isa::has_bf16`].
    Bf16,
}

/// How a [`CpuDevice`] trains.
#[derive(Clone, Debug)]
pub struct CpuOptions {
    /// Threads that share the work; results do not depend on it.
    pub threads: usize,
    /// The instruction set; results differ in their last digits from one to another.
    pub isa: Isa,
    /// In what numbers convolutions are multiplied.
    pub precision: TrainingPrecision,
    /// Parameters by name that get no gradient. Below the lowest parameter that is trained nothing is computed on
    /// the way back. A BatchNorm whose `running_mean` is among them normalises by its moving statistics in training
    /// too, and leaves them as they are.
    pub frozen: HashSet<String>,
}

impl CpuOptions {
    /// Everything is trained, in 32-bit floats, with the best instruction set.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { threads, isa: Isa::best(), precision: TrainingPrecision::Fp32, frozen: HashSet::new() }
    }
}

/// A network trained by this computer's processor.
pub struct CpuDevice {
    cpu: Cpu,
    precision: TrainingPrecision,
    graph: Graph,
    program: Program,
    backward: Backward,
    /// What every BatchNorm normalised the last batch by, in the order of the units.
    batches: Vec<Batch>,
    /// The statistics of the batch that is running, by the BatchNorm that they are for.
    statistics: Vec<Option<Statistics>>,
    /// For each unit the BatchNorm that takes the statistics of its value.
    counted_by: Vec<Option<usize>>,
    /// The sums of every BatchNorm's way back, and what they gave.
    sums: Vec<Option<GradientSums>>,
    factors: Vec<Factors>,
    /// The memory of the last shapes: one for training, one for evaluation.
    memories: Vec<Memory>,
    /// What the images of a turn may touch, see [`plan::CACHED`].
    cached: usize,
    /// The seed of the batch that gradients can be computed for.
    seed: Option<u64>,
    not_finite: Option<String>,
    /// What takes how long, where that was asked for.
    profile: Option<RefCell<Profile>>,
}

impl CpuDevice {
    /// A device for the network of `graph`.
    #[must_use]
    pub fn new(graph: Graph, options: &CpuOptions) -> Self {
        let program = Program::new(&graph, &Slot::all(&graph), &options.frozen);
        let units = program.units.len();
        Self {
            cpu: Cpu::new(options.isa, options.threads),
            precision: options.precision,
            backward: Backward::new(&program),
            batches: vec![Batch::default(); units],
            statistics: (0..units).map(|_| None).collect(),
            counted_by: program.counted_by(),
            sums: (0..units).map(|_| None).collect(),
            factors: vec![Factors::default(); units],
            program,
            graph,
            memories: Vec::new(),
            cached: plan::CACHED,
            seed: None,
            not_finite: None,
            profile: None,
        }
    }

    /// From now on, notes how long everything takes.
    pub fn start_profile(&mut self) {
        self.profile = Some(RefCell::new(Profile::start()));
    }

    /// What everything has taken, in all, since [`start_profile`](Self::start_profile); operations and bytes are those
    /// of one step.
    #[must_use]
    pub fn profile(&self) -> Vec<Timing> {
        let memory = self.memories.iter().find(|memory| memory.plan.training);
        let (Some(profile), Some(memory)) = (&self.profile, memory) else { return Vec::new() };
        profile.borrow().timings(&self.graph, &self.program.units, memory)
    }

    /// What has passed since the last lap was work for the unit at `position`.
    fn lap(&self, position: usize, work: Work) {
        if let Some(profile) = &self.profile {
            profile.borrow_mut().lap(position, work);
        }
    }

    /// What has passed since the last lap was the caller's.
    fn start_laps(&self) {
        if let Some(profile) = &self.profile {
            profile.borrow_mut().skip();
        }
    }

    fn shape(&self, input: &Tensor) -> Result<[usize; 4], DeviceError> {
        let channels = self.graph.input_channels();
        match input.shape() {
            &[n, h, w, c] if c == channels && n * h * w > 0 => Ok([n, h, w, c]),
            found => Err(DeviceError::Input { found: found.to_vec(), channels }),
        }
    }

    /// The memory for batches of this shape; that of another shape is given back before.
    fn memory(&mut self, shape: [usize; 4], training: bool) -> Memory {
        if let Some(position) = self.memories.iter().position(|memory| memory.plan.training == training) {
            let memory = self.memories.swap_remove(position);
            if memory.plan.shape == shape {
                return memory;
            }
        }
        Memory::new(Plan::new(&self.graph, &self.program, &self.backward, shape, training, self.cached))
    }

    fn run_back(
        &mut self,
        seed: u64,
        parameters: &Parameters,
        gradients: &mut Parameters,
        memory: &mut Memory,
    ) {
        let batch = memory.plan.shape[0];
        self.start_laps();
        for segment in memory.plan.backward.clone() {
            let prepare = |step| {
                let prepared = self.prepare_back(step, seed, parameters, memory);
                self.lap(self.backward.steps[step].unit(), Work::PrepareBack);
                prepared
            };
            let prepared: Vec<_> = segment.range.clone().map(prepare).collect();
            for images in segment.turns(batch) {
                memory.images = images;
                for (step, prepared) in segment.range.clone().zip(&prepared) {
                    self.step_back(step, prepared, seed, parameters, gradients, memory);
                }
            }
            memory.images = 0..batch;
            segment.range.for_each(|step| self.finish_back(step, gradients));
        }
    }

    /// Remembers the first node, in time, that had a value which is not finite.
    fn note(&mut self, node: effigy_arch::NodeId, values: &[f32]) {
        // All of them, without a way out: that takes vectors.
        let any = || values.iter().fold(false, |any, value| any | !value.is_finite());
        if self.not_finite.is_none() && any() {
            self.not_finite = Some(self.graph.node(node).name.clone());
        }
    }
}

impl Device for CpuDevice {
    fn forward(
        &mut self,
        parameters: &mut Parameters,
        input: &Tensor,
        pass: Pass,
    ) -> Result<Vec<Tensor>, DeviceError> {
        let shape = self.shape(input)?;
        self.not_finite = None;
        self.seed = match pass {
            Pass::Train { seed } => Some(seed),
            Pass::Evaluate => None,
        };
        let mut memory = self.memory(shape, self.seed.is_some());
        self.start_laps();
        for segment in memory.plan.forward.clone() {
            let prepare = |position| {
                let prepared = self.prepare(position, parameters, &memory);
                self.lap(position, Work::Prepare);
                prepared
            };
            let mut prepared: Vec<_> = segment.range.clone().map(prepare).collect();
            for images in segment.turns(shape[0]) {
                memory.images = images;
                for (position, prepared) in segment.range.clone().zip(&mut prepared) {
                    self.forward_unit(position, prepared, input, &mut memory);
                }
            }
            memory.images = 0..shape[0];
            segment.range.for_each(|position| self.note_value(position, parameters, &memory));
        }
        let outputs = self.program.outputs.iter().map(|output| memory.tensor(&self.cpu, *output)).collect();
        self.memories.push(memory);
        Ok(outputs)
    }

    fn backward(
        &mut self,
        parameters: &Parameters,
        output_gradients: &[Tensor],
        gradients: &mut Parameters,
    ) -> Result<(), DeviceError> {
        // Gradients overwrite values of the forward pass: once is all that it is good for.
        let memory = self.memories.iter().position(|memory| memory.plan.training);
        let (Some(seed), Some(position)) = (self.seed.take(), memory) else {
            return Err(DeviceError::Gradients("gradients follow a forward pass in training mode".into()));
        };
        let given = self.backward.given.clone();
        let mut memory = self.memories.swap_remove(position);
        let fit = memory.give(&self.cpu, &given, output_gradients);
        if fit.is_ok() {
            self.run_back(seed, parameters, gradients, &mut memory);
        }
        self.memories.push(memory);
        fit
    }

    fn first_not_finite(&self) -> Option<String> {
        self.not_finite.clone()
    }

    fn memory_needed(&self, shape: [usize; 4]) -> u64 {
        Plan::new(&self.graph, &self.program, &self.backward, shape, true, self.cached).bytes()
    }
}

/// A seed of its own for what unit `position` drops.
fn stream(seed: u64, position: usize) -> u64 {
    seed.rotate_left(17).wrapping_add((position as u64 + 1).wrapping_mul(0xd1b5_4a32_d192_ed03))
}

#[cfg(test)]
mod tests;
