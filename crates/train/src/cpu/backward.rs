//! The way back as a list of steps: which gradient each unit reads, and which ones it makes.
//!
//! A gradient that gets another share is not changed but made anew (`plus` is what it was), so that every buffer is
//! written once and its life is known before anything runs.

use std::collections::HashMap;

use effigy_arch::NodeId;
use effigy_kernels::Activation;

use super::program::{Operation, Program, Unit};

/// A gradient of a value, or a part of one: its place in [`Backward::gradients`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct GradientId(pub(super) usize);

/// The steps from the outputs' gradients to the parameters'.
pub(super) struct Backward {
    pub(super) steps: Vec<Step>,
    /// Of which value each gradient is; it has that value's shape.
    pub(super) gradients: Vec<NodeId>,
    /// The gradients of the program's outputs, which are given.
    pub(super) given: Vec<GradientId>,
}

pub(super) enum Step {
    /// The way back of unit `unit`.
    Unit {
        unit: usize,
        /// The gradient of the unit's value, times a gate's values where that is what is known of it.
        output: Option<(GradientId, Option<NodeId>)>,
        /// The gradient of the means that the unit computes alongside.
        means: Option<GradientId>,
        /// What the unit makes for each of its inputs.
        inputs: Vec<Option<Share>>,
    },
    /// The second pass of a BatchNorm's way back, when the whole batch has had the first: `to` is what that has
    /// left, or, where there is no activation, made anew from the output's gradient.
    Apply {
        unit: usize,
        output: Option<(GradientId, Option<NodeId>)>,
        means: Option<GradientId>,
        to: GradientId,
    },
    /// `to = a + b`, where `unit` computes the value.
    Add { unit: usize, a: GradientId, b: GradientId, to: GradientId },
}

/// What a unit adds to an input's gradient.
#[derive(Clone, Copy)]
pub(super) struct Share {
    pub(super) to: GradientId,
    /// What others have added before.
    pub(super) plus: Option<GradientId>,
}

impl Step {
    /// The unit that it belongs to.
    pub(super) fn unit(&self) -> usize {
        match self {
            Self::Unit { unit, .. } | Self::Apply { unit, .. } | Self::Add { unit, .. } => *unit,
        }
    }

    pub(super) fn reads(&self) -> Vec<GradientId> {
        match self {
            Self::Unit { output, means, inputs, .. } => {
                let plus = inputs.iter().flatten().filter_map(|share| share.plus);
                output.iter().map(|(id, _)| *id).chain(*means).chain(plus).collect()
            }
            Self::Apply { output, means, .. } => output.iter().map(|(id, _)| *id).chain(*means).collect(),
            Self::Add { a, b, .. } => vec![*a, *b],
        }
    }

    pub(super) fn writes(&self) -> Vec<GradientId> {
        match self {
            Self::Unit { inputs, .. } => inputs.iter().flatten().map(|share| share.to).collect(),
            Self::Apply { to, .. } | Self::Add { to, .. } => vec![*to],
        }
    }
}

/// Whether the operation adds to a gradient as it writes it.
fn adds(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Dense(_) | Operation::MaxPool(_) | Operation::Upsample | Operation::WeightedSum(_)
    )
}

impl Backward {
    pub(super) fn new(program: &Program) -> Self {
        let learning: HashMap<NodeId, bool> =
            program.units.iter().flat_map(|unit| unit.writes().map(|value| (value, unit.learns))).collect();
        let mut builder = Builder {
            program,
            backward: Self { steps: Vec::new(), gradients: Vec::new(), given: Vec::new() },
            known: HashMap::new(),
        };
        for output in &program.outputs {
            let id = builder.gradient(*output);
            builder.backward.given.push(id);
            // Somebody else's gradient of the same value is added to it later on.
            builder.receive(*output, id);
        }
        for (position, unit) in program.units.iter().enumerate().rev() {
            if unit.learns {
                builder.unit(position, unit, &learning);
            }
        }
        builder.backward
    }
}

struct Builder<'a> {
    program: &'a Program,
    backward: Backward,
    /// What is known so far of each value's gradient, and the gate that it is still to be multiplied with.
    known: HashMap<NodeId, (GradientId, Option<NodeId>)>,
}

impl Builder<'_> {
    fn gradient(&mut self, value: NodeId) -> GradientId {
        self.backward.gradients.push(value);
        GradientId(self.backward.gradients.len() - 1)
    }

    /// `id` is a share of the gradient of `value`.
    fn receive(&mut self, value: NodeId, id: GradientId) {
        let sum = match self.known.get(&value) {
            None => id,
            Some((before, _)) => {
                let before = *before;
                let to = self.gradient(value);
                let unit = self.program.producer(value);
                self.backward.steps.push(Step::Add { unit, a: before, b: id, to });
                to
            }
        };
        self.known.insert(value, (sum, None));
    }

    fn unit(&mut self, position: usize, unit: &Unit, learning: &HashMap<NodeId, bool>) {
        let output = self.known.remove(&unit.value);
        let means = unit.means().and_then(|means| self.known.remove(&means)).map(|(id, _)| id);
        if output.is_none() && means.is_none() {
            return;
        }
        let learns = |index: usize| unit.inputs.get(index).is_some_and(|input| learning[input]);
        let whole = output.filter(|(_, gate)| gate.is_none()).map(|(id, _)| id);
        // Where a gradient passes through unchanged, there is nothing to compute.
        let through: &[usize] = match (&unit.operation, whole) {
            (Operation::Add, Some(_)) => &[0, 1],
            (Operation::Norm(_), Some(_)) => &[1],
            _ => &[],
        };
        let mut inputs: Vec<Option<Share>> = vec![None; unit.inputs.len()];
        let mut received = Vec::new();
        for (index, input) in unit.inputs.iter().enumerate() {
            let shape_only = matches!(unit.operation, Operation::Upsample) && index == 1;
            if !learns(index) || through.contains(&index) || shape_only {
                continue;
            }
            // A value that a unit reads twice gets two shares, of which the second cannot know the first.
            let first = unit.inputs[..index].iter().all(|earlier| earlier != input);
            let plus = match self.known.get(input) {
                Some((before, None)) if adds(&unit.operation) && first => Some(*before),
                _ => None,
            };
            if plus.is_some() {
                self.known.remove(input);
            }
            let to = self.gradient(*input);
            inputs[index] = Some(Share { to, plus });
            received.push((*input, to));
        }
        let share = inputs.first().copied().flatten();
        if !matches!(unit.operation, Operation::Add) {
            self.backward.steps.push(Step::Unit { unit: position, output, means, inputs });
        }
        if let (Operation::Norm(norm), Some(Share { to, .. })) = (&unit.operation, share) {
            // The first pass through an activation is all that reads the output's gradient.
            let again = norm.activation == Activation::Identity;
            let (output, means) = if again { (output, means) } else { (None, None) };
            self.backward.steps.push(Step::Apply { unit: position, output, means, to });
        }
        for (input, to) in received {
            match unit.gate() {
                Some(gate) if input == unit.inputs[0] => {
                    self.known.insert(input, (to, Some(gate)));
                }
                _ => self.receive(input, to),
            }
        }
        if let Some(whole) = whole {
            for index in through.iter().filter(|index| learns(**index)) {
                self.receive(unit.inputs[*index], whole);
            }
        }
    }
}
