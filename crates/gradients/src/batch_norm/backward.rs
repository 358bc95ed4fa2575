//! The gradients of BatchNorm and of the activation behind it.

use effigy_kernels::isa::{Kernel, Simd};
use effigy_kernels::{Activation, Cpu, Layout, SharedPtr, View, ViewMut};

use super::Batch;
use crate::activation::{Function, WithFunction, select};
use crate::blocks::{Blocks, total};
use crate::lanes::{ahead, count, load, store};

/// The gradient of an activation, as those who read it left it: `map · gate + spread`.
///
/// A squeeze and excitation reads a map twice, once to scale it and once for its means. Neither needs a pass of its
/// own on the way back.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// `[N, H, W, C]`; none where only the means were read.
    pub map: Option<View<'a>>,
    /// `[N, C]`.
    pub gate: Option<&'a [f32]>,
    /// `[N, C]`.
    pub spread: Option<&'a [f32]>,
}

/// What the gradients of a batch add up to: images can come a few at a time, while they are in the cache.
#[derive(Debug)]
pub struct GradientSums {
    layout: Layout,
    /// `Σ d` and `Σ d · (x − mean)`: `[blocks][2][C]`.
    sums: Vec<f32>,
}

impl GradientSums {
    /// Of a map of this layout.
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        Self { layout: *layout, sums: vec![0.0; Blocks::of(layout).count * 2 * layout.channels] }
    }

    /// The first pass: counts the gradients of `y = activation(batch(input))`, for the images of `input`, which are
    /// those from `first` on of the whole map. What is left of them before the activation goes to `left`, if the
    /// activation changes them; where it is the identity, nothing is written.
    ///
    /// # Panics
    /// When shapes or lengths do not fit together.
    pub fn count(
        &mut self,
        cpu: &Cpu,
        batch: &Batch,
        input: View<'_>,
        activation: Activation,
        d_output: Incoming<'_>,
        left: Option<&mut ViewMut<'_>>,
        first: usize,
    ) {
        let pass = Pass::new(input, activation, d_output, left.as_ref().map(|left| left.layout));
        let out = left.filter(|_| activation != Activation::Identity).map(|left| SharedPtr::new(left.data));
        let (blocks, channels) = (pass.blocks, input.layout.channels);
        let start = Blocks::of(&self.layout).of_image(first).start * 2 * channels;
        let sums = &mut self.sums[start..start + blocks.count * 2 * channels];
        let sums_out = SharedPtr::new(sums);
        cpu.pool.run(blocks.count, |task| {
            if let Some(out) = out {
                // SAFETY: this task's own rows.
                unsafe { blocks.clear_halo(task, out, &pass.to) };
            }
            pass.each_stretch(task, |stretch, index| {
                // SAFETY: this task's own rows of the output, and its own sums.
                unsafe {
                    cpu.isa.run(Reduce {
                        stretch,
                        scale: batch.scale.as_ptr(),
                        shift: batch.shift.as_ptr(),
                        mean: batch.mean.as_ptr(),
                        out: out.map(|out| out.at(index)),
                        sums: sums_out.at(task * 2 * channels),
                    });
                }
            });
        });
    }

    /// Adds the gradients of weight and bias to `d_affine`, and gives what the second pass needs. `moves` says that
    /// the statistics are the batch's own, so that every pixel had a part in them.
    #[must_use]
    pub fn finish(&self, batch: &Batch, moves: bool, d_affine: Option<(&mut [f32], &mut [f32])>) -> Factors {
        let (channels, blocks) = (self.layout.channels, Blocks::of(&self.layout));
        let sum = total(&self.sums, 0..blocks.count, 2 * channels, 0, channels);
        let product = total(&self.sums, 0..blocks.count, 2 * channels, channels, channels);
        if let Some((weight, bias)) = d_affine {
            for c in 0..channels {
                weight[c] += (product[c] * f64::from(batch.inverse[c])) as f32;
                bias[c] += sum[c] as f32;
            }
        }
        Factors::new(batch, moves, &sum, &product, (self.layout.images * self.layout.pixels()) as f64)
    }
}

/// What the second pass makes of a gradient: `d · a + input · b + c`, per channel.
#[derive(Clone, Debug, Default)]
pub struct Factors {
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Factors {
    /// From `Σ d` and `Σ d · (input − mean)`.
    fn new(batch: &Batch, moves: bool, sum: &[f64], product: &[f64], pixels: f64) -> Self {
        let channels = batch.scale.len();
        let (mut b, mut c) = (vec![0.0; channels], vec![0.0; channels]);
        if moves {
            for i in 0..channels {
                let (scale, inverse) = (f64::from(batch.scale[i]), f64::from(batch.inverse[i]));
                let slope = -scale * inverse * inverse * product[i] / pixels;
                b[i] = slope as f32;
                c[i] = (-scale * sum[i] / pixels - slope * f64::from(batch.mean[i])) as f32;
            }
        }
        Self { a: batch.scale.clone(), b, c }
    }

    /// The second pass: what the statistics take back. `d_input` is what the first pass has left, or, where it has
    /// left nothing, is written from `d_output`.
    ///
    /// # Panics
    /// When shapes or lengths do not fit together.
    pub fn apply(
        &self,
        cpu: &Cpu,
        input: View<'_>,
        d_output: Option<Incoming<'_>>,
        d_input: &mut ViewMut<'_>,
    ) {
        let to = d_input.layout;
        let nothing = Incoming { map: None, gate: None, spread: None };
        let pass = Pass::new(input, Activation::Identity, d_output.unwrap_or(nothing), Some(to));
        let out = SharedPtr::new(d_input.data);
        cpu.pool.run(pass.blocks.count, |task| {
            if d_output.is_some() {
                // SAFETY: this task's own rows.
                unsafe { pass.blocks.clear_halo(task, out, &to) };
            }
            pass.each_stretch(task, |stretch, index| {
                // SAFETY: this task's own rows of the output.
                unsafe {
                    let out = out.at(index);
                    let left = d_output.is_none().then_some(out.cast_const());
                    cpu.isa.run(Apply { stretch, factors: self, left, out });
                }
            });
        });
    }
}

/// What both passes read.
struct Pass<'a> {
    input: View<'a>,
    d_output: Incoming<'a>,
    to: Layout,
    blocks: Blocks,
    activation: Activation,
}

impl<'a> Pass<'a> {
    fn new(input: View<'a>, activation: Activation, d_output: Incoming<'a>, to: Option<Layout>) -> Self {
        let x = input.layout;
        assert!(d_output.map.is_none_or(|map| x.same_shape(&map.layout)), "{:?} for {x:?}", d_output.map);
        for per_image in [d_output.gate, d_output.spread].into_iter().flatten() {
            assert_eq!(per_image.len(), x.images * x.channels, "one value per image and channel");
        }
        let to = to.unwrap_or(x);
        assert!(x.same_shape(&to), "{to:?} for {x:?}");
        Self { input, d_output, to, blocks: Blocks::of(&x), activation }
    }

    /// The stretches of a block, each with its place in the output.
    fn each_stretch(&self, task: usize, mut visit: impl FnMut(Stretch, usize)) {
        let Self { input, d_output: Incoming { map, gate, spread }, to, blocks, activation } = *self;
        let channels = to.channels;
        let (image, rows) = blocks.at(task);
        let map_is_dense = map.is_none_or(|map| map.layout.is_dense());
        let dense = input.layout.is_dense() && map_is_dense && to.is_dense();
        let (stretches, pixels) = blocks.stretches(task, dense);
        for stretch in 0..stretches {
            let y = rows.start + stretch;
            let stretch = Stretch {
                activation,
                x: input.data[input.layout.index(image, y, 0)..].as_ptr(),
                d: map.map(|map| map.data[map.layout.index(image, y, 0)..].as_ptr()),
                gate: gate.map(|gate| gate[image * channels..].as_ptr()),
                spread: spread.map(|spread| spread[image * channels..].as_ptr()),
                pixels,
                channels,
            };
            visit(stretch, to.index(image, y, 0));
        }
    }
}

/// Pixels without a gap between them, and the gradients that come to them.
#[derive(Clone, Copy)]
struct Stretch {
    activation: Activation,
    x: *const f32,
    d: Option<*const f32>,
    gate: Option<*const f32>,
    spread: Option<*const f32>,
    pixels: usize,
    channels: usize,
}

impl Stretch {
    /// The gradients of channel `c` in full.
    ///
    /// # Safety
    /// `n` values must be there from `at` (and `c`) on.
    #[inline(always)]
    unsafe fn incoming<S: Simd>(&self, s: S, at: usize, c: usize, n: usize) -> S::V {
        // SAFETY: the caller's promise.
        unsafe {
            let Some(d) = self.d else {
                return match self.spread {
                    Some(spread) => load(s, spread.add(c), n),
                    None => s.splat(0.0),
                };
            };
            ahead(d.add(at));
            let d = load(s, d.add(at), n);
            match (self.gate, self.spread) {
                (None, None) => d,
                (Some(gate), None) => s.mul(d, load(s, gate.add(c), n)),
                (None, Some(spread)) => s.add(d, load(s, spread.add(c), n)),
                (Some(gate), Some(spread)) => s.fma(d, load(s, gate.add(c), n), load(s, spread.add(c), n)),
            }
        }
    }
}

/// Pixels at a time, which share the loads of what is known per channel.
const GROUP: usize = 4;

/// The first pass: through the activation, and the sums.
struct Reduce {
    stretch: Stretch,
    scale: *const f32,
    shift: *const f32,
    mean: *const f32,
    out: Option<*mut f32>,
    /// `Σ d` and `Σ d · (x − mean)`: `[2][channels]`.
    sums: *mut f32,
}

struct ReduceLoop<S> {
    s: S,
    of: Reduce,
}

impl Kernel for Reduce {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        select(self.stretch.activation, ReduceLoop { s, of: self });
    }
}

impl<S: Simd> WithFunction for ReduceLoop<S> {
    #[inline(always)]
    fn with<F: Function>(self) {
        let pixels = self.of.stretch.pixels;
        let whole = pixels - pixels % GROUP;
        for p in (0..whole).step_by(GROUP) {
            self.group::<F, GROUP>(p);
        }
        for p in whole..pixels {
            self.group::<F, 1>(p);
        }
    }
}

impl<S: Simd> ReduceLoop<S> {
    #[inline(always)]
    fn group<F: Function, const N: usize>(&self, p: usize) {
        let Self { s, of: Reduce { stretch, scale, shift, mean, out, sums } } = *self;
        let channels = stretch.channels;
        let mut c = 0;
        while c < channels {
            let n = count::<S>(c, channels);
            // SAFETY: `N` pixels are there from `p` on, and `n` channels from `c` on; every pointer is to a
            // stretch as long, or to a value per channel.
            unsafe {
                let (scale, shift) = (load(s, scale.add(c), n), load(s, shift.add(c), n));
                let mean = load(s, mean.add(c), n);
                let mut sum = load(s, sums.add(c), n);
                let mut product = load(s, sums.add(channels + c), n);
                for pixel in 0..N {
                    let at = (p + pixel) * channels + c;
                    ahead(stretch.x.add(at));
                    let x = load(s, stretch.x.add(at), n);
                    let d = stretch.incoming(s, at, c, n);
                    let d = if F::IS_IDENTITY { d } else { F::slope(s, s.fma(x, scale, shift), d) };
                    sum = s.add(sum, d);
                    product = s.fma(d, s.sub(x, mean), product);
                    if let Some(out) = out {
                        ahead(out.add(at));
                        store(s, out.add(at), n, d);
                    }
                }
                store(s, sums.add(c), n, sum);
                store(s, sums.add(channels + c), n, product);
            }
            c += S::LANES;
        }
    }
}

/// The second pass: what the statistics take back.
struct Apply<'a> {
    stretch: Stretch,
    factors: &'a Factors,
    /// What the first pass has left, if it has.
    left: Option<*const f32>,
    out: *mut f32,
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let pixels = self.stretch.pixels;
        let whole = pixels - pixels % GROUP;
        for p in (0..whole).step_by(GROUP) {
            self.group::<S, GROUP>(s, p);
        }
        for p in whole..pixels {
            self.group::<S, 1>(s, p);
        }
    }
}

impl Apply<'_> {
    #[inline(always)]
    fn group<S: Simd, const N: usize>(&self, s: S, p: usize) {
        let Self { stretch, factors, left, out } = *self;
        let channels = stretch.channels;
        let mut c = 0;
        while c < channels {
            let n = count::<S>(c, channels);
            // SAFETY: as in `ReduceLoop::group`.
            unsafe {
                let a = load(s, factors.a.as_ptr().add(c), n);
                let b = load(s, factors.b.as_ptr().add(c), n);
                let offset = load(s, factors.c.as_ptr().add(c), n);
                for pixel in 0..N {
                    let at = (p + pixel) * channels + c;
                    let d = match left {
                        Some(left) => load(s, left.add(at), n),
                        None => stretch.incoming(s, at, c, n),
                    };
                    ahead(stretch.x.add(at));
                    ahead(out.add(at));
                    let rest = s.fma(load(s, stretch.x.add(at), n), b, offset);
                    store(s, out.add(at), n, s.fma(d, a, rest));
                }
            }
            c += S::LANES;
        }
    }
}
