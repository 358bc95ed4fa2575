//! A convolution's weights, packed.

use std::ops::Range;

use super::columns_of;
use crate::ahead::{Announced, Stretch};
use crate::bf16::Bf16;
use crate::gemm::{PackedMatrix, flushed};
use crate::isa::Isa;

/// The shape of a dense convolution (one group).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
}

/// A convolution's weights and bias, packed for one instruction set.
#[derive(Debug)]
pub struct PackedConv {
    /// What was packed.
    pub shape: ConvShape,
    pub(super) matrix: PackedMatrix,
    /// How bf16 are multiplied, if the weights were packed as such.
    pub(super) bf16: Option<Bf16>,
    /// What is read after it.
    pub(super) later: Vec<Stretch>,
}

impl PackedConv {
    /// Packs `weights: [O, I, k, k]` and `bias: [O]` for `isa`.
    ///
    /// # Panics
    /// When the lengths do not fit the shape.
    #[must_use]
    pub fn new(isa: Isa, shape: ConvShape, weights: &[f32], bias: &[f32]) -> Self {
        Self::scaled(isa, shape, weights, None, bias)
    }

    /// As [`new`](Self::new), with the weights of output o multiplied by `scale[o]`: nobody has to copy them
    /// for that.
    ///
    /// # Panics
    /// When the lengths do not fit the shape.
    #[must_use]
    pub fn scaled(isa: Isa, shape: ConvShape, weights: &[f32], scale: Option<&[f32]>, bias: &[f32]) -> Self {
        Self::pack(isa, shape, weights, scale, bias, None)
    }

    /// As [`scaled`](Self::scaled), but the weights, and later the input, are rounded to bf16 (see
    /// [`bf16`](crate::bf16)); a gate is multiplied with the input before that.
    ///
    /// # Panics
    /// When the lengths do not fit the shape.
    #[must_use]
    pub fn bf16(isa: Isa, shape: ConvShape, weights: &[f32], scale: Option<&[f32]>, bias: &[f32]) -> Self {
        Self::pack(isa, shape, weights, scale, bias, Some(Bf16::of(isa)))
    }

    fn pack(
        isa: Isa,
        shape: ConvShape,
        weights: &[f32],
        scale: Option<&[f32]>,
        bias: &[f32],
        bf16: Option<Bf16>,
    ) -> Self {
        let ConvShape { inputs, outputs, kernel, .. } = shape;
        assert_eq!(weights.len(), outputs * inputs * kernel * kernel, "weights of {shape:?}");
        assert_eq!(bias.len(), outputs, "bias of {shape:?}");
        assert!(scale.is_none_or(|scale| scale.len() == outputs), "scale of {shape:?}");
        // A patch of an NHWC picture lists its values by row, column, channel.
        let area = kernel * kernel;
        let len = area * inputs;
        let weight = |k: usize, n: usize| {
            let weight = weights[(n * inputs + k % inputs) * area + k / inputs];
            flushed(weight * scale.map_or(1.0, |scale| scale[n]))
        };
        let matrix = match bf16 {
            None if area == 1 => PackedMatrix::transposed(isa.lanes(), inputs, bias, weights, scale),
            bf16 => matrix(isa, len, bias, bf16, weight),
        };
        Self { shape, matrix, bf16, later: Vec::new() }
    }

    /// Packs `weights: [O, I, k, k]` for the way back: the 1×1 convolution that makes of an output pixel's gradient
    /// the gradients of the patch it was computed from, by row, column and channel. Of a 1×1 convolution that is
    /// the input's gradient.
    ///
    /// # Panics
    /// When the length does not fit the shape.
    #[must_use]
    pub fn backward(isa: Isa, shape: ConvShape, weights: &[f32]) -> Self {
        Self::pack_backward(isa, shape, weights, None)
    }

    /// As [`backward`](Self::backward), but the weights, and later the gradients, are rounded to bf16.
    ///
    /// # Panics
    /// When the length does not fit the shape.
    #[must_use]
    pub fn bf16_backward(isa: Isa, shape: ConvShape, weights: &[f32]) -> Self {
        Self::pack_backward(isa, shape, weights, Some(Bf16::of(isa)))
    }

    fn pack_backward(isa: Isa, shape: ConvShape, weights: &[f32], bf16: Option<Bf16>) -> Self {
        let ConvShape { inputs, outputs, kernel, .. } = shape;
        let area = kernel * kernel;
        let patch = area * inputs;
        assert_eq!(weights.len(), outputs * patch, "weights of {shape:?}");
        let weight = |k: usize, n: usize| weights[(k * inputs + n % inputs) * area + n / inputs];
        let matrix = match bf16 {
            None if area == 1 => PackedMatrix::plain(isa.lanes(), outputs, inputs, weights),
            bf16 => matrix(isa, outputs, &vec![0.0; patch], bf16, weight),
        };
        let shape = ConvShape { inputs: outputs, outputs: patch, kernel: 1, stride: 1 };
        Self { shape, matrix, bf16, later: Vec::new() }
    }

    /// The name of the kernel that runs it: type, tile (rows × columns) and instruction set.
    #[must_use]
    pub fn kernel_name(&self, isa: Isa) -> String {
        let (rows, columns) = self.matrix.tile(isa);
        let numbers = match self.bf16 {
            None => "f32",
            Some(bf16) if bf16.is_native() => "bf16",
            Some(_) => "bf16 (as f32)",
        };
        format!("{numbers} gemm {rows}x{columns} {}", isa.name())
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&self.matrix.values[..]) + size_of_val(&self.matrix.bias[..])
    }

    /// Rows of the matrix: values in a patch.
    pub(crate) fn rows(&self) -> usize {
        self.matrix.rows
    }

    /// Panels that the output channels are cut into.
    pub(crate) fn panels(&self) -> usize {
        self.matrix.panels.len()
    }

    /// Output channels of the widest panel.
    pub(crate) fn panel_width(&self) -> usize {
        self.matrix.panels.iter().map(|panel| self.matrix.width(panel)).max().unwrap_or(0)
    }

    /// Output channels of some panels.
    pub(crate) fn columns(&self, panels: Range<usize>) -> Range<usize> {
        columns_of(&self.matrix.panels[panels])
    }

    /// Whether a gate is multiplied with the input as it is read, at no cost.
    #[must_use]
    pub fn gates_input(&self) -> bool {
        self.bf16.is_some()
    }

    /// Length of the scratch memory that a gated call needs.
    #[must_use]
    pub fn scratch_len(&self) -> usize {
        if self.gates_input() { 0 } else { self.matrix.values.len() }
    }
}

/// A matrix of `len` rows, of floats or of bf16, from its values by row and column.
fn matrix(
    isa: Isa,
    len: usize,
    bias: &[f32],
    bf16: Option<Bf16>,
    weight: impl Fn(usize, usize) -> f32,
) -> PackedMatrix {
    match bf16 {
        None => PackedMatrix::new(isa.lanes(), len, bias, weight),
        Some(bf16) => PackedMatrix::new(isa.lanes(), bf16.cells(len), bias, |cell, n| {
            bf16.cell(len, cell, |k| weight(k, n))
        }),
    }
}

impl Announced for PackedConv {
    fn stretch(&self) -> Stretch {
        Stretch::of(&self.matrix.values)
    }

    fn announce(&mut self, later: Vec<Stretch>) {
        self.later = later;
    }
}
