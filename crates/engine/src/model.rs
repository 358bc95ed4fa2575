//! A compiled network: weights packed for the processor, shared by every input shape.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use effigy_arch::{Conv, Graph, NodeId};
use effigy_kernels::{Activation, ConvShape, Cpu, Isa, PackedConv, PackedDepthwise};
use effigy_tensor::Tensor;

use crate::error::EngineError;
use crate::passes;
use crate::plan::Plan;
use crate::precision::Precision;
use crate::program::{Dense, Kind, MaxPool, Program, WeightedSum};
use crate::run::Value;

/// Where a model finds its parameters.
pub trait Parameters {
    /// The values of a parameter in row-major order, by its name in the graph.
    fn parameter(&self, name: &str) -> Option<Cow<'_, [f32]>>;
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
    /// Nodes or endpoints whose values a call returns after the graph's outputs.
    pub taps: Vec<String>,
    /// Whether operations are fused. Results differ only in rounding.
    pub fuse: bool,
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads, isa: Isa::best(), precision: Precision::Fp32, taps: Vec::new(), fuse: true }
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
    Input,
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
}

/// A 1×1 convolution that runs row by row with the depthwise one after it.
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
    /// What ran: `dense 3×3`, `depthwise 5×5`, …
    pub kernel: String,
    /// Multiply-accumulates of the step for the whole batch.
    pub macs: u64,
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
        check(options.precision)?;
        let mut program = Program::lower(graph, parameters, &options.taps)?;
        if options.fuse {
            passes::fuse(&mut program);
        }
        let Program { units, results } = program;
        let steps = units
            .into_iter()
            .map(|unit| Step {
                value: unit.value,
                inputs: unit.inputs,
                operation: Operation::pack(options, unit.kind),
            })
            .collect();
        let cpu = Cpu::new(options.isa, options.threads);
        Ok(Self {
            graph: graph.clone(),
            steps,
            results,
            cpu,
            precision: options.precision,
            plans: Mutex::default(),
        })
    }

    /// Runs the network on `input: [N, H, W, C]`, already normalised; any N, H and W from 1 on.
    ///
    /// Returns the graph's outputs, then the taps, each `[N, H, W, C]` (`[N, C]` where H = W = 1).
    ///
    /// # Errors
    /// When the input's shape is not a batch of pictures with the network's channels.
    pub fn run(&self, input: &Tensor) -> Result<Vec<Tensor>, EngineError> {
        self.run_with(input, copy_all)
    }

    /// As [`run`](Self::run), but shows the results to `read` where they lie instead of copying them: a
    /// detector's are millions of numbers of which few are wanted.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_with<R>(
        &self,
        input: &Tensor,
        read: impl FnOnce(&[Value<'_>]) -> R,
    ) -> Result<R, EngineError> {
        let plan = self.plan(input.shape())?;
        Ok(plan.run(self, input.data(), None, read))
    }

    /// As [`run`](Self::run), and how long each step took, in the order of execution.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_timed(&self, input: &Tensor) -> Result<(Vec<Tensor>, Vec<NodeTime>), EngineError> {
        let plan = self.plan(input.shape())?;
        let mut times = Vec::new();
        let results = plan.run(self, input.data(), Some(&mut times), copy_all);
        let described = self.steps.iter().zip(times).map(|(step, time)| NodeTime {
            name: self.graph.node(step.value).name.clone(),
            kernel: step.operation.describe(),
            macs: plan.macs(step),
            time,
        });
        Ok((results, described.collect()))
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

    /// In what numbers the network computes.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The plan for an input shape: a kept one, or a new one.
    fn plan(&self, shape: &[usize]) -> Result<Arc<Plan>, EngineError> {
        let channels = self.graph.input_channels();
        let key = match *shape {
            [n, h, w, c] if n > 0 && h > 0 && w > 0 && c == channels => [n, h, w],
            _ => return Err(EngineError::InputShape { actual: shape.to_vec(), channels }),
        };
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

/// Whether there are kernels for `precision`.
fn check(precision: Precision) -> Result<(), EngineError> {
    let missing = |reason| Err(EngineError::Precision { precision, reason });
    match precision {
        Precision::Fp32 | Precision::Bf16 => Ok(()),
        Precision::Int8 => missing("this version of effigy has no kernels for it; use fp32"),
    }
}

fn copy_all(values: &[Value<'_>]) -> Vec<Tensor> {
    values.iter().map(Value::to_tensor).collect()
}

impl Operation {
    fn pack(options: &Options, kind: Kind) -> Self {
        let isa = options.isa;
        match kind {
            Kind::Input => Self::Input,
            Kind::Dense(dense) => Self::Dense {
                conv: dense.conv,
                packed: pack_dense(options, &dense),
                activation: dense.activation,
                gate: dense.gate,
                residual: dense.residual,
            },
            Kind::Depthwise(depthwise) => {
                let Conv { kernel, stride, .. } = depthwise.conv;
                Self::Depthwise {
                    expand: depthwise.expand.map(|dense| Expand {
                        conv: dense.conv,
                        packed: pack_dense(options, &dense),
                        activation: dense.activation,
                    }),
                    conv: depthwise.conv,
                    packed: PackedDepthwise::new(isa, kernel, stride, &depthwise.weights, &depthwise.bias),
                    activation: depthwise.activation,
                    mean: depthwise.mean,
                }
            }
            Kind::Affine { scale, shift } => Self::Affine { scale, shift },
            Kind::Activation(function) => Self::Activation(function),
            Kind::Mean => Self::Mean,
            Kind::Scale => Self::Scale,
            Kind::Add => Self::Add,
            Kind::MaxPool(pool) => Self::MaxPool(pool),
            Kind::Upsample => Self::Upsample,
            Kind::WeightedSum(sum) => Self::WeightedSum(sum),
        }
    }

    /// The convolution that reads the input, where there is one.
    pub(crate) fn first_conv(&self) -> Option<&Conv> {
        match self {
            Self::Depthwise { expand: Some(expand), .. } => Some(&expand.conv),
            _ => self.conv(),
        }
    }

    /// The convolution that computes the output, where there is one.
    pub(crate) fn conv(&self) -> Option<&Conv> {
        match self {
            Self::Dense { conv, .. } | Self::Depthwise { conv, .. } => Some(conv),
            _ => None,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Dense { conv, .. } => format!("dense {0}×{0}", conv.kernel),
            Self::Depthwise { expand: Some(_), conv, .. } => {
                format!("expand + depthwise {0}×{0}", conv.kernel)
            }
            Self::Depthwise { conv, .. } => format!("depthwise {0}×{0}", conv.kernel),
            Self::Input => "input".into(),
            Self::Affine { .. } => "affine".into(),
            Self::Activation(function) => format!("{function:?}").to_lowercase(),
            Self::Mean => "mean".into(),
            Self::Scale => "scale".into(),
            Self::Add => "add".into(),
            Self::MaxPool(pool) => format!("max pool {0}×{0}", pool.kernel),
            Self::Upsample => "upsample".into(),
            Self::WeightedSum(_) => "weighted sum".into(),
        }
    }
}

fn pack_dense(options: &Options, dense: &Dense) -> PackedConv {
    let Conv { inputs, outputs, kernel, stride, .. } = dense.conv;
    let pack = match options.precision {
        // All of them: in fp32, neither the stem nor the classifier made Lite0 any better.
        Precision::Bf16 => PackedConv::bf16,
        Precision::Fp32 | Precision::Int8 => PackedConv::new,
    };
    pack(options.isa, ConvShape { inputs, outputs, kernel, stride }, &dense.weights, &dense.bias)
}

impl Step {
    /// Every value that the step reads.
    pub(crate) fn reads(&self) -> impl Iterator<Item = NodeId> + '_ {
        let fused = match &self.operation {
            Operation::Dense { gate, residual, .. } => [*gate, *residual],
            _ => [None, None],
        };
        self.inputs.iter().copied().chain(fused.into_iter().flatten())
    }

    /// Every value that the step computes.
    pub(crate) fn writes(&self) -> impl Iterator<Item = NodeId> + '_ {
        let mean = match &self.operation {
            Operation::Depthwise { mean, .. } => *mean,
            _ => None,
        };
        std::iter::once(self.value).chain(mean)
    }
}
