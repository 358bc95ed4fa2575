//! Rounding. The products are tested with the convolutions.

use super::*;
use crate::naive::noise;

/// From the definition: of the two bf16 around a finite number the nearer one, or the even one.
fn plain(x: f32) -> f32 {
    if x == 0.0 || x.is_subnormal() {
        return 0.0_f32.copysign(x);
    }
    let below = f32::from_bits(x.to_bits() & 0xffff_0000);
    let above = f32::from_bits(below.to_bits() + 0x1_0000);
    // Beyond the largest bf16 the next number would be 2¹²⁸.
    let bound = if above.is_infinite() { 2_f64.powi(128).copysign(f64::from(x)) } else { f64::from(above) };
    let (down, up) = ((f64::from(x) - f64::from(below)).abs(), (bound - f64::from(x)).abs());
    let below_is_even = below.to_bits() & 0x1_0000 == 0;
    if down < up || (down == up && below_is_even) { below } else { above }
}

fn samples() -> Vec<f32> {
    let mut samples =
        vec![0.0, -0.0, 1.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, -f32::MIN_POSITIVE, 1e-40, -1e-40];
    for high in [0x3f80_u32, 0x3f81, 0xbf80, 0xc2ff, 0x0080, 0x7f7f, 0xff7f] {
        samples.extend([0, 1, 0x7fff, 0x8000, 0x8001, 0xffff].map(|low| f32::from_bits(high << 16 | low)));
    }
    samples.extend(noise(5000, 7).iter().map(|x| x * 300.0));
    samples
}

#[test]
fn rounds_to_the_nearest_even() {
    for x in samples() {
        assert_eq!(round(x).to_bits(), plain(x).to_bits(), "{x:e}");
    }
    assert_eq!(round(f32::INFINITY), f32::INFINITY);
    assert_eq!(round(f32::NEG_INFINITY), f32::NEG_INFINITY);
    for nan in [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(0xffff_ffff)] {
        assert!(round(nan).is_nan());
    }
}

/// Rows of three stretches with an odd number of values, through every instruction set.
#[test]
fn rows_are_rounded_alike_everywhere() {
    let (segments, segment_len, count) = (3, 21, 5);
    let operand = Operand { pitch: 40, segments, segment_pitch: 300, segment_len };
    let mut values = samples();
    values.push(f32::NAN);
    values.push(f32::INFINITY);
    values.reverse();
    for isa in Isa::available() {
        isa.run(Rows { bf16: Bf16::of(isa), values: &values, operand, count });
    }
}

struct Rows<'a> {
    bf16: Bf16,
    values: &'a [f32],
    operand: Operand,
    count: usize,
}

impl crate::isa::Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { bf16, values, operand, count } = self;
        let Operand { pitch, segments, segment_pitch, segment_len } = operand;
        let len = segments * segment_len;
        let mut cells = Cells::take();
        // SAFETY: the last value read is at 4·40 + 2·300 + 20, of more than five thousand.
        let rounded = unsafe { bf16.round_rows(s, values.as_ptr(), operand, count, None, &mut cells) };
        assert_eq!((rounded.segments, rounded.segment_len), (1, bf16.cells(len)));
        for row in 0..count {
            for cell in 0..bf16.cells(len) {
                let at = |k: usize| values[row * pitch + k / segment_len * segment_pitch + k % segment_len];
                let expected = bf16.cell(len, cell, at).to_bits();
                let actual = cells.0[row * rounded.pitch + cell].to_bits();
                assert_eq!(actual, expected, "row {row}, cell {cell}, {bf16:?}");
            }
        }
        cells.give_back();
    }
}
