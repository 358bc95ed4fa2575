//! Optimisers: from gradients to a step of the parameters.

mod adamw;
mod rmsprop;
mod sgd;

use effigy_kernels::Isa;
use effigy_kernels::isa::{Kernel, Simd};

pub use adamw::AdamW;
pub use rmsprop::RmsProp;
pub use sgd::Sgd;

use crate::{Groups, Parameters};

/// Moves parameters along their gradients.
///
/// What it remembers from step to step is in [`moments`](Self::moments) and [`steps`](Self::steps), and nowhere
/// else, so that a resume can give it back.
pub trait Optimiser: Send {
    /// One step: gradients count `gradient_scale` times, and only parameters of `groups` change.
    fn step(&mut self, parameters: &mut Parameters, gradients: &Parameters, groups: &Groups, rate: StepSize);

    /// What is remembered for each parameter.
    fn moments(&self) -> Vec<&Parameters>;

    /// The same, to be restored.
    fn moments_mut(&mut self) -> Vec<&mut Parameters>;

    /// Steps done.
    fn steps(&self) -> u64;

    /// Says how many steps were done before, after the moments have been restored.
    fn set_steps(&mut self, steps: u64);
}

/// How far a step goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepSize {
    /// The learning rate.
    pub learning_rate: f32,
    /// By what gradients are multiplied before anything else: 1, or less where they are clipped.
    pub gradient_scale: f32,
}

/// An optimiser's arithmetic for one value: the parameter, its (scaled) gradient and its two moments, of which an
/// optimiser may use none or one. Plain arithmetic, so that the compiler makes vectors of it, and equal to the bit
/// on every instruction set.
trait Update: Copy {
    fn update(self, parameter: &mut f32, gradient: f32, first: &mut f32, second: &mut f32);
}

/// Updates the parameters of every run of `groups` by what `rule` makes of the run's weight decay. `moments` are the
/// first and, where the rule has two, the second.
fn apply<U: Update>(
    parameters: &mut Parameters,
    gradients: &Parameters,
    gradient_scale: f32,
    (first, mut second): (&mut Parameters, Option<&mut Parameters>),
    groups: &Groups,
    rule: impl Fn(f32) -> U,
) {
    let mut unused = Vec::new();
    for run in groups.runs() {
        let range = run.range.clone();
        let second = match &mut second {
            Some(second) => &mut second.values_mut()[range.clone()],
            None => {
                unused.resize(unused.len().max(range.len()), 0.0);
                &mut unused[..]
            }
        };
        let stretch = Stretch {
            parameters: &mut parameters.values_mut()[range.clone()],
            gradients: &gradients.values()[range.clone()],
            gradient_scale,
            first: &mut first.values_mut()[range],
            second,
        };
        Isa::best().run(Apply { update: rule(run.weight_decay), stretch });
    }
}

/// Values side by side: of the parameters, their gradients and moments.
struct Stretch<'a> {
    parameters: &'a mut [f32],
    gradients: &'a [f32],
    gradient_scale: f32,
    first: &'a mut [f32],
    second: &'a mut [f32],
}

struct Apply<'a, U> {
    update: U,
    stretch: Stretch<'a>,
}

impl<U: Update> Kernel for Apply<'_, U> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { update, stretch: Stretch { parameters, gradients, gradient_scale, first, second } } = self;
        // One length for all, so that no index is checked in the loop.
        let len = parameters.len();
        let (gradients, first, second) = (&gradients[..len], &mut first[..len], &mut second[..len]);
        for i in 0..len {
            update.update(&mut parameters[i], gradients[i] * gradient_scale, &mut first[i], &mut second[i]);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use effigy_arch::EfficientNet;

    use super::*;

    /// A small network's parameters and gradients, all of whose values differ.
    pub(crate) fn example() -> (Parameters, Parameters) {
        let graph = EfficientNet::from_name("efficientnet-w0.1-d0.1-r32").unwrap().with_classes(2).graph();
        let mut parameters = Parameters::zeroed(&graph);
        let mut gradients = parameters.zeros_like();
        parameters.values_mut().iter_mut().enumerate().for_each(|(i, value)| *value = (i as f32).sin());
        gradients.values_mut().iter_mut().enumerate().for_each(|(i, value)| *value = (i as f32 * 0.3).cos());
        (parameters, gradients)
    }

    #[test]
    fn statistics_and_frozen_parameters_stay() {
        let (start, gradients) = example();
        let groups = Groups::new(&start, 0.1, |slot| !slot.spec.name.starts_with("stem."));
        let size = StepSize { learning_rate: 0.1, gradient_scale: 0.5 };
        let optimisers: [Box<dyn Optimiser>; 3] = [
            Box::new(Sgd::new(&start, 0.9, false)),
            Box::new(RmsProp::new(&start, 0.9, 0.9, 1e-3)),
            Box::new(AdamW::new(&start, [0.9, 0.999], 1e-8)),
        ];
        for mut optimiser in optimisers {
            let mut parameters = start.clone();
            optimiser.step(&mut parameters, &gradients, &groups, size);
            assert_eq!(optimiser.steps(), 1);
            for slot in start.slots() {
                let range = slot.range.clone();
                let (before, after) = (&start.values()[range.clone()], &parameters.values()[range]);
                let stays = slot.spec.name.starts_with("stem.") || !slot.spec.role.is_trainable();
                assert_eq!(before == after, stays, "{}", slot.spec.name);
            }
        }
    }
}
