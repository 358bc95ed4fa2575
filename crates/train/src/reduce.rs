//! Where gradients of several processes would be summed.

use crate::Parameters;

/// Makes the gradients of all processes that train one network those of their mean.
///
/// [`Trainer`](crate::Trainer) calls it once a step, after the last backward pass and before gradients are
/// clipped. An implementation over a network of machines must give every process the same values to the bit, or
/// their parameters drift apart.
pub trait Reduce: Send {
    /// Replaces `gradients` by the mean over all processes.
    ///
    /// # Errors
    /// [`ReduceError`] where another process cannot be reached; the step is then not done.
    fn mean(&mut self, gradients: &mut Parameters) -> Result<(), ReduceError>;
}

/// Other processes could not be reached.
#[derive(Debug, thiserror::Error)]
#[error("the gradients of other processes could not be had: {0}")]
pub struct ReduceError(pub String);

/// The only process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Reduce for Alone {
    fn mean(&mut self, _: &mut Parameters) -> Result<(), ReduceError> {
        Ok(())
    }
}
