//! Where captions go.

use super::canvas::Rectangle;

/// The plates of a picture, placed one after the other.
pub(super) struct Plates {
    width: i64,
    height: i64,
    line: i64,
    taken: Vec<Rectangle>,
}

impl Plates {
    pub(super) fn new(width: usize, height: usize, line: usize) -> Self {
        Self { width: width as i64, height: height as i64, line: line as i64, taken: Vec::new() }
    }

    /// A place for the plate of `frame`, of a width and height that fit into the picture: the first of those
    /// at the frame that covers no earlier plate, otherwise the one that covers least.
    pub(super) fn place(&mut self, frame: Rectangle, width: usize, height: usize) -> Rectangle {
        let covers = |plate: Rectangle| self.taken.iter().map(|taken| taken.shared(plate)).sum::<i64>();
        let mut best: Option<(i64, Rectangle)> = None;
        for (x, y) in self.corners(frame, width as i64, height as i64) {
            let plate = self.inside(x, y, width, height);
            let covered = covers(plate);
            if best.is_none_or(|(least, _)| covered < least) {
                best = Some((covered, plate));
            }
            if covered == 0 {
                break;
            }
        }
        let (_, plate) = best.expect("a frame has corners");
        self.taken.push(plate);
        plate
    }

    /// Upper left corners for a plate, the best first: on top of the frame, inside its upper edge, below it,
    /// inside its lower edge, from left to right; then down along its left side.
    fn corners(&self, frame: Rectangle, width: i64, height: i64) -> impl Iterator<Item = (i64, i64)> {
        let Rectangle { x1, y1, x2, y2 } = frame;
        let top = if y1 >= height { y1 - height } else { y1 };
        let rows = [top, y1 + self.line, y2, y2 - self.line - height];
        let columns = [x1, x2 - width, (x1 + x2 - width) / 2];
        let around = rows.into_iter().flat_map(move |y| columns.map(|x| (x, y)));
        let along = (1..8).map(move |row| (x1, y1 + row * height));
        let beside = (0..8).flat_map(move |row| [x1 - width, x2].map(|x| (x, y1 + row * height)));
        around.chain(along).chain(beside)
    }

    /// The plate moved into the picture.
    fn inside(&self, x: i64, y: i64, width: usize, height: usize) -> Rectangle {
        let x = x.min(self.width - width as i64).max(0);
        let y = y.min(self.height - height as i64).max(0);
        Rectangle::at(x, y, width, height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plates_stand_on_their_frames_and_inside_the_picture() {
        let mut plates = Plates::new(100, 100, 2);
        let frame = Rectangle { x1: 20, y1: 40, x2: 60, y2: 80 };
        assert_eq!(plates.place(frame, 30, 10), Rectangle::at(20, 30, 30, 10));
        let at_the_top_right = Rectangle { x1: 90, y1: 0, x2: 100, y2: 50 };
        assert_eq!(plates.place(at_the_top_right, 30, 10), Rectangle::at(70, 0, 30, 10));
    }

    #[test]
    fn plates_of_equal_frames_do_not_cover_each_other() {
        let mut plates = Plates::new(200, 200, 2);
        let frame = Rectangle { x1: 50, y1: 50, x2: 150, y2: 150 };
        let placed: Vec<Rectangle> = (0..12).map(|_| plates.place(frame, 60, 12)).collect();
        for (i, a) in placed.iter().enumerate() {
            assert!(a.x1 >= 0 && a.y1 >= 0 && a.x2 <= 200 && a.y2 <= 200, "{a:?}");
            assert!(placed[i + 1..].iter().all(|b| a.shared(*b) == 0), "{placed:?}");
        }
    }
}
