//! Blocks of three convolutions of bytes, expansion, depthwise and projection, some rows at a time: what lies between
//! them stays in a core's cache, and threads wait for each other once a block.

use std::ops::Range;
use std::sync::LazyLock;

use super::{
    Bytes, BytesMut, OutputMut, Quant, QuantConv, QuantDepthwise, Residual, SLACK, Shared, bytes_of_mut,
};
use crate::cache;
use crate::layout::{Halo, Layout};
use crate::pool::{ThreadPool, apart, split};

/// Three convolutions, each of which reads what the one before it computes.
#[derive(Clone, Copy, Debug)]
pub struct QuantBlock<'a> {
    /// A dense convolution.
    pub expand: &'a QuantConv,
    /// Rows above and columns left of the picture that its first output reads.
    pub padding: (usize, usize),
    /// What it computes, with the halo that the depthwise convolution reads, and what its bytes stand for.
    pub expanded: (Layout, Quant),
    /// The depthwise convolution.
    pub depthwise: &'a QuantDepthwise,
    /// Rows above and columns left of the expanded picture that its first output reads.
    pub depthwise_padding: (usize, usize),
    /// What the bytes stand for that it computes.
    pub between: Quant,
    /// A 1×1 convolution of stride 1.
    pub project: &'a QuantConv,
}

/// Of the second-level cache, what lies between the convolutions may fill.
const KEPT: (usize, usize) = (5, 16);
/// Where many threads share a picture: rows at the border of two bands are expanded twice.
const LEAST_ROWS: usize = 4;
/// Floats of a cache line.
const LINE: usize = 16;

/// With this, a thread runs a kernel by itself.
static ALONE: LazyLock<ThreadPool> = LazyLock::new(|| ThreadPool::new(1));

/// How a block is cut, and a thread's scratch memory, in floats.
struct Cut {
    /// Bands of rows of an image.
    bands: usize,
    expanded: usize,
    between: usize,
    rings: usize,
}

impl Cut {
    fn share(&self) -> usize {
        apart(self.expanded + self.between + self.rings)
    }
}

impl QuantBlock<'_> {
    /// Length of the scratch memory, in floats, that [`run`](Self::run) needs for an output of this layout.
    #[must_use]
    pub fn scratch_len(&self, threads: usize, output: &Layout) -> usize {
        threads * self.cut(threads, output).share()
    }

    fn cut(&self, threads: usize, output: &Layout) -> Cut {
        let expanded = &self.expanded.0;
        let rows_of = |bands: usize| output.height.div_ceil(bands);
        let expanded_bytes = |bands: usize| self.depthwise.reach(rows_of(bands)) * expanded.row_pitch();
        let between_bytes = |bands: usize| rows_of(bands) * output.width * expanded.channels;
        let (share, of) = KEPT;
        let kept = cache::second_level() / of * share;
        let step = if output.images.is_multiple_of(threads) { 1 } else { threads };
        let most = (output.height / LEAST_ROWS).max(1);
        let mut bands = step.min(most);
        while bands < most && expanded_bytes(bands) + between_bytes(bands) > kept {
            bands = (bands + step).min(most);
        }
        let floats = |bytes: usize| (bytes + SLACK).div_ceil(size_of::<f32>()).next_multiple_of(LINE);
        Cut {
            bands,
            expanded: floats(expanded_bytes(bands)),
            between: floats(between_bytes(bands)),
            rings: self.depthwise.scratch_len(1, output),
        }
    }

    /// The convolutions one after the other, to the bit, without what lies between them as a whole; `residual` is added
    /// to what the last one computes.
    ///
    /// `scratch` has [`scratch_len`](Self::scratch_len).
    ///
    /// # Panics
    /// When shapes, halos, lengths, or what bytes stand for do not fit.
    pub fn run(
        &self,
        pool: &ThreadPool,
        input: Bytes<'_>,
        residual: Option<Residual<'_>>,
        scratch: &mut [f32],
        output: &mut BytesMut<'_>,
    ) {
        let (layout, quant, threads) = (output.layout, output.quant, pool.threads());
        assert_eq!(input.layout.images, layout.images, "batch");
        if let Some(residual) = residual {
            assert!(residual.layout.same_shape(&layout), "residual {:?} onto {layout:?}", residual.layout);
        }
        let cut = self.cut(threads, &layout);
        assert!(scratch.len() >= threads * cut.share(), "scratch for {layout:?}");
        assert!(output.data.len() >= layout.len(), "{} bytes for {layout:?}", output.data.len());
        let (scratch, out) = (Shared::new(scratch), Shared::new(output.data));
        pool.run_with_thread(layout.images * cut.bands, |thread, task| {
            let image = task / cut.bands;
            let rows = split(layout.height, cut.bands, task % cut.bands);
            // SAFETY: threads have parts of their own in the scratch, whose length was checked.
            let scratch = unsafe {
                let share = cut.share();
                std::slice::from_raw_parts_mut(scratch.at(thread * share), share)
            };
            let (start, band) = band(&layout, image, &rows);
            // SAFETY: these rows and their halo lie within the output, and are this task's own.
            let data = unsafe { std::slice::from_raw_parts_mut(out.at(start), band.len()) };
            let residual = residual.map(|residual| rows_of(&residual, image, &rows));
            let output = BytesMut { data, layout: band, quant };
            self.band(&cut, scratch, (input, image), &rows, residual, output);
        });
    }

    /// Some rows of the output of one image.
    fn band(
        &self,
        cut: &Cut,
        scratch: &mut [f32],
        (input, image): (Bytes<'_>, usize),
        rows: &Range<usize>,
        residual: Option<Residual<'_>>,
        mut output: BytesMut<'_>,
    ) {
        let (expanded, between) = scratch.split_at_mut(cut.expanded);
        let (between, rings) = between.split_at_mut(cut.between);
        // Padded rows that are read, and those of them that lie in the picture.
        let window = self.depthwise.window(rows);
        let (layout, quant) = self.expanded;
        let (top, left) = self.depthwise_padding;
        let picture = window.start.saturating_sub(top)..(window.end - top).min(layout.height);
        let above = top.saturating_sub(window.start);
        let halo = Halo { top: above, bottom: window.len() - above - picture.len(), ..layout.halo };
        let layout = Layout { images: 1, height: picture.len(), halo, ..layout };
        let mut expanded = BytesMut::new(bytes_of_mut(expanded), layout, quant);
        let (padding_top, padding_left) = self.padding;
        // Rows above the picture are rows like others here.
        let whole = Halo { top: 0, bottom: 0, ..input.layout.halo };
        let whole = Layout {
            height: input.layout.image_pitch() / input.layout.row_pitch(),
            halo: whole,
            ..input.layout
        };
        let window = self.expand.window(&picture);
        let skipped = input.layout.halo.top - padding_top;
        let read = skipped + window.start..skipped + window.end;
        let read = rows_of(&Bytes { layout: whole, ..input }, image, &read);
        self.expand.run(&ALONE, read, (0, padding_left), None, OutputMut::Bytes(&mut expanded));

        let dense = Layout::dense(1, rows.len(), output.layout.width, layout.channels);
        let mut between = BytesMut::new(bytes_of_mut(between), dense, self.between);
        self.depthwise.run(&ALONE, expanded.as_bytes(), (above, left), rings, &mut between, None);
        self.project.run(&ALONE, between.as_bytes(), (0, 0), residual, OutputMut::Bytes(&mut output));
    }
}

/// Some rows of an image, without any above or below.
fn rows_of<'a>(bytes: &Bytes<'a>, image: usize, rows: &Range<usize>) -> Bytes<'a> {
    let (start, layout) = bytes.layout.rows(image, rows);
    Bytes::new(&bytes.data[start..], layout, bytes.quant)
}

/// Where some rows of an image begin, with the halo beside them, above the first and below the last of the picture,
/// and how they lie from there on.
fn band(layout: &Layout, image: usize, rows: &Range<usize>) -> (usize, Layout) {
    let (start, rows_alone) = layout.rows(image, rows);
    let top = if rows.start == 0 { layout.halo.top } else { 0 };
    let bottom = if rows.end == layout.height { layout.halo.bottom } else { 0 };
    let halo = Halo { top, bottom, ..rows_alone.halo };
    (start - top * layout.row_pitch(), rows_alone.with_halo(halo))
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
