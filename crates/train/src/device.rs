//! What computes a network's outputs and gradients.

use effigy_tensor::Tensor;

use crate::Parameters;

/// A network on the hardware that trains it.
///
/// Whoever trains calls [`forward`](Self::forward), computes a loss and its gradient from the outputs, and calls
/// [`backward`](Self::backward); gradients of several batches, or of several processes, are summed between that
/// and the optimiser's step. What a device keeps of a batch from one call to the next is its own affair.
pub trait Device: Send {
    /// Computes the graph's outputs for `input: [N, H, W, C]`. While training, BatchNorm uses the batch's
    /// statistics and moves the ones in `parameters` towards them.
    ///
    /// # Errors
    /// [`DeviceError`], before anything in `parameters` has changed.
    fn forward(
        &mut self,
        parameters: &mut Parameters,
        input: &Tensor,
        pass: Pass,
    ) -> Result<Vec<Tensor>, DeviceError>;

    /// Adds the gradients of a loss to `gradients`, given its gradients with respect to the outputs of the last
    /// [`forward`](Self::forward), in their order and shapes.
    ///
    /// # Errors
    /// [`DeviceError`], where no forward pass in training mode came before, or shapes differ.
    fn backward(
        &mut self,
        parameters: &Parameters,
        output_gradients: &[Tensor],
        gradients: &mut Parameters,
    ) -> Result<(), DeviceError>;

    /// The first node, in the graph's order, whose output or gradient had a value that is not finite in the last
    /// batch.
    fn first_not_finite(&self) -> Option<String>;

    /// Bytes that training a batch of pictures of this shape, `[N, H, W, C]`, will take beside the parameters.
    fn memory_needed(&self, shape: [usize; 4]) -> u64;
}

/// How a batch is passed through a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// As trained networks run: moving statistics, nothing dropped; no gradients can follow.
    Evaluate,
    /// With the batch's statistics, and dropout and drop-connect drawn from `seed` alone.
    Train {
        /// What the drawing of this batch starts from; equal seeds drop equally.
        seed: u64,
    },
}

/// Why a device did not compute.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The input has another shape than the network reads.
    #[error("input of shape {found:?}: this network reads [N, H, W, {channels}]")]
    Input {
        /// The input's shape.
        found: Vec<usize>,
        /// Channels that the network reads.
        channels: usize,
    },
    /// The gradients given do not belong to the outputs of the last batch.
    #[error("{0}")]
    Gradients(String),
}
