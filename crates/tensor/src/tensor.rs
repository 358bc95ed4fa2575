//! A dense, row-major `f32` tensor.

/// A dense `f32` tensor in row-major order (the last axis is contiguous).
///
/// Pictures and activations are `[N, H, W, C]`; convolution weights are `[O, I/groups, kH, kW]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

/// A tensor's shape and its number of values do not agree.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("shape {shape:?} holds {expected} values, but {actual} were given")]
pub struct TensorError {
    shape: Vec<usize>,
    expected: usize,
    actual: usize,
}

impl Tensor {
    /// A tensor of `shape` over `data`.
    ///
    /// # Errors
    /// When the product of `shape` is not the number of values.
    pub fn new(shape: &[usize], data: Vec<f32>) -> Result<Self, TensorError> {
        let expected = shape.iter().product();
        if expected != data.len() {
            return Err(TensorError { shape: shape.to_vec(), expected, actual: data.len() });
        }
        Ok(Self { shape: shape.to_vec(), data })
    }

    /// A tensor of zeros.
    #[must_use]
    pub fn zeros(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), data: vec![0.0; shape.iter().product()] }
    }

    /// The length of each axis.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values in row-major order.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The values in row-major order, to be written.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The values, giving up the shape.
    #[must_use]
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// The same values in the same order under another shape.
    ///
    /// # Errors
    /// When the product of `shape` is not the number of values.
    pub fn reshaped(self, shape: &[usize]) -> Result<Self, TensorError> {
        Self::new(shape, self.data)
    }

    /// `[N, H, W, C]` → `[N, C, H, W]`, the order PyTorch prints.
    ///
    /// # Panics
    /// When the tensor does not have four axes.
    #[must_use]
    pub fn nhwc_to_nchw(&self) -> Self {
        let [n, h, w, c] = self.shape[..] else { panic!("four axes expected, not {:?}", self.shape) };
        let mut out = Vec::with_capacity(self.data.len());
        for image in 0..n {
            for channel in 0..c {
                let pixels = &self.data[image * h * w * c..(image + 1) * h * w * c];
                out.extend(pixels.iter().skip(channel).step_by(c));
            }
        }
        Self { shape: vec![n, c, h, w], data: out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_shape_that_does_not_fit() {
        let error = Tensor::new(&[2, 3], vec![0.0; 5]).unwrap_err();
        assert_eq!(error.to_string(), "shape [2, 3] holds 6 values, but 5 were given");
    }

    #[test]
    fn transposes_to_channels_first() {
        let t = Tensor::new(&[1, 2, 1, 3], vec![1., 2., 3., 4., 5., 6.]).unwrap();
        let t = t.nhwc_to_nchw();
        assert_eq!(t.shape(), [1, 3, 2, 1]);
        assert_eq!(t.data(), [1., 4., 2., 5., 3., 6.]);
    }
}
