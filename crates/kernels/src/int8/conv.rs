//! Dense convolutions of bytes, and linear layers, as matrix products.

use std::ops::Range;

use effigy_tensor::AlignedBuf;

use super::epilogue::{Addend, Finish, Output, Residual};
use super::finish::{Columns, Rows, finish_rows};
use super::gemm::{MAX_ROWS, Spill, Tile, run_tile};
use super::weights::{GROUP, QuantWeights};
use super::{Bytes, BytesMut, Quant, Shared, bytes_of, bytes_of_mut};
use crate::ahead::{Ahead, Announced, Coming, Stretch};
use crate::conv::ConvShape;
use crate::cut::Product;
use crate::epilogue::Activation;
use crate::isa::int::{IntIsa, IntKernel, IntSimd};
use crate::layout::{Layout, ViewMut, fill_halo};
use crate::pool::{ThreadPool, split};

/// A dense convolution on bytes, packed for one instruction set.
#[derive(Debug)]
pub struct QuantConv {
    shape: ConvShape,
    isa: IntIsa,
    input: Quant,
    panels: Vec<Panel>,
    /// Panel after panel: `[segments · groups][2][vectors][lanes][4]` signed bytes.
    weights: AlignedBuf,
    /// Where every output channel's sum starts: the input's zero is subtracted there.
    starts: Vec<i32>,
    finish: Finish,
    /// What is read after it.
    later: Vec<Stretch>,
}

/// Output channels that a register tile holds.
#[derive(Clone, Copy, Debug)]
struct Panel {
    column: usize,
    columns: usize,
    vectors: usize,
    /// Where its weights start, in bytes.
    offset: usize,
}

/// What a convolution writes to.
#[derive(Debug)]
pub enum OutputMut<'a, 'b> {
    /// An output of bytes.
    Bytes(&'a mut BytesMut<'b>),
    /// An output of floats.
    Floats(&'a mut ViewMut<'b>),
}

/// Weights `[O, I, k, k]` as rows in the order of a patch of NHWC bytes, each row of the kernel filled up to
/// whole groups.
pub(crate) fn patch_rows(shape: ConvShape, weights: &[f32]) -> Vec<Vec<f32>> {
    let ConvShape { inputs, outputs, kernel, .. } = shape;
    let area = kernel * kernel;
    let padded = (kernel * inputs).next_multiple_of(GROUP);
    let row = |o: usize| {
        let mut row = vec![0.0; kernel * padded];
        for k in 0..area * inputs {
            let (place, c) = (k / inputs, k % inputs);
            let (ky, kx) = (place / kernel, place % kernel);
            row[ky * padded + kx * inputs + c] = weights[(o * inputs + c) * area + place];
        }
        row
    };
    (0..outputs).map(row).collect()
}

impl QuantConv {
    /// Bytes of packed weights.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&self.weights[..]) + size_of_val(&self.starts[..])
    }

    /// Packs `weights: [O, I, k, k]` and `bias: [O]` for `isa`, to read bytes of `input` and to write
    /// `activation(weights ∗ input + bias)`.
    ///
    /// # Panics
    /// When the lengths do not fit the shape.
    #[must_use]
    pub fn new(
        isa: IntIsa,
        shape: ConvShape,
        weights: &[f32],
        bias: &[f32],
        input: Quant,
        activation: Activation,
        output: Output,
    ) -> Self {
        let ConvShape { inputs, outputs, kernel, .. } = shape;
        assert_eq!(weights.len(), outputs * inputs * kernel * kernel, "weights of {shape:?}");
        assert_eq!(bias.len(), outputs, "bias of {shape:?}");
        let rows = patch_rows(shape, weights);
        let quantised = QuantWeights::summed(rows.iter().map(|row| &row[..]));
        let lanes = isa.lanes();
        let depth = rows[0].len();
        let (panels, padded) = panels(outputs, lanes, depth);
        let bytes: usize = panels.iter().map(|panel| panel.vectors * lanes * depth).sum();
        let mut packed = AlignedBuf::zeroed(bytes.div_ceil(size_of::<f32>()));
        let values = bytes_of_mut(&mut packed);
        for &Panel { column, columns, vectors, offset } in &panels {
            for n in 0..columns {
                for (k, value) in quantised.row(column + n).iter().enumerate() {
                    let step = (k / 4 * vectors + n / lanes) * lanes + n % lanes;
                    values[offset + 4 * step + k % 4] = *value as u8;
                }
            }
        }
        let sum = |o| quantised.row(o).iter().map(|w| i32::from(*w)).sum::<i32>();
        let mut starts: Vec<i32> = (0..outputs).map(|o| -i32::from(input.zero) * sum(o)).collect();
        starts.resize(padded, 0);
        let scales: Vec<f32> = quantised.scales.iter().map(|scale| scale * input.scale).collect();
        let finish = Finish::new(&scales, bias, activation, output, padded);
        Self { shape, isa, input, panels, weights: packed, starts, finish, later: Vec::new() }
    }

    /// `output = activation(weights ∗ input + bias) + residual`.
    ///
    /// `padding` is the number of zero rows above and columns left of the picture that the first output
    /// reads; the input's halo must cover these and what the last output reads.
    ///
    /// # Panics
    /// When shapes, halo, or what the bytes stand for do not fit.
    pub fn run(
        &self,
        pool: &ThreadPool,
        input: Bytes<'_>,
        padding: (usize, usize),
        residual: Option<Residual<'_>>,
        output: OutputMut<'_, '_>,
    ) {
        let (out, size, layout, halo) = match (output, self.finish.output) {
            (OutputMut::Bytes(bytes), Output::Bytes(quant)) => {
                assert_eq!(bytes.quant, quant, "what the output's bytes stand for");
                (Shared::new(bytes.data), 1, bytes.layout, Some(quant.zero))
            }
            (OutputMut::Floats(floats), Output::Floats) => {
                floats.clear_halo();
                (Shared::new(bytes_of_mut(floats.data)), size_of::<f32>(), floats.layout, None)
            }
            (given, packed) => panic!("{packed:?} into {given:?}"),
        };
        self.check(&input, padding, &layout);
        if let Some(residual) = residual {
            assert!(residual.layout.same_shape(&layout), "residual {:?} onto {layout:?}", residual.layout);
        }
        let addend = residual.map(|residual| self.finish.addend(residual.quant));
        let is_dense = input.layout.is_dense() && layout.is_dense();
        let flat = self.shape.kernel == 1
            && self.shape.stride == 1
            && is_dense
            && residual.is_none_or(|residual| residual.layout.is_dense());
        let pixels = layout.images * layout.pixels();
        let run = if flat { pixels } else { layout.width };
        let job = Job { conv: self, input, padding, residual, addend, out, size, layout, halo, run };
        let product = Product {
            runs: pixels / run,
            run,
            tile_rows: [self.isa.tile_rows(); 4],
            panels: self.panels.len(),
            last: self.panels[self.panels.len() - 1].vectors,
            // All tiles of a span find a panel in the first-level cache.
            per_tile: 1.0,
            per_span: 8.0,
            per_row: 0.5,
            tasks: pixels * self.starts.len() * self.depth() / TASK_MACS,
        };
        let (spans, parts) = product.spans_and_parts(pool.threads());
        pool.run(spans * parts, |task| {
            let panels = &self.panels[split(self.panels.len(), parts, task % parts)];
            self.isa.run(Part { job: &job, spans, span: task / parts, panels });
        });
    }

    /// The padded rows of the input that some output rows read.
    pub(super) fn window(&self, rows: &Range<usize>) -> Range<usize> {
        let ConvShape { kernel, stride, .. } = self.shape;
        rows.start * stride..(rows.end - 1) * stride + kernel
    }

    /// Bytes of a patch, filled up.
    fn depth(&self) -> usize {
        self.shape.kernel * self.segment()
    }

    fn segment(&self) -> usize {
        (self.shape.kernel * self.shape.inputs).next_multiple_of(GROUP)
    }

    fn check(&self, input: &Bytes<'_>, padding: (usize, usize), output: &Layout) {
        let ConvShape { inputs, outputs, kernel, stride } = self.shape;
        assert_eq!(input.quant, self.input, "what the input's bytes stand for");
        let input = &input.layout;
        assert_eq!((input.channels, output.channels), (inputs, outputs), "channels of {:?}", self.shape);
        assert_eq!(input.images, output.images, "batch");
        let (top, left) = padding;
        assert!(top <= input.halo.top && left <= input.halo.left, "{padding:?} zeros are not in {input:?}");
        let reach = |out: usize| (out - 1) * stride + kernel;
        assert!(output.height > 0 && output.width > 0, "an output has pixels");
        assert!(reach(output.height) <= top + input.height + input.halo.bottom, "{input:?} → {output:?}");
        assert!(reach(output.width) <= left + input.width + input.halo.right, "{input:?} → {output:?}");
    }
}

impl Announced for QuantConv {
    fn stretch(&self) -> Stretch {
        Stretch::of(&self.weights)
    }

    fn announce(&mut self, later: Vec<Stretch>) {
        self.later = later;
    }
}

/// Panels for so many output channels, and the length of tables that reach two vectors behind any of them.
fn panels(outputs: usize, lanes: usize, depth: usize) -> (Vec<Panel>, usize) {
    let mut panels = Vec::new();
    let (mut column, mut offset) = (0, 0);
    while column < outputs {
        let columns = (outputs - column).min(2 * lanes);
        let vectors = columns.div_ceil(lanes);
        panels.push(Panel { column, columns, vectors, offset });
        column += columns;
        offset += vectors * lanes * depth;
    }
    (panels, outputs.next_multiple_of(2 * lanes))
}

/// Below this many multiply-accumulates a task is not worth another thread's attention.
const TASK_MACS: usize = 200_000;
/// Panels of so many bytes stay in the first-level cache while a block of A goes by.
const PANELS: usize = 16 << 10;
/// A block of A, which stays in the second-level cache.
const BLOCK_OF_A: usize = 128 << 10;

struct Job<'a> {
    conv: &'a QuantConv,
    input: Bytes<'a>,
    padding: (usize, usize),
    residual: Option<Residual<'a>>,
    addend: Option<Addend>,
    out: Shared<u8>,
    /// Bytes of an output value.
    size: usize,
    layout: Layout,
    /// What tasks fill the halo of their rows with.
    halo: Option<u8>,
    /// Consecutive output pixels that are as far apart as their patches: a row, or everything.
    run: usize,
}

/// One task: a span of pixels against some panels.
struct Part<'a> {
    job: &'a Job<'a>,
    spans: usize,
    span: usize,
    panels: &'a [Panel],
}

impl IntKernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: IntSimd>(self, s: S) {
        let Job { run, layout, conv, .. } = *self.job;
        let runs = layout.images * layout.pixels() / run;
        let block = (BLOCK_OF_A / conv.depth()).max(2 * MAX_ROWS);
        let mut spill = Spill::new();
        if runs == 1 {
            if self.span == 0 {
                self.fill_halo(0..1);
            }
            let pixels = split(run, self.spans, self.span);
            let blocks = pixels.len().div_ceil(block);
            for i in 0..blocks {
                let part = split(pixels.len(), blocks, i);
                self.block(s, &mut spill, 0..1, pixels.start + part.start..pixels.start + part.end);
            }
            return;
        }
        let span = split(runs, self.spans, self.span);
        self.fill_halo(span.clone());
        let blocks = span.len().div_ceil((block / run).max(1));
        for i in 0..blocks {
            let part = split(span.len(), blocks, i);
            self.block(s, &mut spill, span.start + part.start..span.start + part.end, 0..run);
        }
    }
}

impl Part<'_> {
    /// Fills the halo of rows of the output, if this is the task of the first panels.
    fn fill_halo(&self, rows: Range<usize>) {
        let Job { out, layout, halo, .. } = *self.job;
        if let Some(zero) = halo.filter(|_| self.panels[0].column == 0) {
            // SAFETY: these rows are this span's, of which one task has the first panels.
            unsafe { fill_halo(out.at(0), &layout, zero, rows) };
        }
    }

    /// What is fetched while `tiles` go over a group of the panels: those behind it, and what is read after all.
    #[inline(always)]
    fn coming<S: IntSimd>(&self, group: &[Panel], tiles: usize) -> Coming<'_> {
        let conv = self.job.conv;
        let last = &group[group.len() - 1];
        let bytes = group[0].offset..last.offset + last.vectors * S::LANES * conv.depth();
        let (rows, tiles) = (conv.depth() / GROUP, tiles * group.len());
        Coming::new(bytes_of(&conv.weights), bytes, &conv.later, rows, tiles)
    }

    /// Every panel over these pixels of some runs.
    #[inline(always)]
    fn block<S: IntSimd>(&self, s: S, spill: &mut Spill, runs: Range<usize>, pixels: Range<usize>) {
        let Job { conv, layout, .. } = self.job;
        let tiles = pixels.len().div_ceil(S::TILE_ROWS);
        let (short, longer) = (pixels.len() / tiles, pixels.len() % tiles);
        let panel_bytes = 2 * S::LANES * conv.depth();
        // Loops, not closures: those would be compiled without the instruction set.
        for panels in self.panels.chunks((PANELS / panel_bytes).max(1)) {
            let mut coming = self.coming::<S>(panels, runs.len() * tiles);
            for run in runs.clone() {
                let (image, y) = (run / layout.height, run % layout.height);
                let mut x = pixels.start;
                for tile in 0..tiles {
                    let count = short + usize::from(tile < longer);
                    let place = self.job.locate(image, y, x, count);
                    for panel in panels {
                        self.job.tile(s, spill, panel, &place, coming.ahead());
                    }
                    x += count;
                }
            }
        }
    }
}

impl Job<'_> {
    /// The first patch of `count` pixels of a run, and where they are written.
    #[inline(always)]
    fn locate(&self, image: usize, y: usize, x: usize, count: usize) -> (*const u8, Rows) {
        let Self { conv, input, padding, residual, layout, out, size, .. } = *self;
        let stride = conv.shape.stride;
        // The padding lies within the halo (checked), so this never goes below zero.
        let a = input.layout.index(image, y * stride, x * stride)
            - padding.0 * input.layout.row_pitch()
            - padding.1 * conv.shape.inputs;
        let rows = Rows {
            // SAFETY: a pixel of the output; tasks differ in pixels or panels.
            out: unsafe { out.at(layout.index(image, y, x) * size) },
            pitch: layout.channels * size,
            residual: residual.map_or(std::ptr::null(), |residual| {
                residual.data[residual.layout.index(image, y, x)..].as_ptr()
            }),
            residual_pitch: layout.channels,
            count,
        };
        (input.data[a..].as_ptr(), rows)
    }

    /// One panel over the rows of a tile.
    #[inline(always)]
    fn tile<S: IntSimd>(
        &self,
        s: S,
        spill: &mut Spill,
        panel: &Panel,
        (a, rows): &(*const u8, Rows),
        ahead: Ahead,
    ) {
        let Self { conv, input, addend, .. } = self;
        let ConvShape { inputs, kernel, stride, .. } = conv.shape;
        let Panel { column, columns, vectors, offset } = *panel;
        // SAFETY: `check` has established that the patches of all output pixels lie within the input, whose
        // slack covers the rest of a group and of a vector; the panel belongs to the weights; the output
        // pixels exist, and nobody else writes these columns of them.
        unsafe {
            let tile = Tile {
                a: *a,
                pitch: stride * inputs,
                segments: kernel,
                segment_pitch: input.layout.row_pitch(),
                groups: conv.segment() / GROUP,
                b: conv.weights.as_ptr().cast::<i8>().add(offset),
                start: conv.starts.as_ptr().add(column),
                rows: rows.count,
                ahead,
            };
            run_tile(s, vectors, &tile, spill);
            let columns = Columns { first: column, count: columns, vectors };
            finish_rows(s, &conv.finish, spill.sums(S::LANES), rows, columns, *addend);
        }
    }
}

#[cfg(test)]
#[path = "conv_tests.rs"]
pub(crate) mod tests;
