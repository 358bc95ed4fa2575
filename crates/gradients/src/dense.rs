//! The weight gradient of dense convolutions and linear layers: dYᵀ·X straight from the maps as they lie.

use std::ops::Range;

use effigy_kernels::isa::{Kernel, Simd, prefetch_far};
use effigy_kernels::{ConvShape, Cpu, Layout, SharedPtr, View, split};

use crate::lanes::{load, store};

/// A factor on a convolution's input, one for each image and channel, `[N, I]`.
pub type Gate<'a> = Option<&'a [f32]>;

/// Values of both maps that a block of pixels has: they stay in the second-level cache while every tile of the
/// gradient passes over them.
const BLOCK: usize = 24 << 10;
/// Pixels that are worth a sum of their own.
const SPAN: usize = 4096;
/// Sums of their own at most: each is as large as the weights.
const SPANS: usize = 16;
/// Rows of the tallest tile of any instruction set.
const MAX_ROWS: usize = 14;
/// Bytes in a cache line.
const LINE: usize = 64;
/// Multiply-adds that are worth a task.
const TASK_MACS: usize = 200_000;

/// Adds the gradient of `weights: [O, I, k, k]` to `d_weights`, for `output = weights ∗ (input · gate)`.
///
/// `padding` and the input's halo are as in [`conv2d`](effigy_kernels::conv2d); a gate needs a 1×1 kernel.
///
/// # Panics
/// When shapes, halo or lengths do not fit together.
pub fn dense_weights(
    cpu: &Cpu,
    shape: ConvShape,
    input: View<'_>,
    gate: Gate<'_>,
    padding: (usize, usize),
    d_output: View<'_>,
    d_weights: &mut [f32],
) {
    let ConvShape { inputs, outputs, kernel, stride } = shape;
    let (x, d) = (input.layout, d_output.layout);
    let columns = kernel * inputs;
    assert_eq!((x.channels, d.channels, x.images), (inputs, outputs, d.images), "{x:?} → {d:?}");
    assert_eq!(d_weights.len(), outputs * kernel * columns, "weights of {shape:?}");
    assert!(padding.0 <= x.halo.top && padding.1 <= x.halo.left, "{padding:?} zeros are not in {x:?}");
    let reach = |out: usize| (out - 1) * stride + kernel;
    assert!(reach(d.height) <= padding.0 + x.height + x.halo.bottom, "{x:?} → {d:?}");
    assert!(reach(d.width) <= padding.1 + x.width + x.halo.right, "{x:?} → {d:?}");
    assert!(gate.is_none_or(|gate| kernel == 1 && gate.len() == x.images * inputs), "a gate of {shape:?}");

    let work = Work::new(shape, input, gate, padding, d_output);
    let spans = (d.images * d.pixels() / SPAN).clamp(1, SPANS).min(work.blocks());
    let tile_rows = cpu.isa.tile_rows();
    // Rows are cut for the threads, which changes no sum; pixels by the shape alone.
    let macs = d.images * d.pixels() * outputs * kernel * columns;
    let parts =
        (macs / TASK_MACS).min(4 * cpu.pool.threads()).div_ceil(spans).min(outputs.div_ceil(tile_rows[1]));
    let parts = if cpu.pool.threads() == 1 { 1 } else { parts.max(1) };
    // One span adds to the gradient itself where that lies as the sums do.
    let direct = spans == 1 && kernel == 1;
    let mut sums = vec![0.0; if direct { 0 } else { spans * d_weights.len() }];
    let out = SharedPtr::new(if direct { &mut *d_weights } else { &mut sums });
    cpu.pool.run(spans * parts, |task| {
        let (span, part) = (task / parts, task % parts);
        // SAFETY: the span's own sums, of which the tasks of a span write different rows.
        let out = unsafe { out.at(span * outputs * kernel * columns) };
        let rows = split(outputs, parts, part);
        cpu.isa.run(Part { work: &work, blocks: split(work.blocks(), spans, span), rows, out, add: direct });
    });
    if !direct {
        add_sums(cpu, shape, &sums, d_weights);
    }
}

/// `d_weights[o, i, ky, kx] += Σ sums[o, ky, kx, i]`.
fn add_sums(cpu: &Cpu, shape: ConvShape, sums: &[f32], d_weights: &mut [f32]) {
    let ConvShape { inputs, outputs, kernel, .. } = shape;
    let (area, row_len) = (kernel * kernel, kernel * kernel * inputs);
    let out = SharedPtr::new(d_weights);
    let tasks = (sums.len() / TASK_MACS + 1).min(outputs);
    cpu.pool.run(tasks, |task| {
        for o in split(outputs, tasks, task) {
            // SAFETY: the task's own rows.
            let out = unsafe { std::slice::from_raw_parts_mut(out.at(o * row_len), row_len) };
            for sums in sums.chunks_exact(outputs * row_len) {
                let row = &sums[o * row_len..][..row_len];
                if area == 1 {
                    out.iter_mut().zip(row).for_each(|(out, sum)| *out += sum);
                    continue;
                }
                for (tap, row) in row.chunks_exact(inputs).enumerate() {
                    for (i, sum) in row.iter().enumerate() {
                        out[i * area + tap] += sum;
                    }
                }
            }
        }
    });
}

/// The maps, as blocks of pixels: a few rows of a picture, or a stretch of pixels where no row ends matter.
struct Work<'a> {
    shape: ConvShape,
    x: View<'a>,
    gate: Gate<'a>,
    padding: (usize, usize),
    d: View<'a>,
    /// Pictures, and runs and pixels of a run in each.
    images: usize,
    runs: usize,
    len: usize,
    /// Pixels of a run, or whole runs, that a block has.
    block_len: usize,
    block_runs: usize,
}

impl<'a> Work<'a> {
    fn new(shape: ConvShape, x: View<'a>, gate: Gate<'a>, padding: (usize, usize), d: View<'a>) -> Self {
        let Layout { images, height, width, .. } = d.layout;
        let flat = shape.kernel == 1 && shape.stride == 1 && x.layout.is_dense() && d.layout.is_dense();
        let (images, runs, len) = match (flat, gate) {
            (false, _) => (images, height, width),
            (true, None) => (1, 1, images * height * width),
            (true, Some(_)) => (images, 1, height * width),
        };
        let pixels = (BLOCK / (shape.outputs + shape.kernel * shape.inputs)).max(32);
        let block_len = if runs == 1 { len.min(pixels) } else { len };
        let block_runs = if runs == 1 { 1 } else { (pixels / len).clamp(1, runs) };
        Self { shape, x, gate, padding, d, images, runs, len, block_len, block_runs }
    }

    /// Blocks of a picture.
    fn per_image(&self) -> usize {
        if self.runs == 1 { self.len.div_ceil(self.block_len) } else { self.runs.div_ceil(self.block_runs) }
    }

    fn blocks(&self) -> usize {
        self.images * self.per_image()
    }

    /// Where block `index` has both maps, from its first pixel to its last.
    fn stretches(&self, index: usize) -> [Range<*const u8>; 2] {
        let (image, y, pixel, runs, len) = self.block(index);
        let of = |map: View<'_>, stride: usize| {
            let layout = map.layout;
            let first = layout.index(image, y * stride, pixel * stride);
            let len = (runs - 1) * stride * layout.row_pitch() + len * stride * layout.channels;
            map.data[first..map.data.len().min(first + len)].as_ptr_range()
        };
        let bytes = |range: Range<*const f32>| range.start.cast()..range.end.cast();
        [bytes(of(self.d, 1)), bytes(of(self.x, self.shape.stride))]
    }

    /// Block `index`: picture, first row, first pixel, number of rows, and of pixels in each.
    fn block(&self, index: usize) -> (usize, usize, usize, usize, usize) {
        let (image, part) = (index / self.per_image(), index % self.per_image());
        let parts = self.per_image();
        if self.runs == 1 {
            let pixels = split(self.len, parts, part);
            (image, 0, pixels.start, 1, pixels.len())
        } else {
            let rows = split(self.runs, parts, part);
            (image, rows.start, 0, rows.len(), self.len)
        }
    }
}

/// Some rows (outputs) of the gradient over some blocks.
struct Part<'a> {
    work: &'a Work<'a>,
    blocks: Range<usize>,
    rows: Range<usize>,
    out: *mut f32,
    /// Whether the gradient is added to what is there.
    add: bool,
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { work, blocks, rows, out, add } = self;
        let ConvShape { inputs, kernel, stride, .. } = work.shape;
        let (x, d) = (work.x.layout, work.d.layout);
        let width = kernel * inputs;
        let row_len = kernel * width;
        let Range { start: first, end } = blocks;
        for block in blocks {
            let (image, y, pixel, runs, len) = work.block(block);
            let d_at = d.index(image, y, pixel);
            let mut coming = Coming::new(
                (block + 1 < end).then(|| work.stretches(block + 1)),
                kernel * width.div_ceil(2 * S::LANES) * rows.len().div_ceil(S::TILE_ROWS[1]) * runs * len,
            );
            for ky in 0..kernel {
                // The padding lies within the halo (checked), so this never goes below zero.
                let x_at = x.index(image, y * stride + ky, pixel * stride)
                    - work.padding.0 * x.row_pitch()
                    - work.padding.1 * inputs;
                let mut column = 0;
                while column < width {
                    let vectors = vectors::<S>(width - column);
                    let columns = (width - column).min(vectors * S::LANES);
                    let count = rows.len().div_ceil(S::TILE_ROWS[vectors - 1]);
                    for i in 0..count {
                        let part = split(rows.len(), count, i);
                        let row = rows.start + part.start;
                        // SAFETY: the block's pixels lie in both maps (checked), `row` and `column` in the
                        // gradient, of which these rows are this task's own.
                        unsafe {
                            let tile = Tile {
                                d: work.d.data[d_at + row..].as_ptr(),
                                d_pitch: d.channels,
                                d_run: d.row_pitch(),
                                x: work.x.data[x_at + column..].as_ptr(),
                                x_pitch: stride * inputs,
                                x_run: stride * x.row_pitch(),
                                runs,
                                len,
                                gate: work.gate.map(|gate| gate[image * inputs + column..].as_ptr()),
                                out: out.add(row * row_len + ky * width + column),
                                out_pitch: row_len,
                                columns,
                                add: add || block > first,
                                ahead: coming.next(runs * len).unwrap_or_else(|| work.d.data.as_ptr().cast()),
                                ahead_step: coming.step,
                            };
                            run_tile(s, part.len(), vectors, tile);
                        }
                    }
                    column += columns;
                }
            }
        }
    }
}

/// Vectors of the next tile's width, for `columns` that are left: two, the last one or three.
#[inline(always)]
fn vectors<S: Simd>(columns: usize) -> usize {
    match columns.div_ceil(S::LANES) {
        1 => 1,
        3 => 3,
        _ => 2,
    }
}

/// A few rows and columns of the gradient, summed over the pixels of a block.
#[derive(Clone, Copy)]
struct Tile {
    d: *const f32,
    d_pitch: usize,
    d_run: usize,
    x: *const f32,
    x_pitch: usize,
    x_run: usize,
    runs: usize,
    len: usize,
    /// Multiplied with the sums' columns.
    gate: Option<*const f32>,
    out: *mut f32,
    out_pitch: usize,
    /// Columns that exist, up to the last vector.
    columns: usize,
    /// Whether the sums are added to what is there.
    add: bool,
    /// What is fetched with the first pixel, and from there to what is with the next, in bytes. Need not be there any
    /// more, but an address that is none would take long to look up.
    ahead: *const u8,
    ahead_step: usize,
}

/// What the tiles of a block fetch bit by bit: the maps where the next block has them. Cut into blocks and tiles, they
/// are read in steps too wide for the processor to see what comes.
struct Coming {
    stretches: Option<[Range<*const u8>; 2]>,
    done: usize,
    /// From pixel to pixel.
    step: usize,
}

impl Coming {
    /// Of these stretches, which all tiles together fetch in so many steps.
    fn new(stretches: Option<[Range<*const u8>; 2]>, steps: usize) -> Self {
        let bytes: usize = stretches.iter().flatten().map(bytes).sum();
        Self { stretches, done: 0, step: bytes.div_ceil(steps).min(LINE) }
    }

    /// Where the next tile starts, which goes so many steps.
    fn next(&mut self, steps: usize) -> Option<*const u8> {
        let [first, second] = self.stretches.as_ref()?;
        let done = self.done;
        self.done += steps * self.step;
        Some(match done.checked_sub(bytes(first)) {
            None => first.start.wrapping_add(done),
            Some(done) => second.start.wrapping_add(done.min(bytes(second))),
        })
    }
}

fn bytes(stretch: &Range<*const u8>) -> usize {
    stretch.end.addr() - stretch.start.addr()
}

struct TileKernel<const ROWS: usize, const VECTORS: usize>(Tile);

// Loops over array indices, not closures: a closure that is not inlined would be compiled without the
// instruction set.
#[allow(clippy::needless_range_loop)]
impl<const ROWS: usize, const VECTORS: usize> TileKernel<ROWS, VECTORS> {
    #[inline(always)]
    unsafe fn sums<S: Simd>(&self, s: S, tail: usize) -> [[S::V; VECTORS]; ROWS] {
        let Tile { d, d_pitch, d_run, x, x_pitch, x_run, runs, len, mut ahead, ahead_step, .. } = self.0;
        let mut sums = [[s.splat(0.0); VECTORS]; ROWS];
        let mut row = [s.splat(0.0); VECTORS];
        // SAFETY: the caller's tile has these pixels.
        unsafe {
            for run in 0..runs {
                let (mut d, mut x) = (d.add(run * d_run), x.add(run * x_run));
                for _ in 0..len {
                    prefetch_far(ahead);
                    ahead = ahead.wrapping_add(ahead_step);
                    for v in 0..VECTORS - 1 {
                        row[v] = s.load(x.add(v * S::LANES));
                    }
                    row[VECTORS - 1] = load(s, x.add((VECTORS - 1) * S::LANES), tail);
                    for r in 0..ROWS {
                        let d = s.splat(*d.add(r));
                        for v in 0..VECTORS {
                            sums[r][v] = s.fma(d, row[v], sums[r][v]);
                        }
                    }
                    d = d.wrapping_add(d_pitch);
                    x = x.wrapping_add(x_pitch);
                }
            }
        }
        sums
    }
}

#[allow(clippy::needless_range_loop)]
impl<const ROWS: usize, const VECTORS: usize> Kernel for TileKernel<ROWS, VECTORS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Tile { gate, out, out_pitch, columns, add, .. } = self.0;
        let tail = columns - (VECTORS - 1) * S::LANES;
        // SAFETY: the tile's promise.
        unsafe {
            // A whole vector needs no mask.
            let mut sums = if tail == S::LANES { self.sums(s, S::LANES) } else { self.sums(s, tail) };
            for v in 0..VECTORS {
                let n = if v + 1 == VECTORS { tail } else { S::LANES };
                if let Some(gate) = gate {
                    let gate = load(s, gate.add(v * S::LANES), n);
                    for r in 0..ROWS {
                        sums[r][v] = s.mul(sums[r][v], gate);
                    }
                }
                for r in 0..ROWS {
                    let to = out.add(r * out_pitch + v * S::LANES);
                    let sum = if add { s.add(load(s, to, n), sums[r][v]) } else { sums[r][v] };
                    store(s, to, n, sum);
                }
            }
        }
    }
}

type TileFn<S> = fn(S, Tile);

fn enter<S: Simd, const ROWS: usize, const VECTORS: usize>(s: S, tile: Tile) {
    s.vectorize(TileKernel::<ROWS, VECTORS>(tile));
}

/// The tiles of one width, for every number of rows.
macro_rules! tiles {
    ($vectors:literal: $($rows:literal)*) => { [$(enter::<S, $rows, $vectors>),*] };
}

struct Table<S>(std::marker::PhantomData<S>);

impl<S: Simd> Table<S> {
    const ONE: [TileFn<S>; MAX_ROWS] = tiles!(1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    const TWO: [TileFn<S>; MAX_ROWS] = tiles!(2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    const THREE: [TileFn<S>; 9] = tiles!(3: 1 2 3 4 5 6 7 8 9);
}

/// # Safety
/// The tile's pixels must be readable for `rows` values of `d` and its columns of `x`, and its part of the
/// gradient writable by this thread alone.
unsafe fn run_tile<S: Simd>(s: S, rows: usize, vectors: usize, tile: Tile) {
    let table: &[TileFn<S>] = match vectors {
        1 => &Table::<S>::ONE,
        2 => &Table::<S>::TWO,
        _ => &Table::<S>::THREE,
    };
    table[rows - 1](s, tile);
}

#[cfg(test)]
#[path = "dense_tests.rs"]
mod tests;
