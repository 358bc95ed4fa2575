//! Words in a typeface that is part of the library: Latin, Greek and Cyrillic; other signs are boxes.

use ab_glyph::{Font, FontRef, Glyph, PxScaleFont, ScaleFont, point};

use super::canvas::{Canvas, Rectangle};

static TYPEFACE: &[u8] = include_bytes!("../../assets/DejaVuSansCondensed-Bold.ttf");

/// A typeface at a size.
pub(super) struct Typeface {
    font: PxScaleFont<FontRef<'static>>,
    /// Between a plate's edge and its words.
    margin: usize,
}

/// Words with their places.
pub(super) struct Line<'a> {
    typeface: &'a Typeface,
    glyphs: Vec<Glyph>,
    width: usize,
}

impl Typeface {
    /// `size` is the distance from the highest to the lowest point of any letter, in pixels.
    pub(super) fn new(size: f32) -> Self {
        let font = FontRef::try_from_slice(TYPEFACE).expect("the typeface is part of the library");
        Self { font: font.into_scaled(size), margin: (size / 5.0).round() as usize }
    }

    /// Height of a plate.
    pub(super) fn height(&self) -> usize {
        self.font.height().ceil() as usize + self.margin / 2
    }

    /// As many of the words as fit on a plate of the width, with `…` where they do not end.
    pub(super) fn fit(&self, words: &str, width: usize) -> Line<'_> {
        let whole = self.line(words);
        if whole.width <= width {
            return whole;
        }
        let ends = words.char_indices().rev().map(|(end, _)| end);
        let cut = ends.map(|end| self.line(&format!("{}…", words[..end].trim_end())));
        cut.into_iter().find(|line| line.width <= width).unwrap_or(Line {
            width,
            glyphs: Vec::new(),
            ..whole
        })
    }

    fn line(&self, words: &str) -> Line<'_> {
        let mut x = 0.0;
        let mut glyphs: Vec<Glyph> = Vec::new();
        for sign in words.chars().map(|sign| if sign.is_control() { ' ' } else { sign }) {
            let mut glyph = self.font.scaled_glyph(sign);
            if let Some(last) = glyphs.last() {
                x += self.font.kern(last.id, glyph.id);
            }
            glyph.position = point(x, self.font.ascent());
            x += self.font.h_advance(glyph.id);
            glyphs.push(glyph);
        }
        Line { typeface: self, glyphs, width: x.ceil() as usize + 2 * self.margin }
    }
}

impl Line<'_> {
    /// Width of a plate that holds the words.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn draw(&self, canvas: &mut Canvas, plate: Rectangle, ink: [u8; 3]) {
        let (left, top) =
            (plate.x1 + self.typeface.margin as i64, plate.y1 + self.typeface.margin as i64 / 4);
        let outlined = self.glyphs.iter().filter_map(|glyph| self.typeface.font.outline_glyph(glyph.clone()));
        for glyph in outlined {
            let corner = glyph.px_bounds().min;
            let (left, top) = (left + corner.x as i64, top + corner.y as i64);
            glyph.draw(|x, y, cover| canvas.blend(left + i64::from(x), top + i64::from(y), ink, cover));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_to_the_width() {
        let typeface = Typeface::new(14.0);
        let whole = typeface.fit("person 93 %", 1000);
        assert!((60..120).contains(&whole.width()), "{}", whole.width());
        let cut = typeface.fit("person 93 %", 50);
        assert!(cut.width() <= 50 && cut.glyphs.len() > 2);
        assert_eq!(typeface.fit("person", 3).width(), 3);
    }

    #[test]
    fn signs_are_there_or_boxes() {
        let typeface = Typeface::new(14.0);
        let id = |sign| typeface.font.glyph_id(sign).0;
        assert!("person 0.93 % Größe Łódź Ωμέγα Ёжик «–…» €".chars().all(|sign| id(sign) != 0));
        assert_eq!(id('猫'), 0);
        assert!(typeface.font.outline_glyph(typeface.font.scaled_glyph('猫')).is_some(), "a box");
    }
}
