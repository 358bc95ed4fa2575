//! The fused kernel against the two one after the other.

use super::*;
use crate::conv::conv2d;
use crate::depthwise::depthwise;
use crate::feed::{Levels, Samples, bring};
use crate::layout::View;
use crate::naive::noise;

/// Two convolutions and the picture they run on.
#[derive(Clone, Copy)]
struct Case {
    /// Kernel and stride.
    first: (usize, usize),
    depthwise: (usize, usize),
    /// Zeros around the activation between them.
    pad: Halo,
    /// Height and width of that activation.
    size: (usize, usize),
    channels: usize,
}

/// The fused form against the two kernels one after the other: the same arithmetic, bit for bit.
fn run(cpu: &Cpu, case: Case) {
    let Case { first, depthwise: (kernel, stride), pad, size: (height, width), channels } = case;
    let (images, inputs) = (2, 7);
    let size = |side: usize, before: usize, after: usize| (side + before + after - kernel) / stride + 1;
    let (out_height, out_width) = (size(height, pad.top, pad.bottom), size(width, pad.left, pad.right));
    let out = Layout::dense(images, out_height, out_width, channels);
    // A picture that the first convolution reads without rows above it.
    let below = first.0 - 1;
    let input = Layout::dense(images, (height - 1) * first.1 + 1, (width - 1) * first.1 + 1, inputs)
        .with_halo(Halo { bottom: below, right: below, ..Halo::default() });
    let expanded = Layout::dense(images, height, width, channels).with_halo(pad);
    let values = noise(input.len(), 1);
    let shape = ConvShape { inputs, outputs: channels, kernel: first.0, stride: first.1 };
    let weights = noise(inputs * channels * first.0 * first.0, 2);
    let expand = PackedConv::new(cpu.isa, shape, &weights, &noise(channels, 3));
    let weights = noise(channels * kernel * kernel, 4);
    let conv = PackedDepthwise::new(cpu.isa, kernel, stride, &weights, &noise(channels, 5));

    let view = View::new(&values, input);
    let mut results = [vec![f32::NAN; out.len()], vec![f32::NAN; out.len()]];
    let mut sums = [(); 2].map(|()| vec![f32::NAN; PartialSums::len_for(&out)]);
    let [one_by_one, fused] = &mut results;
    let [sums_one_by_one, sums_fused] = &mut sums;
    let padding = (pad.top, pad.left);

    let mut between = vec![f32::NAN; expanded.len()];
    let mut between = ViewMut::new(&mut between, expanded);
    let epilogue = Epilogue { activation: Activation::Swish, residual: None };
    conv2d(cpu, &expand, view, (0, 0), None, &mut between, epilogue);
    let mut partial = PartialSums::new(sums_one_by_one);
    let mut output = ViewMut::new(one_by_one, out);
    let between = between.as_view();
    depthwise(cpu, &conv, between, padding, &mut output, Activation::Relu6, Some(&mut partial));

    let expansion = Expansion { expand: &expand, activation: Activation::Swish, padding: (0, 0), expanded };
    let mut scratch = vec![f32::NAN; expand_scratch_len(cpu, &expansion, 0, &conv, &out)];
    let mut partial = PartialSums::new(sums_fused);
    let mut output = ViewMut::new(fused, out);
    expand_depthwise(
        cpu,
        &expansion,
        view.into(),
        &mut scratch,
        &conv,
        padding,
        &mut output,
        Activation::Relu6,
        Some(&mut partial),
    );
    let what = format!("{} {first:?}, {kernel}/{stride} {height}×{width}×{channels} {pad:?}", cpu.isa.name());
    assert!(results[0] == results[1], "{what}: values differ");
    assert!(sums[0] == sums[1], "{what}: sums differ");
}

#[test]
fn equals_one_after_the_other() {
    for isa in Isa::available() {
        for threads in [1, 3] {
            let cpu = Cpu::new(isa, threads);
            for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2), (3, 4)] {
                let half = kernel / 2;
                for (top, left) in [(half, half), (half - 1, half - 1)] {
                    let pad = Halo { top, left, bottom: half, right: half };
                    let case =
                        Case { first: (1, 1), depthwise: (kernel, stride), pad, size: (5, 9), channels: 20 };
                    for height in [5, 16, 17, 33, 35, 70] {
                        run(&cpu, Case { size: (height, 9), ..case });
                    }
                    run(&cpu, Case { size: (40, 23), channels: 48, ..case });
                    run(&cpu, Case { size: (9, 7), channels: 144, ..case });
                    run(&cpu, Case { size: (12, 260), channels: 272, ..case });
                    run(&cpu, Case { size: (70, 60), channels: 48, ..case });
                    run(&cpu, Case { first: (3, 2), size: (34, 120), ..case });
                    run(&cpu, Case { first: (3, 2), size: (18, 20), channels: 33, ..case });
                }
            }
        }
    }
}

#[test]
fn the_cases_above_are_cut_in_every_way() {
    let cut = |size: (usize, usize), channels: usize| {
        let shape = ConvShape { inputs: 7, outputs: channels, kernel: 1, stride: 1 };
        let expand = PackedConv::new(Isa::best(), shape, &noise(7 * channels, 1), &noise(channels, 2));
        let conv = PackedDepthwise::new(Isa::best(), 3, 1, &noise(9 * channels, 3), &noise(channels, 4));
        let output = Layout::dense(1, size.0, size.1, channels);
        let expanded = output.with_halo(Halo { top: 1, bottom: 1, left: 1, right: 1 });
        let expansion =
            Expansion { expand: &expand, activation: Activation::Relu, padding: (0, 0), expanded };
        let cut = Cut::within(800 << 10, 1, &expansion, &conv, &output);
        (cut.panels == expand.panels(), cut.rows == size.0 + 2)
    };
    assert_eq!(cut((9, 7), 144), (true, true), "everything is kept");
    assert_eq!(cut((70, 60), 48), (true, false), "a ring of all channels");
    assert_eq!(cut((37, 260), 272), (false, false), "a ring of some channels");
}

/// A picture of which rows are brought as they are read, against the same in its halo as a whole.
fn feed(cpu: &Cpu, channels: usize, size: (usize, usize), (kernel, stride): (usize, usize), before: usize) {
    let (images, outputs) = (2, 40);
    let (height, width) = size;
    let dense = Layout::dense(images, height * stride, width * stride, channels);
    let halo = Halo { top: before, left: before, bottom: kernel - 1 - before, right: kernel - 1 - before };
    let picture = dense.with_halo(halo);
    let floats = noise(dense.len(), 1);
    let bytes: Vec<u8> = floats.iter().map(|value| (127.0 + 120.0 * value) as u8).collect();
    let levels: Vec<(f32, f32)> =
        (0..channels).map(|c| (0.01 + 0.002 * c as f32, -1.3 + 0.1 * c as f32)).collect();
    let levels = Levels::new(&levels);

    let shape = ConvShape { inputs: channels, outputs, kernel, stride };
    let expand =
        PackedConv::new(cpu.isa, shape, &noise(outputs * channels * kernel * kernel, 2), &noise(outputs, 3));
    let conv = PackedDepthwise::new(cpu.isa, 3, 1, &noise(9 * outputs, 4), &noise(outputs, 5));
    let expanded = Layout::dense(images, height, width, outputs);
    let expanded = expanded.with_halo(Halo { top: 1, bottom: 1, left: 1, right: 1 });
    let expansion =
        Expansion { expand: &expand, activation: Activation::Swish, padding: (before, before), expanded };
    let out = expanded.with_halo(Halo::default());
    let run = |input: Feed<'_>, strip: usize| {
        let mut scratch = vec![f32::NAN; expand_scratch_len(cpu, &expansion, strip, &conv, &out)];
        let mut result = vec![f32::NAN; out.len()];
        let mut output = ViewMut::new(&mut result, out);
        let activation = Activation::Identity;
        expand_depthwise(cpu, &expansion, input, &mut scratch, &conv, (1, 1), &mut output, activation, None);
        result
    };
    for samples in [Samples::Floats(&floats), Samples::Bytes(&bytes, &levels)] {
        let mut values = vec![f32::NAN; picture.len()];
        bring(cpu, samples, &mut ViewMut::new(&mut values, picture));
        let whole = run(View::new(&values, picture).into(), 0);
        let rows = run(Feed::Rows(samples, picture), expansion.strip_len(&picture));
        assert!(whole.iter().all(|value| value.is_finite()));
        assert!(whole == rows, "{} {channels} {size:?} {kernel}/{stride} {before}", cpu.isa.name());
    }
}

#[test]
fn rows_that_are_brought_are_those_of_the_whole_picture() {
    for isa in Isa::available() {
        for threads in [1, 3] {
            let cpu = Cpu::new(isa, threads);
            for channels in [1, 3] {
                for before in [0, 1] {
                    for size in [(1, 1), (4, 5), (9, 70), (34, 120)] {
                        feed(&cpu, channels, size, (3, 2), before);
                    }
                    feed(&cpu, channels, (17, 23), (3, 1), before);
                    feed(&cpu, channels, (17, 23), (5, 2), before);
                }
            }
        }
    }
}
