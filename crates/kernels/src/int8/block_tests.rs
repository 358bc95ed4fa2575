//! Blocks against their convolutions one after the other, to the bit.

use super::*;
use crate::conv::ConvShape;
use crate::epilogue::Activation;
use crate::int8::conv::tests::bytes;
use crate::int8::{Output, SLACK};
use crate::isa::int::IntIsa;
use crate::naive::noise;

const IMAGES: usize = 2;
const INPUT: Quant = Quant { scale: 0.02, zero: 100 };
const EXPANDED: Quant = Quant { scale: 0.03, zero: 20 };
const BETWEEN: Quant = Quant { scale: 0.04, zero: 60 };
const OUTPUT: Quant = Quant { scale: 0.05, zero: 120 };

/// `first` and `second`: kernel and stride of the expansion and of the depthwise convolution.
fn check(
    isa: IntIsa,
    (height, width): (usize, usize),
    first: (usize, usize),
    second: (usize, usize),
    [inputs, channels, outputs]: [usize; 3],
    with_residual: bool,
) {
    let before = first.0 / 2;
    let reach = (height - 1) * first.1 + first.0 - before;
    let across = (width - 1) * first.1 + first.0 - before;
    let input = Layout::dense(IMAGES, reach, across, inputs).with_halo(Halo {
        top: before + 1,
        left: before,
        bottom: 2,
        right: 1,
    });
    let (kernel, stride) = second;
    let (top, after) = (kernel / 2 - usize::from(stride > 1), kernel / 2);
    let halo = Halo { top, left: top, bottom: after, right: after };
    let expanded = Layout::dense(IMAGES, height, width, channels).with_halo(halo);
    let size = |side: usize| (side + top + after - kernel) / stride + 1;
    let between = Layout::dense(IMAGES, size(height), size(width), channels);
    let output = Layout { channels: outputs, ..between };
    let shape = |inputs, outputs, (kernel, stride)| ConvShape { inputs, outputs, kernel, stride };
    let weights = |len: usize, seed| noise(len, seed);
    let expand = QuantConv::new(
        isa,
        shape(inputs, channels, first),
        &weights(inputs * channels * first.0 * first.0, 1),
        &noise(channels, 2),
        INPUT,
        Activation::Relu6,
        Output::Bytes(EXPANDED),
    );
    let depthwise = QuantDepthwise::new(
        isa,
        second,
        &weights(channels * kernel * kernel, 3),
        &noise(channels, 4),
        EXPANDED,
        Activation::Swish,
        BETWEEN,
    );
    let project = QuantConv::new(
        isa,
        shape(channels, outputs, (1, 1)),
        &weights(channels * outputs, 5),
        &noise(outputs, 6),
        BETWEEN,
        Activation::Identity,
        Output::Bytes(OUTPUT),
    );
    let values = bytes(input, INPUT, 7);
    let values = Bytes::new(&values, input, INPUT);
    let other = output.with_halo(Halo { top: 2, left: 1, bottom: 0, right: 3 });
    let residual = bytes(other, INPUT, 8);
    let residual = with_residual.then(|| Bytes::new(&residual, other, INPUT));

    for to in [output, output.with_halo(Halo { top: 1, left: 2, bottom: 3, right: 1 })] {
        for threads in [1, 2, 3] {
            let pool = ThreadPool::new(threads);
            let mut expanded_bytes = vec![1; expanded.len() + SLACK];
            let mut between_bytes = vec![1; between.len() + SLACK];
            let mut apart = vec![1; to.len() + SLACK];
            let mut view = BytesMut::new(&mut expanded_bytes, expanded, EXPANDED);
            expand.run(&pool, values, (before, before), None, OutputMut::Bytes(&mut view));
            let view = view.as_bytes();
            let mut second = BytesMut::new(&mut between_bytes, between, BETWEEN);
            let mut scratch = vec![f32::NAN; depthwise.scratch_len(threads, &between)];
            depthwise.run(&pool, view, (top, top), &mut scratch, &mut second, None);
            let mut third = BytesMut::new(&mut apart, to, OUTPUT);
            project.run(&pool, second.as_bytes(), (0, 0), residual, OutputMut::Bytes(&mut third));

            let block = QuantBlock {
                expand: &expand,
                padding: (before, before),
                expanded: (expanded, EXPANDED),
                depthwise: &depthwise,
                depthwise_padding: (top, top),
                between: BETWEEN,
                project: &project,
            };
            let mut together = vec![1; to.len() + SLACK];
            let mut scratch = vec![f32::NAN; block.scratch_len(threads, &to)];
            let mut view = BytesMut::new(&mut together, to, OUTPUT);
            block.run(&pool, values, residual, &mut scratch, &mut view);
            assert!(
                together == apart,
                "{} {threads} {height}×{width} {first:?} {:?} {inputs} → {channels} → {outputs} {with_residual}",
                isa.name(),
                (kernel, stride),
            );
        }
    }
}

#[test]
fn equal_their_convolutions_one_after_the_other() {
    for isa in IntIsa::available() {
        for second in [(3, 1), (3, 2), (5, 1), (5, 2)] {
            for size in [(5, 9), (8, 8), (17, 33), (70, 12)] {
                check(isa, size, (1, 1), second, [7, 20, 5], true);
                check(isa, size, (1, 1), second, [5, 72, 36], false);
            }
            check(isa, (18, 20), (3, 2), second, [3, 33, 16], false);
            // More than the cache keeps.
            check(isa, (150, 112), (1, 1), second, [3, 96, 24], true);
        }
    }
}
