use super::*;
use crate::conv::{ConvShape, conv2d};
use crate::depthwise::depthwise;
use crate::epilogue::Epilogue;
use crate::expand::{expand_depthwise, expand_scratch_len};
use crate::isa::Isa;
use crate::max_pool::max_pool;
use crate::naive::{self, noise};
use crate::weighted_sum::weighted_sum;

/// Sums of up to 9 · 20 products, in another order than the oracle's.
const TOLERANCE: f32 = 2e-5;
const IMAGES: usize = 2;
const RELU: Epilogue<'_> = Epilogue { activation: Activation::Relu, residual: None };
const POOL: Window = Window { kernel: 3, stride: 2, padding: (0, 0) };

/// The maps of a sum at one level of a pyramid, and the weights of the convolutions after it.
struct Case {
    layout: Layout,
    outputs: usize,
    maps: Vec<(Layout, Vec<f32>)>,
    depthwise: PackedDepthwise,
    pointwise: PackedConv,
    /// Those of the convolutions, as they were packed.
    weights: [Vec<f32>; 4],
}

impl Case {
    fn new(isa: Isa, (height, width): (usize, usize), channels: usize, outputs: usize) -> Self {
        let halo = Halo { top: 1, bottom: 1, left: 1, right: 1 };
        let layout = Layout::dense(IMAGES, height, width, channels).with_halo(halo);
        let other = Halo { top: 2, left: 1, bottom: 0, right: 3 };
        let maps = [
            Layout::dense(IMAGES, height, width, channels),
            Layout::dense(IMAGES, height.div_ceil(2), width.div_ceil(2), channels).with_halo(other),
            Layout::dense(IMAGES, 2 * height, 2 * width, channels),
        ];
        let weights = [
            noise(channels * 9, 4),
            noise(channels, 5),
            noise(channels * outputs, 6).iter().map(|v| v * 0.3).collect(),
            noise(outputs, 7),
        ];
        let shape = ConvShape { inputs: channels, outputs, kernel: 1, stride: 1 };
        Self {
            layout,
            outputs,
            maps: maps.into_iter().zip(1..).map(|(l, seed)| (l, noise(l.len(), seed))).collect(),
            depthwise: PackedDepthwise::new(isa, 3, 1, &weights[0], &weights[1]),
            pointwise: PackedConv::new(isa, shape, &weights[2], &weights[3]),
            weights,
        }
    }

    fn output(&self) -> Layout {
        let halo = Halo { top: 1, bottom: 2, left: 0, right: 1 };
        Layout { channels: self.outputs, halo, ..self.layout }
    }

    fn map(&self, i: usize) -> View<'_> {
        View::new(&self.maps[i].1, self.maps[i].0)
    }

    fn sum(&self) -> FusionSum<'_> {
        let term = |i: usize, weight: f32, pool| Some(FusionTerm { map: self.map(i), weight, pool });
        let mut terms = [None; MAX_TERMS];
        terms[0] = term(0, 0.5, None);
        terms[1] = term(1, -1.25, None);
        terms[2] = term(2, 0.75, Some((POOL, f32::NEG_INFINITY)));
        FusionSum { terms, activation: Activation::Swish, layout: self.layout }
    }

    fn separable<'a>(&'a self, input: SeparableInput<'a>, output: &'a mut [f32]) -> Separable<'a> {
        Separable {
            input,
            depthwise: (&self.depthwise, Activation::Identity),
            padding: (1, 1),
            pointwise: (&self.pointwise, RELU),
            output: ViewMut::new(output, self.output()),
        }
    }

    fn scratch(&self, cpu: &Cpu, kind: InputKind) -> usize {
        separable_scratch_len(cpu, &self.depthwise, &self.layout, kind, &self.output())
    }

    /// The sum by itself.
    fn summed(&self, cpu: &Cpu) -> Vec<f32> {
        let pooled = Layout { halo: Halo::default(), ..self.layout };
        let mut pool = vec![f32::NAN; pooled.len()];
        max_pool(cpu, POOL, f32::NEG_INFINITY, self.map(2), &mut ViewMut::new(&mut pool, pooled));
        let terms = [(self.map(0), 0.5), (self.map(1), -1.25), (View::new(&pool, pooled), 0.75)];
        let mut sum = vec![f32::NAN; self.layout.len()];
        weighted_sum(cpu, &terms, Activation::Swish, &mut ViewMut::new(&mut sum, self.layout));
        sum
    }

    /// One kernel after the other.
    fn unfused(&self, cpu: &Cpu, input: &[f32]) -> Vec<f32> {
        let between = Layout { halo: Halo::default(), ..self.layout };
        let mut middle = vec![f32::NAN; between.len()];
        let view = View::new(input, self.layout);
        let mut to = ViewMut::new(&mut middle, between);
        depthwise(cpu, &self.depthwise, view, (1, 1), &mut to, Activation::Identity, None);
        let mut result = vec![f32::NAN; self.output().len()];
        let mut to = ViewMut::new(&mut result, self.output());
        conv2d(cpu, &self.pointwise, View::new(&middle, between), (0, 0), None, &mut to, RELU);
        result
    }

    /// The convolutions as their formulas.
    fn naive(&self, input: &[f32]) -> Vec<f32> {
        let channels = self.layout.channels;
        let between = Layout { halo: Halo::default(), ..self.layout };
        let plain = Epilogue::default();
        let shape = ConvShape { inputs: channels, outputs: channels, kernel: 3, stride: 1 };
        let [w, b, ..] = &self.weights;
        let view = View::new(input, self.layout);
        let middle = naive::conv2d(shape, channels, w, b, view, (1, 1), between, plain);
        let shape = ConvShape { inputs: channels, outputs: self.outputs, kernel: 1, stride: 1 };
        let [.., w, b] = &self.weights;
        naive::conv2d(shape, 1, w, b, View::new(&middle, between), (0, 0), self.output(), RELU)
    }
}

fn alone(convolution: Separable<'_>) -> [Option<Separable<'_>>; MAX_SEPARABLE] {
    let mut all = [const { None }; MAX_SEPARABLE];
    all[0] = Some(convolution);
    all
}

const SIZES: [(usize, usize); 9] =
    [(1, 1), (1, 5), (3, 2), (4, 4), (5, 7), (8, 8), (9, 17), (33, 20), (17, 70)];

/// The pyramid's sum, in the ring, is the one in memory, and so are the convolutions: bit for bit.
#[test]
fn equals_one_after_the_other() {
    for isa in Isa::available() {
        for threads in [1, 3] {
            let cpu = Cpu::new(isa, threads);
            for size in SIZES {
                for (channels, outputs) in [(5, 3), (16, 40), (20, 36)] {
                    let case = Case::new(isa, size, channels, outputs);
                    let sum = case.summed(&cpu);
                    let expected = case.unfused(&cpu, &sum);
                    let what = format!("{} {threads} {size:?} {channels} → {outputs}", isa.name());
                    let mut result = vec![f32::NAN; case.output().len()];
                    let mut scratch = vec![f32::NAN; case.scratch(&cpu, InputKind::Sum)];
                    let convolution = case.separable(SeparableInput::Sum(case.sum()), &mut result);
                    separable(&cpu, &mut alone(convolution), &mut scratch);
                    assert!(result == expected, "{what}: a sum");
                    let mut result = vec![f32::NAN; case.output().len()];
                    let mut scratch = vec![f32::NAN; case.scratch(&cpu, InputKind::Map)];
                    let map = View::new(&sum, case.layout);
                    let convolution = case.separable(SeparableInput::Map(map), &mut result);
                    separable(&cpu, &mut alone(convolution), &mut scratch);
                    assert!(result == expected, "{what}: a map");
                }
            }
        }
    }
}

#[test]
fn equals_the_formula() {
    for isa in Isa::available() {
        let cpu = Cpu::new(isa, 2);
        for size in SIZES {
            let case = Case::new(isa, size, 20, 36);
            let sum = case.summed(&cpu);
            let mut result = vec![f32::NAN; case.output().len()];
            let mut scratch = vec![f32::NAN; case.scratch(&cpu, InputKind::Sum)];
            let convolution = case.separable(SeparableInput::Sum(case.sum()), &mut result);
            separable(&cpu, &mut alone(convolution), &mut scratch);
            let expected = case.naive(&sum);
            let layout = case.output();
            for (i, expected) in expected.iter().enumerate() {
                let (pixel, channel) = (i / layout.channels, i % layout.channels);
                let (image, pixel) = (pixel / layout.pixels(), pixel % layout.pixels());
                let index = layout.index(image, pixel / layout.width, pixel % layout.width) + channel;
                let difference = (result[index] - expected).abs();
                assert!(difference < TOLERANCE, "{} {size:?} at {i}: {difference}", isa.name());
            }
        }
    }
}

/// The levels of a head, with weights in common, as one job.
#[test]
fn many_are_as_each_alone() {
    for isa in Isa::available() {
        let cases: Vec<Case> =
            [(20, 16), (10, 8), (5, 4), (3, 2), (1, 1)].map(|size| Case::new(isa, size, 16, 24)).into();
        let one = Cpu::new(isa, 1);
        let inputs: Vec<Vec<f32>> = cases.iter().map(|case| case.summed(&one)).collect();
        let expected: Vec<Vec<f32>> =
            cases.iter().zip(&inputs).map(|(case, input)| case.unfused(&one, input)).collect();
        for threads in [1, 2, 4] {
            let cpu = Cpu::new(isa, threads);
            let mut results: Vec<Vec<f32>> =
                cases.iter().map(|case| vec![f32::NAN; case.output().len()]).collect();
            let scratch = cases.iter().map(|case| case.scratch(&cpu, InputKind::Map)).max().unwrap();
            let mut convolutions = [const { None }; MAX_SEPARABLE];
            for (i, result) in results.iter_mut().enumerate() {
                let map = View::new(&inputs[i], cases[i].layout);
                convolutions[i] = Some(cases[i].separable(SeparableInput::Map(map), result));
            }
            separable(&cpu, &mut convolutions, &mut vec![f32::NAN; scratch]);
            assert!(results == expected, "{} with {threads} threads", isa.name());
        }
    }
}

/// An expansion of `inputs` channels to `between`, a depthwise convolution and a projection to `outputs`.
struct Block {
    expand: PackedConv,
    depthwise: PackedDepthwise,
    pointwise: PackedConv,
    input: Layout,
    expanded: Layout,
    output: Layout,
    padding: (usize, usize),
    values: Vec<f32>,
    residual: Option<(Layout, Vec<f32>)>,
}

impl Block {
    /// `first` and `second`: kernel and stride of the expansion and of the depthwise convolution.
    fn new(
        isa: Isa,
        (height, width): (usize, usize),
        first: (usize, usize),
        second: (usize, usize),
        [inputs, between, outputs]: [usize; 3],
        residual: bool,
    ) -> Self {
        let below = first.0 - 1;
        let input = Layout::dense(IMAGES, (height - 1) * first.1 + 1, (width - 1) * first.1 + 1, inputs)
            .with_halo(Halo { bottom: below, right: below, ..Halo::default() });
        let (kernel, stride) = second;
        let after = kernel / 2;
        let before = after - usize::from(stride > 1);
        let halo = Halo { top: before, left: before, bottom: after, right: after };
        let size = |side: usize| (side + before + after - kernel) / stride + 1;
        let to = Layout::dense(IMAGES, size(height), size(width), outputs);
        let shape = |inputs, outputs, (kernel, stride)| ConvShape { inputs, outputs, kernel, stride };
        let shapes = [shape(inputs, between, first), shape(between, outputs, (1, 1))];
        let conv = |shape: ConvShape, seed| {
            let weights = noise(shape.inputs * shape.outputs * shape.kernel * shape.kernel, seed);
            PackedConv::new(isa, shape, &weights, &noise(shape.outputs, seed + 1))
        };
        let other = to.with_halo(Halo { top: 2, left: 1, bottom: 0, right: 3 });
        Self {
            expand: conv(shapes[0], 1),
            depthwise: PackedDepthwise::new(
                isa,
                kernel,
                stride,
                &noise(between * kernel * kernel, 3),
                &noise(between, 4),
            ),
            pointwise: conv(shapes[1], 5),
            input,
            expanded: Layout::dense(IMAGES, height, width, between).with_halo(halo),
            output: to.with_halo(Halo { top: 1, bottom: 2, left: 0, right: 1 }),
            padding: (before, before),
            values: noise(input.len(), 7),
            residual: residual.then(|| (other, noise(other.len(), 8))),
        }
    }

    fn epilogue(&self) -> Epilogue<'_> {
        let residual = self.residual.as_ref().map(|(layout, values)| View::new(values, *layout));
        Epilogue { activation: Activation::Identity, residual }
    }

    fn expansion(&self) -> Expansion<'_> {
        let (activation, expanded) = (Activation::Swish, self.expanded);
        Expansion { expand: &self.expand, activation, padding: (0, 0), expanded }
    }

    fn one_after_the_other(&self, cpu: &Cpu) -> Vec<f32> {
        let middle = Layout { channels: self.expanded.channels, halo: Halo::default(), ..self.output };
        let mut scratch =
            vec![f32::NAN; expand_scratch_len(cpu, &self.expansion(), 0, &self.depthwise, &middle)];
        let mut between = vec![f32::NAN; middle.len()];
        expand_depthwise(
            cpu,
            &self.expansion(),
            View::new(&self.values, self.input).into(),
            &mut scratch,
            &self.depthwise,
            self.padding,
            &mut ViewMut::new(&mut between, middle),
            Activation::Relu6,
            None,
        );
        let mut result = vec![f32::NAN; self.output.len()];
        let (between, mut to) = (View::new(&between, middle), ViewMut::new(&mut result, self.output));
        conv2d(cpu, &self.pointwise, between, (0, 0), None, &mut to, self.epilogue());
        result
    }

    fn fused(&self, cpu: &Cpu) -> Vec<f32> {
        let len = separable_scratch_len(
            cpu,
            &self.depthwise,
            &self.expanded,
            InputKind::Expanded { strip: 0 },
            &self.output,
        );
        let mut result = vec![f32::NAN; self.output.len()];
        let convolution = Separable {
            input: SeparableInput::Expanded(self.expansion(), View::new(&self.values, self.input).into()),
            depthwise: (&self.depthwise, Activation::Relu6),
            padding: self.padding,
            pointwise: (&self.pointwise, self.epilogue()),
            output: ViewMut::new(&mut result, self.output),
        };
        separable(cpu, &mut alone(convolution), &mut vec![f32::NAN; len]);
        result
    }
}

/// What is expanded is never in memory as a whole, and the results are the same, bit for bit.
#[test]
fn blocks_equal_one_after_the_other() {
    for isa in Isa::available() {
        for threads in [1, 2, 3] {
            let cpu = Cpu::new(isa, threads);
            let check = |size, first, second, channels, residual| {
                let block = Block::new(isa, size, first, second, channels, residual);
                let what =
                    format!("{} {threads} {size:?} {first:?} {second:?} {channels:?} {residual}", isa.name());
                assert!(block.fused(&cpu) == block.one_after_the_other(&cpu), "{what}");
            };
            for second in [(3, 1), (3, 2), (5, 1), (5, 2)] {
                for size in [(5, 9), (8, 8), (16, 7), (17, 33), (70, 12)] {
                    check(size, (1, 1), second, [7, 20, 5], true);
                    check(size, (1, 1), second, [5, 48, 36], false);
                }
                check((18, 20), (3, 2), second, [3, 33, 16], false);
                // A ring of fewer rows than the picture has.
                check((60, 112), (1, 1), second, [3, 144, 24], true);
            }
        }
    }
}
