//! Squeeze and excitation: means over height and width, and channels scaled by gates.

use effigy_kernels::{Cpu, Layout, SharedPtr, View, ViewMut};

use crate::blocks::{Blocks, channel_sums, total};

/// The sums of [`channel_sums`] per image and channel, `[N, C]`.
fn sums(cpu: &Cpu, a: View<'_>, b: Option<View<'_>>) -> Vec<f64> {
    let Layout { images, channels, .. } = a.layout;
    let (blocks, sums) = channel_sums(cpu, a, b);
    (0..images).flat_map(|image| total(&sums, blocks.of_image(image), channels, 0, channels)).collect()
}

/// The mean of every image and channel, `[N, C]`.
///
/// # Panics
/// When the length does not fit.
pub fn mean(cpu: &Cpu, input: View<'_>, means: &mut [f32]) {
    let pixels = input.layout.pixels() as f64;
    assert_eq!(means.len(), input.layout.images * input.layout.channels, "one mean per image and channel");
    for (mean, sum) in means.iter_mut().zip(sums(cpu, input, None)) {
        *mean = (sum / pixels) as f32;
    }
}

/// The gradient of gates, `[N, C]`, for `output = input · gate`: `Σ d_output · input` over an image's pixels.
///
/// # Panics
/// When shapes or the length do not fit.
pub fn gate_backward(cpu: &Cpu, input: View<'_>, d_output: View<'_>, d_gate: &mut [f32]) {
    let layout = d_output.layout;
    assert!(layout.same_shape(&input.layout), "{:?} for {layout:?}", input.layout);
    assert_eq!(d_gate.len(), layout.images * layout.channels, "one gate per image and channel");
    for (gate, sum) in d_gate.iter_mut().zip(sums(cpu, d_output, Some(input))) {
        *gate = sum as f32;
    }
}

/// `output = input · gate`, the gate `[N, C]`: also the way back to the input.
///
/// # Panics
/// When shapes or the length do not fit.
pub fn scale(cpu: &Cpu, input: View<'_>, gate: &[f32], output: &mut ViewMut<'_>) {
    affine(cpu, input, Some(gate), None, output);
}

/// `output = input · gate + spread`, both `[N, C]`: what an activation's gradient is where its channels are scaled
/// and its means are taken.
///
/// # Panics
/// When shapes or lengths do not fit.
pub fn spread(
    cpu: &Cpu,
    input: View<'_>,
    gate: Option<&[f32]>,
    spread: Option<&[f32]>,
    output: &mut ViewMut<'_>,
) {
    affine(cpu, input, gate, spread, output);
}

fn affine(
    cpu: &Cpu,
    input: View<'_>,
    gate: Option<&[f32]>,
    spread: Option<&[f32]>,
    output: &mut ViewMut<'_>,
) {
    let to = output.layout;
    let channels = to.channels;
    assert!(to.same_shape(&input.layout), "{:?} → {to:?}", input.layout);
    for values in [gate, spread].into_iter().flatten() {
        assert_eq!(values.len(), to.images * channels, "one value per image and channel");
    }
    let out = SharedPtr::new(output.data);
    let blocks = Blocks::of(&to);
    let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
    cpu.pool.run(blocks.count, |task| {
        let (image, rows) = blocks.at(task);
        // SAFETY: this task's own rows.
        unsafe { blocks.clear_halo(task, out, &to) };
        let gate = gate.map_or(&ones[..], |gate| &gate[image * channels..][..channels]);
        let spread = spread.map_or(&zeros[..], |spread| &spread[image * channels..][..channels]);
        let len = to.width * channels;
        for y in rows {
            let from = &input.data[input.layout.index(image, y, 0)..][..len];
            // SAFETY: a row of the view, this task's own.
            let out = unsafe { std::slice::from_raw_parts_mut(out.at(to.index(image, y, 0)), len) };
            for (out, from) in out.chunks_exact_mut(channels).zip(from.chunks_exact(channels)) {
                for (((out, from), gate), spread) in out.iter_mut().zip(from).zip(gate).zip(spread) {
                    *out = from * gate + spread;
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use effigy_kernels::naive::noise;
    use effigy_kernels::{Halo, Isa};

    /// Largest error allowed.
    const TOLERANCE: f64 = 1e-5;

    #[test]
    fn sums_and_scales_equal_the_plain_ones() {
        let cpu = Cpu::new(Isa::best(), 2);
        for (side, channels) in [(1, 3), (7, 16), (21, 9)] {
            let dense = Layout::dense(2, side, side, channels);
            let halo = Halo { left: 1, bottom: 1, ..Halo::default() };
            let x_layout = dense.with_halo(halo);
            let (x, d) = (noise(x_layout.len(), 1), noise(dense.len(), 2));
            let (x_view, d_view) = (View::new(&x, x_layout), View::new(&d, dense));
            let mut means = vec![0.0; 2 * channels];
            let mut gates = means.clone();
            mean(&cpu, x_view, &mut means);
            gate_backward(&cpu, x_view, d_view, &mut gates);
            let mut scaled = vec![0.0; x_layout.len()];
            let mut view = ViewMut::new(&mut scaled, x_layout);
            spread(&cpu, d_view, Some(&gates), Some(&means), &mut view);
            for image in 0..2 {
                for c in 0..channels {
                    let (mut sum, mut product) = (0.0, 0.0);
                    for (y, column) in (0..side * side).map(|i| (i / side, i % side)) {
                        let value = f64::from(x[x_layout.index(image, y, column) + c]);
                        let gradient = f64::from(d[dense.index(image, y, column) + c]);
                        sum += value;
                        product += value * gradient;
                    }
                    let at = image * channels + c;
                    assert!((f64::from(means[at]) - sum / (side * side) as f64).abs() < TOLERANCE);
                    assert!((f64::from(gates[at]) - product).abs() < TOLERANCE);
                    let (i, j) = (x_layout.index(image, 0, 0) + c, dense.index(image, 0, 0) + c);
                    assert_eq!(scaled[i], d[j] * gates[at] + means[at]);
                }
            }
        }
    }
}
