//! Draws what was found into a picture, so that it can be read on any background and at any size.
//!
//! A frame is a line of its class's colour between two thin dark ones, so that it is seen on its own colour
//! too. A caption stands on a plate of the same colour, in black or white. Sizes follow the picture's.

mod canvas;
mod colours;
mod encode;
mod plates;
mod text;

pub use colours::class_colour;
pub use encode::{EncodeError, PictureFormat, encode};

use crate::{Picture, PixelBox};
use canvas::{Canvas, Rectangle};
use colours::ink_on;
use plates::Plates;
use text::Typeface;

/// Something to be drawn: a frame around it, and what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Where it is, in pixels of the picture. What is outside the picture is not drawn.
    pub bounds: PixelBox,
    /// Its class, which decides its colour.
    pub class_index: usize,
    /// A few words such as `person 93 %`; nothing is written where they are empty.
    pub caption: String,
}

/// Lines and text of a picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sizes {
    line: usize,
    text: f32,
}

impl Sizes {
    /// Marks from which on the text is smaller, so that it does not hide the picture.
    const MANY: usize = 30;

    /// By the geometric mean of the sides, so that a panorama's text is not as large as the panorama is long.
    fn of(picture: &Picture, marks: usize) -> Self {
        let side = ((picture.width() * picture.height()) as f32).sqrt();
        let share = if marks > Self::MANY { 0.021 } else { 0.027 };
        Self { line: (side / 280.0).round().max(1.0) as usize, text: (side * share).max(9.0) }
    }
}

/// Draws `marks` into `picture`, the first on top of the others: give the surest first. Marks that enclose
/// nothing of the picture are left out. Plates are kept inside the picture and, where there is room, apart
/// from each other; captions that are too long for the picture end in `…`, and there are none where a plate
/// would take more than a third of the picture's height.
#[must_use]
pub fn draw(picture: Picture, marks: &[Mark]) -> Picture {
    let sizes = Sizes::of(&picture, marks.len());
    let mut canvas = Canvas::new(picture);
    let (width, height) = (canvas.width(), canvas.height());
    let visible = marks.iter().filter(|mark| !mark.bounds.clip(width, height).is_degenerate());
    let visible: Vec<(&Mark, Rectangle)> = visible
        .map(|mark| (mark, Rectangle::around(mark.bounds.clip(width, height), width, height)))
        .collect();

    for (mark, frame) in visible.iter().rev() {
        draw_frame(&mut canvas, *frame, class_colour(mark.class_index), sizes.line);
    }
    let typeface = Typeface::new(sizes.text);
    let mut plates = Plates::new(width, height, sizes.line);
    if 3 * typeface.height() > height {
        return canvas.into_picture();
    }
    // The surest are placed first and drawn last.
    let placed: Vec<_> = visible
        .iter()
        .filter(|(mark, _)| !mark.caption.is_empty())
        .map(|(mark, frame)| {
            let line = typeface.fit(&mark.caption, width);
            (mark, plates.place(*frame, line.width(), typeface.height()), line)
        })
        .collect();
    for (mark, plate, line) in placed.iter().rev() {
        let colour = class_colour(mark.class_index);
        canvas.fill(*plate, colour);
        line.draw(&mut canvas, *plate, ink_on(colour));
    }
    canvas.into_picture()
}

/// Lines inside the frame's edge: dark, coloured, dark. A frame too small for lines is filled.
fn draw_frame(canvas: &mut Canvas, frame: Rectangle, colour: [u8; 3], line: usize) {
    const DARK: f32 = 0.55;
    let edge = line.div_ceil(3);
    canvas.outline(frame.grown(edge), edge, |canvas, part| canvas.darken(part, DARK));
    canvas.outline(frame, line, |canvas, part| canvas.fill(part, colour));
    if let Some(inside) = frame.shrunk(line) {
        canvas.outline(inside, edge, |canvas, part| canvas.darken(part, DARK));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: usize, height: usize) -> Picture {
        Picture::new(width, height, vec![128; width * height * 3]).unwrap()
    }

    fn mark(edges: [f32; 4], caption: &str) -> Mark {
        let [x1, y1, x2, y2] = edges;
        Mark { bounds: PixelBox { x1, y1, x2, y2 }, class_index: 0, caption: caption.into() }
    }

    /// Pixels of a colour.
    fn count(picture: &Picture, colour: [u8; 3]) -> usize {
        picture.pixels().chunks_exact(3).filter(|pixel| *pixel == colour).count()
    }

    #[test]
    fn a_frame_lies_on_the_edges_of_its_box() {
        let drawn = draw(grey(280, 280), &[mark([20.0, 100.0, 60.0, 160.0], "")]);
        let colour = class_colour(0);
        for (x, y) in [(20, 100), (59, 100), (20, 159), (59, 159), (40, 100), (20, 130)] {
            assert_eq!(drawn.row(y)[x], colour, "({x}, {y})");
        }
        assert_eq!(drawn.row(130)[40], [128; 3], "the inside is left as it was");
        assert_eq!(count(&drawn, colour), 2 * 40 + 2 * 58);
        assert!(drawn.row(99)[40][0] < 128 && drawn.row(101)[40][0] < 128, "dark lines on either side");
    }

    #[test]
    fn nothing_to_draw_leaves_the_picture_as_it_was() {
        let picture = grey(50, 40);
        let nan = mark([f32::NAN, 0.0, 10.0, 10.0], "nan");
        let outside = mark([60.0, 0.0, 80.0, 10.0], "outside");
        let inside_out = mark([30.0, 0.0, 10.0, 10.0], "inside out");
        assert_eq!(draw(picture.clone(), &[nan, outside, inside_out]), picture);
        assert_eq!(draw(picture.clone(), &[]), picture);
    }

    #[test]
    fn any_size_of_picture_and_box() {
        for (width, height) in [(1, 1), (1, 900), (20_000, 10), (32, 32), (7, 3), (640, 480)] {
            let (w, h) = (width as f32, height as f32);
            let marks = [
                mark([-1e9, -1e9, 1e9, 1e9], "everything and more than any picture is wide enough for"),
                mark([0.0, 0.0, w, h], "Größe 93 % 🐈 Ωмега"),
                mark([w - 0.5, h - 0.5, w, h], "tiny"),
            ];
            let drawn = draw(grey(width, height), &marks);
            assert_eq!((drawn.width(), drawn.height()), (width, height));
            assert_ne!(drawn, grey(width, height));
        }
    }

    #[test]
    fn hundreds_of_marks() {
        let marks: Vec<Mark> = (0..400)
            .map(|i| {
                let (x, y) = ((i % 20) as f32 * 30.0, (i / 20) as f32 * 20.0);
                Mark { class_index: i, ..mark([x, y, x + 40.0, y + 30.0], "cell 50 %") }
            })
            .collect();
        let drawn = draw(grey(640, 480), &marks);
        assert!(count(&drawn, [128; 3]) < 640 * 480);
        // The surest is on top: its whole plate can be seen.
        let alone = draw(grey(640, 480), &marks[..1]);
        assert!(count(&drawn, class_colour(0)) > 40, "{}", count(&alone, class_colour(0)));
    }
}
