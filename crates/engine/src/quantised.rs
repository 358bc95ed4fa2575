//! Steps on bytes.

use std::collections::HashMap;

use effigy_arch::{Conv, NodeId};
use effigy_kernels::int8::{self, Bytes, BytesMut, Output, OutputMut, Quant, QuantConv, QuantDepthwise};
use effigy_kernels::isa::int::IntIsa;
use effigy_kernels::{ConvShape, Halo, Isa, Layout, View, ViewMut};

use crate::error::EngineError;
use crate::model::Step;
use crate::pack::scaled;
use crate::program::{Dense, Depthwise, Kind};
use crate::run::Call;

/// An operation that reads or writes bytes.
#[derive(Debug)]
pub(crate) enum Quantised {
    Input,
    Dense { conv: Conv, packed: QuantConv, residual: Option<NodeId> },
    Depthwise { conv: Conv, packed: QuantDepthwise, mean: Option<NodeId> },
    Gate,
    Mean,
    Quantise,
    Dequantise,
}

impl Quantised {
    /// The operation of a unit, or the unit's kind back where it is one on floats.
    ///
    /// # Errors
    /// When weights are missing or have the wrong length.
    pub(crate) fn pack<'a>(
        isa: Isa,
        quants: &HashMap<NodeId, Quant>,
        value: NodeId,
        inputs: &[NodeId],
        kind: Kind<'a>,
    ) -> Result<Result<Self, EngineError>, Box<Kind<'a>>> {
        let isa = IntIsa::of(isa);
        let input = inputs.first().and_then(|input| quants.get(input)).copied();
        let output = quants.get(&value).copied();
        Ok(Ok(match (kind, input, output) {
            (Kind::Dense(dense), Some(input), output) => return Ok(dense_of(isa, dense, input, output)),
            (Kind::Depthwise(depthwise), Some(input), Some(output)) => {
                return Ok(depthwise_of(isa, depthwise, input, output));
            }
            (Kind::Input, None, Some(_)) => Self::Input,
            (Kind::Scale, Some(_), Some(_)) => Self::Gate,
            (Kind::Mean, Some(_), _) => Self::Mean,
            (Kind::Quantise, ..) => Self::Quantise,
            (Kind::Dequantise, ..) => Self::Dequantise,
            (kind, ..) => return Err(Box::new(kind)),
        }))
    }

    pub(crate) fn conv(&self) -> Option<&Conv> {
        match self {
            Self::Dense { conv, .. } | Self::Depthwise { conv, .. } => Some(conv),
            _ => None,
        }
    }

    pub(crate) fn residual(&self) -> Option<NodeId> {
        match self {
            Self::Dense { residual, .. } => *residual,
            _ => None,
        }
    }

    pub(crate) fn mean(&self) -> Option<NodeId> {
        match self {
            Self::Depthwise { mean, .. } => *mean,
            _ => None,
        }
    }

    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Dense { conv, .. } => format!("int8 dense {0}×{0}", conv.kernel),
            Self::Depthwise { conv, .. } => format!("int8 depthwise {0}×{0}", conv.kernel),
            Self::Gate => "int8 scale".into(),
            Self::Mean => "int8 mean".into(),
            Self::Input => "input to int8".into(),
            Self::Quantise => "to int8".into(),
            Self::Dequantise => "from int8".into(),
        }
    }

    /// Bytes of its packed weights.
    pub(crate) fn weight_bytes(&self) -> usize {
        match self {
            Self::Dense { packed, .. } => packed.bytes(),
            Self::Depthwise { packed, .. } => packed.bytes(),
            _ => 0,
        }
    }

    /// The kernel that runs it, by type and instruction set.
    pub(crate) fn kernel_name(&self, isa: Isa) -> String {
        let operation = self.describe().replace('×', "x");
        format!("{operation} {}", IntIsa::of(isa).name())
    }

    /// Scratch memory in floats, and that of sums, for an output of this layout.
    pub(crate) fn memory(&self, threads: usize, output: &Layout) -> [usize; 2] {
        match self {
            Self::Depthwise { packed, mean, .. } => {
                let sums = mean.map_or(0, |_| packed.sums_len(threads, output));
                [packed.scratch_len(threads, output), sums]
            }
            Self::Gate => [int8::gate_scratch_len(output), 0],
            _ => [0, 0],
        }
    }
}

fn dense_of(
    isa: IntIsa,
    dense: Dense<'_>,
    input: Quant,
    output: Option<Quant>,
) -> Result<Quantised, EngineError> {
    let Dense { conv, weights, bias, activation, residual, .. } = dense;
    let Conv { inputs, outputs, kernel, stride, .. } = conv;
    let shape = ConvShape { inputs, outputs, kernel, stride };
    let output = output.map_or(Output::Floats, Output::Bytes);
    let packed = weights.read(|weights, scale| {
        QuantConv::new(isa, shape, &scaled(weights, scale), &bias, input, activation, output)
    })?;
    Ok(Quantised::Dense { conv, packed, residual })
}

fn depthwise_of(
    isa: IntIsa,
    depthwise: Depthwise<'_>,
    input: Quant,
    output: Quant,
) -> Result<Quantised, EngineError> {
    let Depthwise { conv, weights, bias, activation, mean, .. } = depthwise;
    let shape = (conv.kernel, conv.stride);
    let packed = weights.read(|weights, scale| {
        QuantDepthwise::new(isa, shape, &scaled(weights, scale), &bias, input, activation, output)
    })?;
    Ok(Quantised::Depthwise { conv, packed, mean })
}

impl Call<'_> {
    /// A value of bytes.
    fn bytes(&self, value: NodeId) -> Bytes<'_> {
        Bytes::new(int8::bytes_of(self.slot(value)), self.layout(value), self.quant(value))
    }

    fn quant(&self, value: NodeId) -> Quant {
        self.model.quants[&value]
    }

    /// Runs a step on bytes, whose output is `slot`, in a network that was given `input`.
    pub(crate) fn quantised(&mut self, step: &Step, operation: &Quantised, input: &[f32], slot: &mut [f32]) {
        let layout = self.layout(step.value);
        let read = || step.inputs[0];
        let cpu = &self.model.cpu;
        let isa = IntIsa::of(cpu.isa);
        match operation {
            Quantised::Dense { conv, packed, residual } => {
                let padding = self.padding(conv, read());
                let residual = residual.map(|residual| self.bytes(residual));
                match self.model.quants.get(&step.value) {
                    Some(&quant) => {
                        let mut output = BytesMut::new(int8::bytes_of_mut(slot), layout, quant);
                        packed.run(
                            &cpu.pool,
                            self.bytes(read()),
                            padding,
                            residual,
                            OutputMut::Bytes(&mut output),
                        );
                    }
                    None => {
                        let mut output = ViewMut::new(slot, layout);
                        packed.run(
                            &cpu.pool,
                            self.bytes(read()),
                            padding,
                            residual,
                            OutputMut::Floats(&mut output),
                        );
                    }
                }
            }
            Quantised::Depthwise { conv, packed, mean } => {
                let padding = self.padding(conv, read());
                let mut output = BytesMut::new(int8::bytes_of_mut(slot), layout, self.quant(step.value));
                let mut scratch = std::mem::take(&mut self.workspace.scratch);
                let mut sums = std::mem::take(&mut self.workspace.sums);
                let summed = mean.map(|_| int8::ints_of_mut(&mut sums));
                packed.run(
                    &self.model.cpu.pool,
                    self.bytes(read()),
                    padding,
                    &mut scratch,
                    &mut output,
                    summed,
                );
                if let Some(mean) = *mean {
                    let mut means = self.take(mean);
                    let len = self.layout(mean).len();
                    let threads = self.model.threads();
                    let sums = &int8::ints_of_mut(&mut sums)[..packed.sums_len(threads, &layout)];
                    int8::mean_of_sums(threads, sums, &layout, self.quant(step.value), &mut means[..len]);
                    self.put(mean, means);
                }
                self.workspace.scratch = scratch;
                self.workspace.sums = sums;
            }
            Quantised::Gate => {
                let mut output = BytesMut::new(int8::bytes_of_mut(slot), layout, self.quant(step.value));
                let mut scratch = std::mem::take(&mut self.workspace.scratch);
                let gate = self.vector(step.inputs[1]);
                int8::gate(isa, &self.model.cpu.pool, self.bytes(read()), gate, &mut scratch, &mut output);
                self.workspace.scratch = scratch;
            }
            Quantised::Mean => int8::mean(isa, self.bytes(read()), &mut slot[..layout.len()]),
            Quantised::Input | Quantised::Quantise => {
                let floats = match step.inputs.first() {
                    Some(value) => self.view(*value),
                    None => View::new(input, layout.with_halo(Halo::default())),
                };
                let mut output = BytesMut::new(int8::bytes_of_mut(slot), layout, self.quant(step.value));
                int8::quantise(isa, &cpu.pool, floats, &mut output);
            }
            Quantised::Dequantise => {
                int8::dequantise(&cpu.pool, self.bytes(read()), &mut ViewMut::new(slot, layout));
            }
        }
    }

    /// Zero rows and columns before the picture of `input`.
    fn padding(&self, conv: &Conv, input: NodeId) -> (usize, usize) {
        let layout = self.layout(input);
        (conv.pads(layout.height).0, conv.pads(layout.width).0)
    }
}
