//! Bytes to a network's floats.

use effigy_arch::Normalisation;

use crate::Picture;

/// A picture as a network's input, as it is: each sample becomes `(x / 255 − mean) / std`.
///
/// # Panics
/// Where `input` is not `height · width · 3` long.
pub fn normalise_into(picture: &Picture, normalisation: Normalisation, input: &mut [f32]) {
    assert_eq!(input.len(), picture.pixels().len(), "as many values as the picture has");
    let (pixels, _) = picture.pixels().as_chunks();
    Normalised::new(normalisation).row(pixels, input.as_chunks_mut().0);
}

/// What each byte becomes, per channel: `(x / 255 − mean) / std`.
pub(crate) struct Normalised([[f32; 256]; 3]);

impl Normalised {
    pub(crate) fn new(Normalisation { mean, std }: Normalisation) -> Self {
        Self(std::array::from_fn(|c| std::array::from_fn(|byte| (byte as f32 / 255.0 - mean[c]) / std[c])))
    }

    #[inline]
    pub(crate) fn pixel(&self, [r, g, b]: [u8; 3]) -> [f32; 3] {
        [self.0[0][usize::from(r)], self.0[1][usize::from(g)], self.0[2][usize::from(b)]]
    }

    /// Each pixel of a row.
    pub(crate) fn row(&self, from: &[[u8; 3]], to: &mut [[f32; 3]]) {
        for (sample, &pixel) in to.iter_mut().zip(from) {
            *sample = self.pixel(pixel);
        }
    }
}
