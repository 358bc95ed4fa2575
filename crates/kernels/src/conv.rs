//! Dense convolutions of any kernel, stride and padding, and linear layers, as matrix products.

use std::ops::Range;

use effigy_tensor::AlignedBuf;

use crate::Cpu;
use crate::ahead::{Ahead, Coming};
use crate::bf16::{Bf16, Cells};
use crate::cache;
use crate::cut::Product;
use crate::epilogue::{Activation, Epilogue, Form};
use crate::finish::finish_rows;
use crate::gemm::{MAX_ROWS, Operand, PackedMatrix, Panel, Tile, flushed, run_tile};
use crate::isa::{Isa, Kernel, Simd};
use crate::layout::{Layout, Pixel, SharedPtr, View, ViewMut};
use crate::pool::split;

mod packed;

pub use packed::{ConvShape, PackedConv};

/// Below this many multiply-accumulates a task is not worth another thread's attention.
const TASK_MACS: usize = 100_000;
/// A tile's rows of A, in the first-level cache, meet panels of this many bytes in the second-level cache;
/// then the next tile's rows do.
const GROUP_OF_B: usize = 256 << 10;
/// A block of A that every panel passes over, to stay in the second-level cache.
const BLOCK_OF_A: usize = 192 << 10;
/// The rows of the output that belong to such a block: each panel writes a stripe of them, which costs
/// most of the time in address translation where the rows are long and many.
const BLOCK_OF_OUTPUT: usize = 128 << 10;

/// Dense convolution: `output = activation(weights ∗ input + bias) + residual`.
///
/// `padding` is the number of zero rows above and columns left of the picture that the first output
/// reads; the input's halo must cover these and what the last output reads. With `gate`, one value per
/// image and input channel (`[N, I]`), the input is multiplied by it (squeeze and excitation); this
/// needs a 1×1 kernel and a scratch of [`PackedConv::scratch_len`].
///
/// # Panics
/// When shapes, halo or lengths do not fit together.
pub fn conv2d(
    cpu: &Cpu,
    conv: &PackedConv,
    input: View<'_>,
    padding: (usize, usize),
    gate: Option<(&[f32], &mut AlignedBuf)>,
    output: &mut ViewMut<'_>,
    epilogue: Epilogue<'_>,
) {
    check(conv, &input.layout, padding, &output.layout, &epilogue);
    output.clear_halo();
    let Some((gate, scratch)) = gate else {
        let b = &conv.matrix.values;
        return convolve(cpu, conv, b, input, None, padding, 0..output.layout.images, output, epilogue);
    };
    assert_eq!(conv.shape.kernel, 1, "a gate belongs before a 1×1 convolution");
    assert_eq!(gate.len(), input.layout.images * conv.shape.inputs, "one gate per image and channel");
    for (image, gate) in gate.chunks_exact(conv.shape.inputs).enumerate() {
        let (b, gate) = if conv.gates_input() {
            (&conv.matrix.values[..], Some(gate))
        } else {
            scale_rows(cpu, &conv.matrix, gate, scratch);
            (&scratch[..conv.matrix.values.len()], None)
        };
        convolve(cpu, conv, b, input, gate, padding, image..image + 1, output, epilogue);
    }
}

fn check(
    conv: &PackedConv,
    input: &Layout,
    padding: (usize, usize),
    output: &Layout,
    epilogue: &Epilogue<'_>,
) {
    check_input(conv, input, padding, output);
    if let Some(residual) = epilogue.residual {
        assert!(residual.layout.same_shape(output), "residual {:?} onto {output:?}", residual.layout);
    }
}

/// Makes sure that every patch of the output's pixels lies within the input and its halo.
pub(crate) fn check_input(conv: &PackedConv, input: &Layout, (top, left): (usize, usize), output: &Layout) {
    let ConvShape { inputs, outputs, kernel, stride } = conv.shape;
    assert_eq!((input.channels, output.channels), (inputs, outputs), "channels of {:?}", conv.shape);
    assert_eq!(input.images, output.images, "batch");
    assert!(top <= input.halo.top && left <= input.halo.left, "({top}, {left}) zeros are not in {input:?}");
    let reach = |out: usize| (out - 1) * stride + kernel;
    assert!(output.height > 0 && output.width > 0, "an output has pixels");
    assert!(reach(output.height) <= top + input.height + input.halo.bottom, "{input:?} → {output:?}");
    assert!(reach(output.width) <= left + input.width + input.halo.right, "{input:?} → {output:?}");
}

/// Multiplies row k of the packed matrix by `gate[k]`.
fn scale_rows(cpu: &Cpu, matrix: &PackedMatrix, gate: &[f32], scratch: &mut [f32]) {
    assert!(scratch.len() >= matrix.values.len(), "scratch for {} values", matrix.values.len());
    let out = SharedPtr::new(scratch);
    let tasks = (matrix.values.len() / TASK_MACS + 1).min(matrix.panels.len());
    cpu.pool.run(tasks, |task| {
        for panel in &matrix.panels[split(matrix.panels.len(), tasks, task)] {
            let (offset, width) = (matrix.offset(panel), matrix.width(panel));
            let from = &matrix.values[offset..offset + width * gate.len()];
            // SAFETY: the panel's part of the scratch, which no other task touches.
            let to = unsafe { std::slice::from_raw_parts_mut(out.at(offset), from.len()) };
            cpu.isa.run(ScaleRows { from, gate, width, to });
        }
    });
}

struct ScaleRows<'a> {
    from: &'a [f32],
    gate: &'a [f32],
    width: usize,
    to: &'a mut [f32],
}

impl Kernel for ScaleRows<'_> {
    type Output = ();

    /// A plain loop, which the compiler vectorises for the instruction set.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let rows = self.to.chunks_exact_mut(self.width).zip(self.from.chunks_exact(self.width));
        for ((to, from), gate) in rows.zip(self.gate) {
            for (to, from) in to.iter_mut().zip(from) {
                *to = flushed(from * gate);
            }
        }
    }
}

/// Consecutive output pixels whose patches are equally far apart in memory.
#[derive(Clone, Copy)]
struct Runs {
    /// Pixels in a run: a row of the picture, or everything where no row ends matter.
    len: usize,
    count: usize,
    operand: Operand,
    /// Whether the input's rows lie one behind the other, and are more than stays in the second-level cache: those of a
    /// tile are fetched while the tile before computes.
    far: bool,
}

fn runs(shape: ConvShape, input: &Layout, output: &Layout, images: usize) -> Runs {
    let ConvShape { inputs, kernel, stride, .. } = shape;
    let flat = kernel == 1 && stride == 1 && input.is_dense();
    let pixels = images * output.pixels();
    let operand = Operand {
        pitch: stride * inputs,
        segments: kernel,
        segment_pitch: input.row_pitch(),
        segment_len: kernel * inputs,
    };
    let len = if flat { pixels } else { output.width };
    let far = flat && size_of::<f32>() * input.len() > cache::second_level() / 2;
    Runs { len, count: pixels / len, operand, far }
}

fn convolve(
    cpu: &Cpu,
    conv: &PackedConv,
    b: &[f32],
    input: View<'_>,
    gate: Option<&[f32]>,
    padding: (usize, usize),
    images: Range<usize>,
    output: &mut ViewMut<'_>,
    epilogue: Epilogue<'_>,
) {
    let layout = output.layout;
    let runs = runs(conv.shape, &input.layout, &layout, images.len());
    let panels = &conv.matrix.panels;
    let product = Product {
        runs: runs.count,
        run: runs.len,
        tile_rows: cpu.isa.tile_rows(),
        panels: panels.len(),
        last: panels[panels.len() - 1].vectors,
        // Every tile reads its panels from the second-level cache.
        per_tile: 2.0,
        per_span: 0.0,
        per_row: 0.0,
        tasks: runs.len * runs.count * conv.matrix.values.len() / TASK_MACS,
    };
    let (spans, panel_parts) = product.spans_and_parts(cpu.pool.threads());
    let job = Job {
        conv,
        b,
        input,
        gate,
        padding,
        origin: (0, 0),
        first_pixel: images.start * layout.pixels(),
        first_column: 0,
        out: SharedPtr::new(output.data),
        layout,
        activation: epilogue.activation,
        residual: epilogue.residual,
        runs,
    };
    cpu.pool.run(spans * panel_parts, |task| {
        let (span, part) = (task / panel_parts, task % panel_parts);
        let panels = &panels[split(panels.len(), panel_parts, part)];
        cpu.isa.run(Part { job: &job, spans, span, panels });
    });
}

/// Some output rows of one image, on the calling thread: `out` is where the first of them goes, its left
/// halo included, and `layout` (of one image, without rows above and below) how they lie there; a residual has the
/// same shape. Of the columns only those of `panels` are computed, and `layout` need have no others.
///
/// # Safety
/// The rows must exist: what they read must lie in `input` and its halo. The length of `layout` must be
/// valid for writing behind `out`, by this thread alone.
pub(crate) unsafe fn convolve_rows(
    isa: Isa,
    conv: &PackedConv,
    panels: Range<usize>,
    Epilogue { activation, residual }: Epilogue<'_>,
    input: View<'_>,
    padding: (usize, usize),
    (image, first_row): (usize, usize),
    out: SharedPtr,
    layout: Layout,
) {
    let panels = &conv.matrix.panels[panels];
    let job = Job {
        conv,
        b: &conv.matrix.values,
        input,
        gate: None,
        padding,
        origin: (image, first_row),
        first_pixel: 0,
        first_column: panels[0].column,
        out,
        layout,
        activation,
        residual,
        runs: runs(conv.shape, &input.layout, &layout, 1),
    };
    isa.run(Part { job: &job, spans: 1, span: 0, panels });
}

struct Job<'a> {
    conv: &'a PackedConv,
    b: &'a [f32],
    input: View<'a>,
    /// Multiplied with the input's channels as they are read; for bf16 only.
    gate: Option<&'a [f32]>,
    padding: (usize, usize),
    /// Image and output row that the output's first ones are of the whole convolution.
    origin: (usize, usize),
    /// Output pixel at which the first run starts.
    first_pixel: usize,
    /// The column that lies first in the output.
    first_column: usize,
    out: SharedPtr,
    layout: Layout,
    activation: Activation,
    residual: Option<View<'a>>,
    runs: Runs,
}

/// One task: a span of pixels against some panels.
struct Part<'a> {
    job: &'a Job<'a>,
    spans: usize,
    span: usize,
    panels: &'a [Panel],
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { job, spans, span, .. } = self;
        let Runs { len, count, operand, .. } = job.runs;
        let mut cells = Cells::take();
        if count > 1 {
            for run in split(count, spans, span) {
                self.block(s, run * len..(run + 1) * len, &mut cells);
            }
            return cells.give_back();
        }
        let rows = |bytes: usize, len: usize| bytes / (size_of::<f32>() * len);
        let block = rows(BLOCK_OF_A, operand.segments * operand.segment_len)
            .min(rows(BLOCK_OF_OUTPUT, job.layout.channels));
        let block = block.max(2 * MAX_ROWS);
        let pixels = split(len, spans, span);
        let blocks = pixels.len().div_ceil(block);
        for i in 0..blocks {
            let part = split(pixels.len(), blocks, i);
            self.block(s, pixels.start + part.start..pixels.start + part.end, &mut cells);
        }
        cells.give_back();
    }
}

impl Part<'_> {
    /// What `tiles` of a group of the panels fetch: the panels behind it, and what is read after all of them.
    #[inline(always)]
    fn coming(&self, group: &[Panel], tiles: usize) -> Coming<'_> {
        let Job { conv, b, .. } = *self.job;
        let (matrix, last) = (&conv.matrix, &group[group.len() - 1]);
        let values = matrix.offset(&group[0])..matrix.offset(last) + matrix.rows * matrix.width(last);
        Coming::new(b, values, &conv.later, group.len() * matrix.rows, tiles)
    }

    /// Every panel over the pixels of one run, counted from the job's first.
    #[inline(always)]
    fn block<S: Simd>(&self, s: S, pixels: Range<usize>, cells: &mut Cells) {
        let Self { job, panels, .. } = *self;
        for panels in panels.chunk_by(|a, b| a.vectors == b.vectors) {
            let tiles = pixels.len().div_ceil(S::TILE_ROWS[panels[0].vectors - 1]);
            let (short, longer) = (pixels.len() / tiles, pixels.len() % tiles);
            let panel_bytes = size_of::<f32>() * job.conv.matrix.rows * job.conv.matrix.width(&panels[0]);
            for panels in panels.chunks((GROUP_OF_B / panel_bytes).max(1)) {
                // Later groups find the rows where the first has brought them.
                let fetches_rows = job.runs.far && panels[0].column == self.panels[0].column;
                let mut coming = self.coming(panels, tiles);
                // Counted on from tile to tile: where a tile has little to compute, divisions take long.
                let mut pixel = Pixel::new(&job.layout, job.first_pixel + pixels.start);
                for i in 0..tiles {
                    let count = short + usize::from(i < longer);
                    let mut rows = job.locate(pixel, count);
                    let ahead = if fetches_rows {
                        rows.next(panels.len() * job.conv.matrix.rows)
                    } else {
                        coming.ahead()
                    };
                    job.round(s, &mut rows, cells);
                    job.tile(s, panels, &rows, ahead);
                    job.finish(s, panels, &rows);
                    pixel.advance(&job.layout, count);
                }
            }
        }
    }
}

/// The rows of a tile in memory.
struct Rows {
    /// The first patch in the input; the others are evenly spaced.
    a: *const f32,
    operand: Operand,
    /// The first column of every output pixel.
    out: [*mut f32; MAX_ROWS],
    /// The first column of every residual pixel, if there is a residual.
    residual: [*const f32; MAX_ROWS],
    count: usize,
}

impl Rows {
    /// What so many rows of weights fetch where the next tile's rows of A lie behind these.
    #[inline(always)]
    fn next(&self, weights: usize) -> Ahead {
        let len = self.count * self.operand.pitch;
        Ahead::over(self.a.wrapping_add(len), len, weights)
    }
}

impl Job<'_> {
    /// The rows of `count` pixels of a run.
    #[inline(always)]
    fn locate(&self, pixel: Pixel, count: usize) -> Rows {
        let Self { conv, input, padding, origin, layout, out, .. } = *self;
        let Pixel { image, y, x } = pixel;
        let stride = conv.shape.stride;
        // The padding lies within the halo (checked), so this never goes below zero.
        let a = input.layout.index(origin.0 + image, (origin.1 + y) * stride, x * stride)
            - padding.0 * input.layout.row_pitch()
            - padding.1 * conv.shape.inputs;
        let mut rows = Rows {
            a: input.data[a..].as_ptr(),
            operand: self.runs.operand,
            out: [std::ptr::null_mut(); MAX_ROWS],
            residual: [std::ptr::null(); MAX_ROWS],
            count,
        };
        // SAFETY: these are pixels of the output, and tasks differ in pixels or panels.
        each_index(&layout, pixel, count, |i, index| rows.out[i] = unsafe { out.at(index) });
        if let Some(residual) = self.residual {
            each_index(&residual.layout, pixel, count, |i, index| {
                rows.residual[i] = residual.data[index..].as_ptr();
            });
        }
        rows
    }

    /// Where products are of bf16, the rows are rounded, and read from `cells` from then on.
    #[inline(always)]
    fn round<S: Simd>(&self, s: S, rows: &mut Rows, cells: &mut Cells) {
        let Some(bf16) = self.conv.bf16 else { return };
        // SAFETY: `check` has established that the patches of all output pixels lie within the input.
        rows.operand = unsafe { bf16.round_rows(s, rows.a, rows.operand, rows.count, self.gate, cells) };
        rows.a = cells.as_ptr();
    }

    /// Adjacent panels of the same width over the rows of a tile: the sums, and what can be done to them in
    /// registers.
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, panels: &[Panel], rows: &Rows, ahead: Ahead) {
        let matrix = &self.conv.matrix;
        let form = self.activation.form();
        let (panel, columns) = (&panels[0], columns_of(panels));
        let residual = self.residual.filter(|_| form.is_some()).map(|_| &rows.residual[..rows.count]);
        // SAFETY: `check` has established that the patches of all output pixels lie within the input and
        // the output pixels within the output; the panels belong to the matrix `b`; nobody else writes
        // these pixels' columns of these panels.
        unsafe {
            let tile = Tile {
                a: rows.a,
                operand: rows.operand,
                b: self.b.as_ptr().add(matrix.offset(panel)),
                bias: matrix.bias.as_ptr().add(panel.column),
                rows: &rows.out[..rows.count],
                panels: panels.len(),
                first: columns.start - self.first_column,
                columns: columns.len(),
                clamp: form.and_then(Form::bounds),
                residual,
                ahead,
            };
            match self.conv.bf16 {
                #[cfg(target_arch = "x86_64")]
                Some(Bf16::Pairs(pairs)) => run_tile(pairs, panel.vectors, tile),
                _ => run_tile(s, panel.vectors, tile),
            }
        }
    }

    /// The activation where it takes more than a tile's registers, over the columns of adjacent panels.
    #[inline(always)]
    fn finish<S: Simd>(&self, s: S, panels: &[Panel], rows: &Rows) {
        if self.activation.form().is_some() {
            return;
        }
        let columns = columns_of(panels);
        let (first, columns) = (columns.start - self.first_column, columns.len());
        let residual = self.residual.map(|_| &rows.residual[..rows.count]);
        let rows = &rows.out[..rows.count];
        // SAFETY: the tiles of these columns have just written these rows, and the residual has the
        // output's shape.
        unsafe { finish_rows(s, self.activation, rows, first, columns, residual) };
    }
}

/// The columns of adjacent panels.
#[inline(always)]
fn columns_of(panels: &[Panel]) -> Range<usize> {
    panels[0].column..panels.last().map_or(0, |panel| panel.column + panel.columns)
}

/// Calls `visit` with 0.. and the index of each of `count` pixels from `pixel` on.
#[inline(always)]
fn each_index(layout: &Layout, mut pixel: Pixel, count: usize, mut visit: impl FnMut(usize, usize)) {
    let first = layout.index(pixel.image, pixel.y, pixel.x);
    if pixel.x + count <= layout.width || layout.is_dense() {
        (0..count).for_each(|i| visit(i, first + i * layout.channels));
        return;
    }
    for i in 0..count {
        visit(i, layout.index(pixel.image, pixel.y, pixel.x));
        pixel.advance(layout, 1);
    }
}

#[cfg(test)]
#[path = "conv_tests.rs"]
mod tests;
