//! A compiled network: weights packed for the processor, shared by every input shape.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use effigy_arch::{Conv, Graph, NodeId, Quantisation};
use effigy_kernels::int8::Quant;
use effigy_kernels::{Activation, Cpu, Expansion, Isa, Layout, PackedConv, PackedDepthwise, View};
use effigy_tensor::Tensor;

use crate::error::EngineError;
use crate::input::Input;
use crate::pack;
use crate::passes;
use crate::plan::Plan;
use crate::precision::Precision;
use crate::program::{MaxPool, Program, WeightedSum};
use crate::quantised::Quantised;
use crate::run::{Value, Watch};
use crate::separable::{self, Separable};

/// Where a model finds its parameters. Several threads read at the same time.
pub trait Parameters: Sync {
    /// The values of a parameter in row-major order, by its name in the graph.
    fn parameter(&self, name: &str) -> Option<Cow<'_, [f32]>>;

    /// Told when a parameter has been packed: it is most likely not asked for any more.
    fn release(&self, _name: &str) {}
}

impl Parameters for HashMap<String, Tensor> {
    fn parameter(&self, name: &str) -> Option<Cow<'_, [f32]>> {
        self.get(name).map(|tensor| Cow::Borrowed(tensor.data()))
    }
}

/// How a model is compiled.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that share the work of one call, at least one; all of the processor's by default.
    pub threads: usize,
    /// The instruction set; the processor's best by default.
    pub isa: Isa,
    /// In what numbers the network computes.
    pub precision: Precision,
    /// The ranges of values that [`Precision::Int8`] needs; see [`Calibration`](crate::Calibration).
    pub quantisation: Option<Arc<Quantisation>>,
    /// Nodes or endpoints whose values a call returns after the graph's outputs.
    pub taps: Vec<String>,
    /// Whether operations are fused. Results differ only in rounding.
    pub fuse: bool,
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads,
            isa: Isa::best(),
            precision: Precision::Fp32,
            quantisation: None,
            taps: Vec::new(),
            fuse: true,
        }
    }
}

/// A network ready to run, for any batch and picture size.
///
/// It may be shared by threads: calls at the same time each have their own memory, and whoever finds
/// the pool of threads busy works alone.
#[derive(Debug)]
pub struct Model {
    pub(crate) graph: Graph,
    pub(crate) steps: Vec<Step>,
    pub(crate) results: Vec<NodeId>,
    /// What values of bytes stand for; all others are floats.
    pub(crate) quants: HashMap<NodeId, Quant>,
    /// Of which value the i-th behind the graph's last node is a copy.
    pub(crate) copies: Vec<NodeId>,
    pub(crate) cpu: Cpu,
    precision: Precision,
    /// Plans by input shape [N, H, W], the most recently used last.
    plans: Mutex<Vec<([usize; 3], Arc<Plan>)>>,
}

/// Plans kept for other shapes; pictures of every size must not fill the memory.
const PLANS_KEPT: usize = 8;

/// A unit with its weights packed.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) value: NodeId,
    pub(crate) inputs: Vec<NodeId>,
    pub(crate) operation: Operation,
}

#[derive(Debug)]
pub(crate) enum Operation {
    /// Brings the caller's pictures into a halo.
    Input,
    /// The caller's pictures, whose rows the only step that reads them brings when it needs them.
    Fed,
    Dense {
        conv: Conv,
        packed: PackedConv,
        activation: Activation,
        gate: Option<NodeId>,
        residual: Option<NodeId>,
    },
    Depthwise {
        expand: Option<Expand>,
        conv: Conv,
        packed: PackedDepthwise,
        activation: Activation,
        mean: Option<NodeId>,
    },
    Affine {
        scale: Vec<f32>,
        shift: Vec<f32>,
    },
    Activation(Activation),
    Mean,
    Scale,
    Add,
    MaxPool(MaxPool),
    Upsample,
    WeightedSum(WeightedSum),
    Separable(Vec<Separable>),
    Quantised(Box<Quantised>),
}

/// A convolution that runs piece by piece with the depthwise one after it.
#[derive(Debug)]
pub(crate) struct Expand {
    pub(crate) conv: Conv,
    pub(crate) packed: PackedConv,
    pub(crate) activation: Activation,
}

/// How long a step took.
#[derive(Clone, Debug)]
pub struct NodeTime {
    /// The node whose value the step computed (the last one of those fused).
    pub name: String,
    /// What it did: `dense 3×3`, `depthwise 5×5`, …
    pub operation: String,
    /// What ran, by type, tile and instruction set: `f32 gemm 6x16 avx2`.
    pub kernel: String,
    /// Multiply-accumulates of the step for the whole batch.
    pub macs: u64,
    /// Bytes of its weights and biases, as they are packed.
    pub weight_bytes: u64,
    /// Bytes of the values that it reads and writes for the whole batch, halos apart. What lies between two
    /// convolutions that are fused is not among them.
    pub value_bytes: u64,
    /// The time it took.
    pub time: Duration,
}

impl Model {
    /// Compiles `graph` with its `parameters`.
    ///
    /// # Errors
    /// When a parameter is missing or has the wrong length, a tap is unknown, an operation is not
    /// supported, or the precision cannot be had here.
    pub fn new(graph: &Graph, parameters: &dyn Parameters, options: &Options) -> Result<Self, EngineError> {
        let mut program = Program::lower(graph, parameters, &options.taps)?;
        let missing = |reason| EngineError::Precision { precision: options.precision, reason };
        match options.precision {
            Precision::Fp32 | Precision::Bf16 if options.fuse => passes::fuse(&mut program),
            Precision::Fp32 | Precision::Bf16 => (),
            Precision::Int8 => {
                let measured = options.quantisation.as_deref().ok_or_else(|| missing(NO_RANGES))?;
                passes::fuse_values(&mut program);
                passes::quantise(&mut program, graph, measured)?;
                passes::fuse_blocks(&mut program);
            }
        }
        Self::pack(graph, program, options)
    }

    /// Packs a program's weights for the processor.
    pub(crate) fn pack(graph: &Graph, program: Program<'_>, options: &Options) -> Result<Self, EngineError> {
        let Program { units, results, quants, copies } = program;
        let cpu = Cpu::new(options.isa, options.threads);
        let steps = pack::steps(&cpu, options.precision, &quants, units, &results)?;
        Ok(Self {
            graph: graph.clone(),
            steps,
            results,
            quants,
            copies,
            cpu,
            precision: options.precision,
            plans: Mutex::default(),
        })
    }

    /// Runs the network on `input`: a tensor `[N, H, W, C]`, already normalised, or 8-bit [`Input::Pixels`]; any N, H and
    /// W from 1 on.
    ///
    /// Returns the graph's outputs, then the taps, each `[N, H, W, C]` (`[N, C]` where H = W = 1).
    ///
    /// # Errors
    /// When the input's shape is not a batch of pictures with the network's channels.
    pub fn run<'a>(&self, input: impl Into<Input<'a>>) -> Result<Vec<Tensor>, EngineError> {
        self.run_with(input, copy_all)
    }

    /// As [`run`](Self::run), but shows the results to `read` where they lie instead of copying them: a
    /// detector's are millions of numbers of which few are wanted.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_with<'a, R>(
        &self,
        input: impl Into<Input<'a>>,
        read: impl FnOnce(&[Value<'_>]) -> R,
    ) -> Result<R, EngineError> {
        let input = input.into();
        Ok(self.plan(&input)?.run(self, input.samples(), Watch::Nothing, read))
    }

    /// As [`run`](Self::run), and how long each step took, in the order of execution.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_timed<'a>(
        &self,
        input: impl Into<Input<'a>>,
    ) -> Result<(Vec<Tensor>, Vec<NodeTime>), EngineError> {
        let input = input.into();
        let plan = self.plan(&input)?;
        let mut times = Vec::new();
        let results = plan.run(self, input.samples(), Watch::Times(&mut times), copy_all);
        let described = self.steps.iter().zip(times).map(|(step, time)| NodeTime {
            name: self.graph.node(self.origin(step.value)).name.clone(),
            operation: step.operation.describe(),
            kernel: step.operation.kernel_name(self.cpu.isa),
            macs: plan.macs(step),
            weight_bytes: step.operation.weight_bytes() as u64,
            value_bytes: plan.value_bytes(self, step),
            time,
        });
        Ok((results, described.collect()))
    }

    /// Calls `task` with each number below `tasks` on the model's threads, for work before or after a call
    /// of [`run_with`](Self::run_with); on the calling thread alone while they are busy.
    pub fn share(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        self.cpu.pool.run(tasks, task);
    }

    /// As [`run`](Self::run), showing every value to `see` once it is computed.
    pub(crate) fn run_watched(
        &self,
        input: &Tensor,
        see: &mut dyn FnMut(NodeId, View<'_>),
    ) -> Result<Vec<Tensor>, EngineError> {
        let input = Input::from(input);
        Ok(self.plan(&input)?.run(self, input.samples(), Watch::Values(see), copy_all))
    }

    /// The graph that was compiled.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Threads that share the work of one call.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.cpu.pool.threads()
    }

    /// The instruction set that the kernels use.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.cpu.isa
    }

    /// The graph's node whose values a value holds: its own, or that of which it is a copy.
    pub(crate) fn origin(&self, value: NodeId) -> NodeId {
        let nodes = self.graph.nodes.len();
        value.0.checked_sub(nodes).map_or(value, |copy| self.copies[copy])
    }

    /// Convolutions that compute with 8-bit integers, by the names of the values that they compute.
    pub fn quantised_nodes(&self) -> impl Iterator<Item = &str> {
        let values = self.steps.iter().flat_map(|step| match &step.operation {
            Operation::Quantised(quantised) => quantised.convolutions(step.value),
            _ => [None; 3],
        });
        values.flatten().map(|value| self.graph.node(value).name.as_str())
    }

    /// Whether a value is the caller's pictures, whose rows are brought where they are read.
    pub(crate) fn is_fed(&self, value: NodeId) -> bool {
        let fed = |step: &Step| step.value == value && matches!(step.operation, Operation::Fed);
        self.steps.iter().any(fed)
    }

    /// Values of the strip of `value` that a thread keeps for an expansion that reads it: none, unless it is fed.
    pub(crate) fn strip_len(&self, expansion: &Expansion<'_>, value: NodeId, layout: &Layout) -> usize {
        if self.is_fed(value) { expansion.strip_len(layout) } else { 0 }
    }

    /// In what numbers the network computes.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The plan for an input's shape: a kept one, or a new one.
    fn plan(&self, input: &Input<'_>) -> Result<Arc<Plan>, EngineError> {
        let key = input.pictures(self.graph.input_channels())?;
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = match plans.iter().position(|(kept, _)| *kept == key) {
            Some(position) => plans.remove(position).1,
            None => Arc::new(Plan::new(self, key)),
        };
        if plans.len() == PLANS_KEPT {
            plans.remove(0);
        }
        plans.push((key, Arc::clone(&plan)));
        Ok(plan)
    }
}

/// What to do without ranges.
const NO_RANGES: &str =
    "these weights carry no ranges of the network's values; `effigy quantize` measures them";

fn copy_all(values: &[Value<'_>]) -> Vec<Tensor> {
    values.iter().map(Value::to_tensor).collect()
}

impl Operation {
    /// The convolution that reads the first input, where there is one.
    fn first_conv(&self) -> Option<&Conv> {
        match self {
            Self::Depthwise { expand: Some(expand), .. } => Some(&expand.conv),
            Self::Quantised(quantised) => quantised.first_conv(),
            _ => self.conv(),
        }
    }

    /// The convolution that computes the output, where there is one.
    pub(crate) fn conv(&self) -> Option<&Conv> {
        match self {
            Self::Dense { conv, .. } | Self::Depthwise { conv, .. } => Some(conv),
            Self::Quantised(quantised) => quantised.conv(),
            _ => None,
        }
    }

    /// Bytes of its packed weights.
    fn weight_bytes(&self) -> usize {
        match self {
            Self::Dense { packed, .. } => packed.bytes(),
            Self::Depthwise { expand, packed, .. } => {
                packed.bytes() + expand.as_ref().map_or(0, |expand| expand.packed.bytes())
            }
            Self::Separable(all) => separable::bytes(all),
            Self::Quantised(quantised) => quantised.weight_bytes(),
            Self::Affine { scale, shift } => size_of_val(&scale[..]) + size_of_val(&shift[..]),
            _ => 0,
        }
    }

    /// The kernels that run it, by type, tile and instruction set.
    fn kernel_name(&self, isa: Isa) -> String {
        let vectors = |name: &str| format!("f32 {name} c{} {}", isa.lanes(), isa.name());
        match self {
            Self::Dense { packed, .. } => packed.kernel_name(isa),
            Self::Depthwise { expand: Some(expand), packed, .. } => {
                format!("{} + {}", expand.packed.kernel_name(isa), packed.kernel_name(isa))
            }
            Self::Depthwise { packed, .. } => packed.kernel_name(isa),
            Self::Separable(all) => separable::kernel_name(all, isa),
            Self::Quantised(quantised) => quantised.kernel_name(isa),
            Self::Activation(_) | Self::Upsample | Self::WeightedSum(_) | Self::MaxPool(_) => {
                vectors(&self.describe().replace('×', "x"))
            }
            // Plain Rust, the same for all instruction sets.
            Self::Fed => "by the next step".into(),
            Self::Input | Self::Affine { .. } | Self::Mean | Self::Scale | Self::Add => {
                format!("f32 {}", self.describe())
            }
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Dense { conv, .. } => format!("dense {0}×{0}", conv.kernel),
            Self::Depthwise { expand: Some(expand), conv, .. } => {
                format!("dense {0}×{0} + depthwise {1}×{1}", expand.conv.kernel, conv.kernel)
            }
            Self::Depthwise { conv, .. } => format!("depthwise {0}×{0}", conv.kernel),
            Self::Input | Self::Fed => "input".into(),
            Self::Affine { .. } => "affine".into(),
            Self::Activation(function) => format!("{function:?}").to_lowercase(),
            Self::Mean => "mean".into(),
            Self::Scale => "scale".into(),
            Self::Add => "add".into(),
            Self::MaxPool(pool) => format!("max pool {0}×{0}", pool.kernel),
            Self::Upsample => "upsample".into(),
            Self::WeightedSum(_) => "weighted sum".into(),
            Self::Separable(all) => separable::describe(all),
            Self::Quantised(quantised) => quantised.describe(),
        }
    }
}

impl Step {
    /// Every value that the step reads.
    pub(crate) fn reads(&self) -> impl Iterator<Item = NodeId> + '_ {
        let fused = match &self.operation {
            Operation::Dense { gate, residual, .. } => [*gate, *residual],
            Operation::Separable(all) => [all[0].residual, None],
            Operation::Quantised(quantised) => [None, quantised.residual()],
            _ => [None, None],
        };
        self.inputs.iter().copied().chain(fused.into_iter().flatten())
    }

    /// Every value that a convolution's windows pass over, and that convolution.
    pub(crate) fn convolved(&self) -> impl Iterator<Item = (&Conv, NodeId)> {
        let all = match &self.operation {
            Operation::Separable(all) => &all[..],
            _ => &[],
        };
        let first = self.operation.first_conv().zip(self.inputs.first().copied());
        first.into_iter().chain(all.iter().filter_map(Separable::reads_map))
    }

    /// Every value that the step computes.
    pub(crate) fn writes(&self) -> impl Iterator<Item = NodeId> + '_ {
        let (mean, others) = match &self.operation {
            Operation::Depthwise { mean, .. } => (*mean, &[][..]),
            Operation::Separable(all) => (None, &all[1..]),
            Operation::Quantised(quantised) => (quantised.mean(), &[][..]),
            _ => (None, &[][..]),
        };
        std::iter::once(self.value).chain(mean).chain(others.iter().map(|other| other.value))
    }
}
