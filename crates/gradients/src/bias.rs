//! The gradient of a bias: a map summed over its pixels.

use effigy_kernels::{Cpu, View};

use crate::blocks::{channel_sums, total};

/// Adds the sum of every channel of `d_output` to `d_bias`.
///
/// # Panics
/// When the lengths do not fit.
pub fn bias_backward(cpu: &Cpu, d_output: View<'_>, d_bias: &mut [f32]) {
    let channels = d_output.layout.channels;
    assert_eq!(d_bias.len(), channels, "one bias per channel");
    let (blocks, sums) = channel_sums(cpu, d_output, None);
    for (bias, sum) in d_bias.iter_mut().zip(total(&sums, 0..blocks.count, channels, 0, channels)) {
        *bias += sum as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use effigy_kernels::naive::noise;
    use effigy_kernels::{Isa, Layout};

    /// Largest error allowed.
    const TOLERANCE: f64 = 1e-4;

    #[test]
    fn sums_every_channel() {
        let cpu = Cpu::new(Isa::best(), 2);
        for channels in [1, 5, 32] {
            let layout = Layout::dense(2, 40, 13, channels);
            let d = noise(layout.len(), 5);
            let mut bias = vec![1.0; channels];
            bias_backward(&cpu, View::new(&d, layout), &mut bias);
            for (c, bias) in bias.iter().enumerate() {
                let sum: f64 = d.iter().skip(c).step_by(channels).map(|d| f64::from(*d)).sum();
                assert!((f64::from(*bias) - 1.0 - sum).abs() < TOLERANCE);
            }
        }
    }
}
