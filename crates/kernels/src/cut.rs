//! How a matrix product is cut into tasks.

use crate::pool;

/// A product of rows of pixels with panels of weights.
pub(crate) struct Product {
    /// Stretches of pixels, of which tiles end with each.
    pub(crate) runs: usize,
    /// Pixels in each of them.
    pub(crate) run: usize,
    /// Rows of a register tile as wide as one, two, … vectors.
    pub(crate) tile_rows: [usize; 4],
    /// Panels, all of two vectors but the last.
    pub(crate) panels: usize,
    /// Vectors of the last panel.
    pub(crate) last: usize,
    /// What a tile, and what a span of pixels costs beside the arithmetic, as much as so many of a tile's rows:
    /// reading panels.
    pub(crate) per_tile: f32,
    pub(crate) per_span: f32,
    /// What a row costs each part of the panels, as much as so many of its vectors: it is read again.
    pub(crate) per_row: f32,
    /// Tasks that are worth their start.
    pub(crate) tasks: usize,
}

/// No thread gets more tasks of a product.
const ROUNDS: usize = 8;

impl Product {
    /// Into how many spans of pixels and parts of panels to cut it, so that threads end early.
    pub(crate) fn spans_and_parts(&self, threads: usize) -> (usize, usize) {
        if threads == 1 {
            return (1, 1);
        }
        let most = self.tasks.clamp(1, ROUNDS * threads);
        let units = if self.runs > 1 { self.runs } else { self.run.div_ceil(self.tile_rows[1]) };
        let mut best = (f32::INFINITY, (1, 1));
        for round in 1..=most.div_ceil(threads) {
            let tasks = (round * threads).min(most);
            let mut spans = tasks;
            while spans > 0 {
                let parts = tasks.div_ceil(spans).min(self.panels);
                let time = self.time(threads, spans, parts);
                if spans <= units && time < best.0 {
                    best = (time, (spans, parts));
                }
                spans /= 2;
            }
        }
        best.1
    }

    /// How long it takes when it is cut like this, in rows against a vector.
    fn time(&self, threads: usize, spans: usize, parts: usize) -> f32 {
        let Self { runs, run, tile_rows, panels, last, per_tile, per_span, per_row, .. } = *self;
        let (rows, count) = match runs {
            1 => (run.div_ceil(spans), 1),
            count => (run, count.div_ceil(spans)),
        };
        let panel = |vectors: usize| {
            let tiles = rows.div_ceil(tile_rows[vectors - 1]);
            let pixels = count as f32 * (rows as f32 + per_tile * tiles as f32);
            vectors as f32 * (pixels + per_span)
        };
        // The last part is never shorter than others, but its last panel may be.
        let is_alone = parts == 1 || panels % parts == 1;
        let in_part = panels.div_ceil(parts);
        let reading = per_row * (rows * count) as f32;
        let longest = (in_part - 1) as f32 * panel(2) + panel(if is_alone { last } else { 2 }) + reading;
        pool::time(threads, spans * parts, longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(runs: usize, run: usize, panels: usize, last: usize) -> Product {
        let tile_rows = [14, 14, 9, 6];
        Product { runs, run, tile_rows, panels, last, per_tile: 2.0, per_span: 0.0, per_row: 0.0, tasks: 100 }
    }

    #[test]
    fn pixels_are_cut_before_panels() {
        assert_eq!(product(112, 112, 3, 2).spans_and_parts(1), (1, 1));
        assert_eq!(product(112, 112, 3, 2).spans_and_parts(2).1, 1);
        // The half panel at the end makes no part of a single panel shorter.
        assert_eq!(product(56, 56, 5, 1).spans_and_parts(2).1, 1);
        assert!(product(7, 7, 36, 2).spans_and_parts(2).1 > 1);
    }

    #[test]
    fn every_thread_gets_work() {
        for threads in 2..9 {
            for product in [product(1, 49, 36, 2), product(28, 28, 8, 1), product(1, 196, 4, 1)] {
                let (spans, parts) = product.spans_and_parts(threads);
                assert!(spans * parts >= threads && parts <= product.panels, "{spans} × {parts}");
            }
        }
    }
}
