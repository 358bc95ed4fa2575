//! Pictures as callers have them, without a halo, as floats or as 8-bit samples: brought as floats into the halo that
//! convolutions read, as a whole or a few rows at a time.

use std::ops::Range;

use crate::Cpu;
use crate::elementwise::share_rows;
use crate::isa::{Isa, Kernel, Simd};
use crate::layout::{Halo, Layout, SharedPtr, View, ViewMut};

/// Samples after which scales and shifts repeat: whole pixels of one to four channels, and whole vectors.
pub(crate) const PERIOD: usize = 48;

/// What 8-bit samples stand for: a sample x of channel c for `x · scale[c] + shift[c]`.
#[derive(Clone, Debug)]
pub struct Levels {
    channels: usize,
    scale: [f32; PERIOD],
    shift: [f32; PERIOD],
}

impl Levels {
    /// The scale and the shift of every channel.
    ///
    /// # Panics
    /// Unless there are 1, 2, 3 or 4 channels.
    #[must_use]
    pub fn new(channels: &[(f32, f32)]) -> Self {
        assert!((1..=4).contains(&channels.len()), "pictures of {} channels", channels.len());
        let of = |i: usize| channels[i % channels.len()];
        Self {
            channels: channels.len(),
            scale: std::array::from_fn(|i| of(i).0),
            shift: std::array::from_fn(|i| of(i).1),
        }
    }

    /// How many channels there are.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// What `samples` stand for, the first of them being of channel 0.
    #[inline(always)]
    pub(crate) fn convert(&self, samples: &[u8], to: &mut [f32]) {
        let level = |to: &mut [f32], samples: &[u8]| {
            for (((to, sample), scale), shift) in to.iter_mut().zip(samples).zip(&self.scale).zip(&self.shift)
            {
                *to = f32::from(*sample) * scale + shift;
            }
        };
        let (samples, last_samples) = samples.as_chunks::<PERIOD>();
        let (to, last_to) = to.as_chunks_mut::<PERIOD>();
        // A constant length is what makes vectors of the loop.
        to.iter_mut().zip(samples).for_each(|(to, samples)| level(to, samples));
        level(last_to, last_samples);
    }
}

/// A batch of pictures, `[N, H, W, C]` in row-major order.
#[derive(Clone, Copy, Debug)]
pub enum Samples<'a> {
    /// Values as the network wants them.
    Floats(&'a [f32]),
    /// 8-bit samples, and what they stand for.
    Bytes(&'a [u8], &'a Levels),
}

impl Samples<'_> {
    /// How many samples there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Bytes(samples, _) => samples.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As many as there is room for, from a pixel's first on, as floats.
    fn copy(self, isa: Isa, first: usize, to: &mut [f32]) {
        match self {
            Self::Floats(values) => to.copy_from_slice(&values[first..][..to.len()]),
            Self::Bytes(samples, levels) => {
                isa.run(Convert { levels, samples: &samples[first..][..to.len()], to });
            }
        }
    }

    /// # Panics
    /// When there are not as many samples as the layout has, or of other channels.
    pub(crate) fn check(&self, layout: &Layout) {
        let Layout { images, height, width, channels, .. } = *layout;
        assert_eq!(self.len(), images * height * width * channels, "samples of {layout:?}");
        if let Self::Bytes(_, levels) = self {
            assert_eq!(levels.channels, channels, "channels of {layout:?}");
        }
    }
}

struct Convert<'a> {
    levels: &'a Levels,
    samples: &'a [u8],
    to: &'a mut [f32],
}

impl Kernel for Convert<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        self.levels.convert(self.samples, self.to);
    }
}

/// Pictures in a layout with a halo, which is cleared.
///
/// # Panics
/// When there are not as many samples as the layout has, or of other channels.
pub fn bring(cpu: &Cpu, samples: Samples<'_>, output: &mut ViewMut<'_>) {
    let layout = output.layout;
    samples.check(&layout);
    output.clear_halo();
    let len = layout.width * layout.channels;
    let out = SharedPtr::new(output.data);
    share_rows(&cpu.pool, &layout, |image, y| {
        // SAFETY: a row of the view (its length was checked), and this task's own.
        let to = unsafe { std::slice::from_raw_parts_mut(out.at(layout.index(image, y, 0)), len) };
        samples.copy(cpu.isa, (image * layout.height + y) * len, to);
    });
}

/// What a convolution reads.
#[derive(Clone, Copy, Debug)]
pub enum Feed<'a> {
    /// An activation in its halo.
    Whole(View<'a>),
    /// Pictures that get there a few rows at a time, when they are read; how they would lie as a whole.
    Rows(Samples<'a>, Layout),
}

impl<'a> From<View<'a>> for Feed<'a> {
    fn from(view: View<'a>) -> Self {
        Self::Whole(view)
    }
}

impl Feed<'_> {
    /// How what is read lies as a whole.
    ///
    /// # Panics
    /// When there are not as many samples as the layout has, or of other channels.
    pub(crate) fn layout(&self) -> Layout {
        match self {
            Self::Whole(view) => view.layout,
            Self::Rows(samples, layout) => {
                samples.check(layout);
                *layout
            }
        }
    }
}

/// Some rows of a picture in their halo.
pub(crate) struct Strip {
    kept: SharedPtr,
    /// How its rows lie, of which there are so many.
    layout: Layout,
}

impl Strip {
    /// Length of the memory of so many rows of a picture that lies like this.
    pub(crate) fn len(rows: usize, picture: &Layout) -> usize {
        rows * picture.row_pitch()
    }

    /// Room for so many rows of `picture`.
    ///
    /// # Safety
    /// `kept` must be valid for writing [`Strip::len`] values, by this thread alone, for as long as the strip lives.
    pub(crate) unsafe fn new(kept: SharedPtr, rows: usize, picture: &Layout) -> Self {
        let halo = Halo { top: 0, bottom: 0, ..picture.halo };
        Self { kept, layout: Layout { images: 1, height: rows, halo, ..*picture } }
    }

    /// Rows of an image, counted from the first one above it in its halo; at most as many as there is room for.
    pub(crate) fn bring(
        &mut self,
        isa: Isa,
        samples: Samples<'_>,
        picture: &Layout,
        image: usize,
        rows: Range<usize>,
    ) -> View<'_> {
        assert!(rows.len() <= self.layout.height, "{rows:?} into {:?}", self.layout);
        // SAFETY: what `new` was promised.
        let values = unsafe { std::slice::from_raw_parts_mut(self.kept.at(0), self.layout.len()) };
        let Layout { width, channels, halo, .. } = *picture;
        let (left, len) = (halo.left * channels, width * channels);
        for (row, to) in rows.clone().zip(values.chunks_exact_mut(self.layout.row_pitch())) {
            let y = row.wrapping_sub(halo.top);
            if y < picture.height {
                to[..left].fill(0.0);
                samples.copy(isa, (image * picture.height + y) * len, &mut to[left..left + len]);
                to[left + len..].fill(0.0);
            } else {
                to.fill(0.0);
            }
        }
        View::new(values, Layout { height: rows.len(), ..self.layout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_what_they_stand_for() {
        for channels in 1..=4 {
            let each: Vec<(f32, f32)> = (0..channels).map(|c| (0.5 + c as f32, -3.0 * c as f32)).collect();
            let levels = Levels::new(&each);
            let layout = Layout::dense(2, 3, 37, channels);
            let samples: Vec<u8> = (0..layout.len()).map(|i| (i * 7) as u8).collect();
            let halo = Halo { top: 1, bottom: 2, left: 0, right: 3 };
            for isa in Isa::available() {
                let padded = layout.with_halo(halo);
                let mut values = vec![f32::NAN; padded.len()];
                let cpu = Cpu::new(isa, 2);
                bring(&cpu, Samples::Bytes(&samples, &levels), &mut ViewMut::new(&mut values, padded));
                let mut found = 0;
                for (image, y) in (0..2).flat_map(|image| (0..3).map(move |y| (image, y))) {
                    let row = &values[padded.index(image, y, 0)..][..37 * channels];
                    for (i, value) in row.iter().enumerate() {
                        let (scale, shift) = each[i % channels];
                        let sample = samples[(image * 3 + y) * 37 * channels + i];
                        assert_eq!(*value, f32::from(sample) * scale + shift);
                        found += usize::from(*value != 0.0);
                    }
                }
                assert_eq!(values.iter().filter(|value| **value != 0.0).count(), found, "the halo is clear");
            }
        }
    }
}
