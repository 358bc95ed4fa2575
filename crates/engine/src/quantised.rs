//! Steps on bytes.

use std::collections::HashMap;

use effigy_arch::{Conv, NodeId};
use effigy_kernels::int8::{
    self, Bytes, BytesMut, Output, OutputMut, Quant, QuantBlock, QuantConv, QuantDepthwise,
};
use effigy_kernels::isa::int::IntIsa;
use effigy_kernels::{ConvShape, Isa, Layout, ViewMut};

use crate::error::EngineError;
use crate::model::{Model, Step};
use crate::pack::scaled;
use crate::plan::{expanded, macs, pads};
use crate::program::{self, Dense, Depthwise, Kind};
use crate::run::Call;

/// An operation that reads or writes bytes.
#[derive(Debug)]
pub(crate) enum Quantised {
    Input,
    Dense { conv: Conv, packed: QuantConv, residual: Option<NodeId> },
    Depthwise { conv: Conv, packed: QuantDepthwise, mean: Option<NodeId> },
    Block(Box<Block>),
    Gate,
    Mean,
    Quantise,
    Dequantise,
}

/// Three convolutions that run together, and the values that the first two compute.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) expand: (Conv, QuantConv, NodeId),
    depthwise: (Conv, QuantDepthwise, NodeId),
    /// What the bytes of those values stand for.
    quants: [Quant; 2],
    project: (Conv, QuantConv),
    residual: Option<NodeId>,
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
            (Kind::Dense(dense), Some(input), output) => {
                let Dense { conv, residual, .. } = dense;
                let packed = pack_conv(isa, &dense, input, output);
                return Ok(packed.map(|packed| Self::Dense { conv, packed, residual }));
            }
            (Kind::Depthwise(depthwise), Some(input), Some(output)) => {
                let Depthwise { conv, mean, .. } = depthwise;
                let packed = pack_depthwise(isa, &depthwise, input, output);
                return Ok(packed.map(|packed| Self::Depthwise { conv, packed, mean }));
            }
            (Kind::Block(block), Some(input), Some(output)) => {
                return Ok(
                    Block::pack(isa, quants, *block, input, output).map(|block| Self::Block(Box::new(block)))
                );
            }
            (Kind::Input, None, Some(_)) => Self::Input,
            (Kind::Scale, Some(_), Some(_)) => Self::Gate,
            (Kind::Mean, Some(_), _) => Self::Mean,
            (Kind::Quantise, ..) => Self::Quantise,
            (Kind::Dequantise, ..) => Self::Dequantise,
            (kind, ..) => return Err(Box::new(kind)),
        }))
    }

    /// The convolution that computes the output.
    pub(crate) fn conv(&self) -> Option<&Conv> {
        match self {
            Self::Dense { conv, .. } | Self::Depthwise { conv, .. } => Some(conv),
            Self::Block(block) => Some(&block.project.0),
            _ => None,
        }
    }

    /// The convolution that reads the input.
    pub(crate) fn first_conv(&self) -> Option<&Conv> {
        match self {
            Self::Block(block) => Some(&block.expand.0),
            _ => self.conv(),
        }
    }

    /// What each of its convolutions computes, if `value` is what the step does.
    pub(crate) fn convolutions(&self, value: NodeId) -> [Option<NodeId>; 3] {
        match self {
            Self::Dense { .. } | Self::Depthwise { .. } => [Some(value), None, None],
            Self::Block(block) => [Some(block.expand.2), Some(block.depthwise.2), Some(value)],
            _ => [None; 3],
        }
    }

    /// Multiply-accumulates before the convolution that computes the output.
    pub(crate) fn inner_macs(&self, input: Option<&Layout>) -> u64 {
        let (Self::Block(block), Some(input)) = (self, input) else { return 0 };
        let expanded = block.expanded(input);
        let (conv, ..) = &block.depthwise;
        let (height, width) = (conv.output(expanded.height), conv.output(expanded.width));
        macs(&expanded, &block.expand.0) + macs(&Layout { height, width, ..expanded }, conv)
    }

    pub(crate) fn residual(&self) -> Option<NodeId> {
        match self {
            Self::Dense { residual, .. } => *residual,
            Self::Block(block) => block.residual,
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
            Self::Block(block) => {
                let Block { expand, depthwise, .. } = &**block;
                format!("int8 dense {0}×{0} + separable {1}×{1}", expand.0.kernel, depthwise.0.kernel)
            }
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
            Self::Block(block) => {
                let Block { expand, depthwise, project, .. } = &**block;
                expand.1.bytes() + depthwise.1.bytes() + project.1.bytes()
            }
            _ => 0,
        }
    }

    /// The kernel that runs it, by type and instruction set.
    pub(crate) fn kernel_name(&self, isa: Isa) -> String {
        let operation = self.describe().replace('×', "x");
        format!("{operation} {}", IntIsa::of(isa).name())
    }

    /// Scratch memory in floats, and that of sums, for an input and an output of these layouts.
    pub(crate) fn memory(&self, model: &Model, input: Option<&Layout>, output: &Layout) -> [usize; 2] {
        let threads = model.threads();
        match self {
            Self::Block(block) => {
                [input.map_or(0, |input| block.kernel(input).scratch_len(threads, output)), 0]
            }
            Self::Depthwise { packed, mean, .. } => {
                let sums = mean.map_or(0, |_| packed.sums_len(threads, output));
                [packed.scratch_len(threads, output), sums]
            }
            Self::Gate => [int8::gate_scratch_len(output), 0],
            _ => [0, 0],
        }
    }
}

impl Block {
    fn pack(
        isa: IntIsa,
        quants: &HashMap<NodeId, Quant>,
        block: program::Block<'_>,
        input: Quant,
        output: Quant,
    ) -> Result<Self, EngineError> {
        let program::Block { expand, expanded, depthwise, between, project } = block;
        let middle = [quants[&expanded], quants[&between]];
        let residual = project.residual;
        let convs = (expand.conv, depthwise.conv, project.conv);
        let expand = pack_conv(isa, &expand, input, Some(middle[0]))?;
        let depthwise = pack_depthwise(isa, &depthwise, middle[0], middle[1])?;
        let project = pack_conv(isa, &project, middle[1], Some(output))?;
        Ok(Self {
            expand: (convs.0, expand, expanded),
            depthwise: (convs.1, depthwise, between),
            quants: middle,
            project: (convs.2, project),
            residual,
        })
    }

    fn expanded(&self, input: &Layout) -> Layout {
        expanded(&self.expand.0, &self.depthwise.0, input)
    }

    fn kernel(&self, input: &Layout) -> QuantBlock<'_> {
        let expanded = self.expanded(input);
        QuantBlock {
            expand: &self.expand.1,
            padding: pads(&self.expand.0, input),
            expanded: (expanded, self.quants[0]),
            depthwise: &self.depthwise.1,
            depthwise_padding: pads(&self.depthwise.0, &expanded),
            between: self.quants[1],
            project: &self.project.1,
        }
    }
}

fn pack_conv(
    isa: IntIsa,
    dense: &Dense<'_>,
    input: Quant,
    output: Option<Quant>,
) -> Result<QuantConv, EngineError> {
    let Dense { weights, bias, activation, .. } = dense;
    let Conv { inputs, outputs, kernel, stride, .. } = dense.conv;
    let shape = ConvShape { inputs, outputs, kernel, stride };
    let output = output.map_or(Output::Floats, Output::Bytes);
    weights.read(|weights, scale| {
        QuantConv::new(isa, shape, &scaled(weights, scale), bias, input, *activation, output)
    })
}

fn pack_depthwise(
    isa: IntIsa,
    depthwise: &Depthwise<'_>,
    input: Quant,
    output: Quant,
) -> Result<QuantDepthwise, EngineError> {
    let Depthwise { conv, weights, bias, activation, .. } = depthwise;
    let shape = (conv.kernel, conv.stride);
    weights.read(|weights, scale| {
        QuantDepthwise::new(isa, shape, &scaled(weights, scale), bias, input, *activation, output)
    })
}

impl Call<'_> {
    /// A value of bytes.
    fn bytes(&self, value: NodeId) -> Bytes<'_> {
        Bytes::new(int8::bytes_of(self.slot(value)), self.layout(value), self.quant(value))
    }

    fn quant(&self, value: NodeId) -> Quant {
        self.model.quants[&value]
    }

    /// Runs a step on bytes, whose output is `slot`.
    pub(crate) fn quantised(&mut self, step: &Step, operation: &Quantised, slot: &mut [f32]) {
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
            Quantised::Block(block) => {
                let mut scratch = std::mem::take(&mut self.workspace.scratch);
                let input = self.bytes(read());
                let residual = block.residual.map(|residual| self.bytes(residual));
                let mut output = BytesMut::new(int8::bytes_of_mut(slot), layout, self.quant(step.value));
                block.kernel(&input.layout).run(&cpu.pool, input, residual, &mut scratch, &mut output);
                self.workspace.scratch = scratch;
            }
            Quantised::Gate => {
                let mut output = BytesMut::new(int8::bytes_of_mut(slot), layout, self.quant(step.value));
                let mut scratch = std::mem::take(&mut self.workspace.scratch);
                let gate = self.vector(step.inputs[1]);
                int8::gate(isa, &self.model.cpu.pool, self.bytes(read()), gate, &mut scratch, &mut output);
                self.workspace.scratch = scratch;
            }
            Quantised::Mean => int8::mean(isa, self.bytes(read()), &mut slot[..layout.len()]),
            Quantised::Input => {
                let mut output = BytesMut::new(int8::bytes_of_mut(slot), layout, self.quant(step.value));
                int8::quantise_samples(isa, &cpu.pool, self.input, &mut output);
            }
            Quantised::Quantise => {
                let mut output = BytesMut::new(int8::bytes_of_mut(slot), layout, self.quant(step.value));
                int8::quantise(isa, &cpu.pool, self.view(read()), &mut output);
            }
            Quantised::Dequantise => {
                int8::dequantise(&cpu.pool, self.bytes(read()), &mut ViewMut::new(slot, layout));
            }
        }
    }

    /// Zero rows and columns before the picture of `input`.
    fn padding(&self, conv: &Conv, input: NodeId) -> (usize, usize) {
        pads(conv, &self.layout(input))
    }
}
