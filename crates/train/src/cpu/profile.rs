//! What each part of a step takes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use effigy_arch::Graph;
use effigy_kernels::Layout;

use super::memory::Memory;
use super::program::{Operation, Unit};

/// What is done for a unit, in the order of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    /// Packing weights, and what is drawn or summed up for the whole batch.
    Prepare,
    Forward,
    Statistics,
    PrepareBack,
    Bias,
    WeightGradient,
    InputGradient,
    /// The two passes of a BatchNorm's way back.
    Reduce,
    Apply,
    /// Two shares of a gradient.
    Add,
    Finish,
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Forward => "forward",
            Self::Statistics => "statistics",
            Self::PrepareBack => "prepare back",
            Self::Bias => "bias",
            Self::WeightGradient => "weights back",
            Self::InputGradient => "input back",
            Self::Reduce => "reduce",
            Self::Apply => "apply",
            Self::Add => "add",
            Self::Finish => "finish",
        }
    }
}

/// What some work on a node's value took, and what there was to do.
#[derive(Clone, Debug)]
pub struct Timing {
    /// The node whose value it is about.
    pub node: String,
    /// The operation: `dense`, `depthwise`, `norm` and so on.
    pub operation: &'static str,
    /// Which work: `forward`, `weights back` and so on.
    pub work: &'static str,
    /// How long it took.
    pub time: Duration,
    /// Multiplications and additions of convolutions.
    pub operations: u64,
    /// Bytes of the maps that were read and written, each once.
    pub bytes: u64,
}

/// A stopwatch: each lap's time is given to some unit's work.
#[derive(Debug)]
pub(super) struct Profile {
    last: Instant,
    times: BTreeMap<(usize, Work), Duration>,
}

impl Profile {
    pub(super) fn start() -> Self {
        Self { last: Instant::now(), times: BTreeMap::new() }
    }

    /// What has passed since the last lap was for this.
    pub(super) fn lap(&mut self, position: usize, work: Work) {
        let now = Instant::now();
        *self.times.entry((position, work)).or_default() += now - self.last;
        self.last = now;
    }

    /// What has passed since the last lap was for nobody.
    pub(super) fn skip(&mut self) {
        self.last = Instant::now();
    }

    pub(super) fn timings(&self, graph: &Graph, units: &[Unit], memory: &Memory) -> Vec<Timing> {
        let timings = self.times.iter().map(|(&(position, work), &time)| {
            let unit = &units[position];
            Timing {
                node: graph.node(unit.value).name.clone(),
                operation: unit.operation.name(),
                work: work.name(),
                time,
                operations: operations(unit, work, memory),
                bytes: bytes(unit, work, memory),
            }
        });
        timings.collect()
    }
}

fn operations(unit: &Unit, work: Work, memory: &Memory) -> u64 {
    let multiplies = matches!(work, Work::Forward | Work::WeightGradient | Work::InputGradient);
    match &unit.operation {
        Operation::Dense(conv) | Operation::Depthwise(conv) if multiplies => {
            let Layout { images, height, width, .. } = memory.layout(unit.value);
            let conv = &conv.conv;
            let of_pixel = conv.outputs * conv.inputs / conv.groups * conv.kernel * conv.kernel;
            2 * (images * height * width * of_pixel) as u64
        }
        _ => 0,
    }
}

fn bytes(unit: &Unit, work: Work, memory: &Memory) -> u64 {
    let size = |value| {
        let layout: Layout = memory.layout(value);
        (layout.images * layout.pixels() * layout.channels * size_of::<f32>()) as u64
    };
    let (inputs, output) = (unit.inputs.iter().map(|input| size(*input)).sum::<u64>(), size(unit.value));
    match work {
        Work::Prepare | Work::PrepareBack | Work::Finish => 0,
        Work::Statistics | Work::Bias => output,
        Work::Forward | Work::WeightGradient | Work::InputGradient => inputs + output,
        Work::Reduce | Work::Apply | Work::Add => 3 * output,
    }
}
