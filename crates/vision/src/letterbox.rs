//! A whole picture at the top left of a detector's input, and the way back to its pixels.

mod plain;

use effigy_arch::{Fill, Fit, Interpolation, Letterbox};

use crate::normalised::Normalised;
use crate::resize::{Window, resize_window};
use crate::{Picture, PixelBox};

/// A box by its corners, in pixels of the network's input, the frame of its anchors; continuous, as
/// [`PixelBox`] is in the frame of the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct InputBox {
    /// Upper edge.
    pub y1: f32,
    /// Left edge.
    pub x1: f32,
    /// Lower edge.
    pub y2: f32,
    /// Right edge.
    pub x2: f32,
}

/// Where a picture lies in a network's input, and so how boxes pass from one to the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Height and width of the picture, in its own pixels.
    pub picture: [usize; 2],
    /// Height and width of the network's input, in pixels.
    pub input: [usize; 2],
    /// Height and width that the picture fills of the input, at its top left; at least 1.
    pub resized: [usize; 2],
    /// Pixels of the input to a pixel of the picture, down and across.
    scale: [f64; 2],
}

impl Placement {
    /// Where a picture of `height` × `width` pixels, both at least 1, lies in the `letterbox`. However thin
    /// the picture, at least one row and one column is left of it.
    ///
    /// # Panics
    /// Where a side of the picture or of the letterbox is zero.
    pub fn new([height, width]: [usize; 2], letterbox: &Letterbox) -> Self {
        let input = letterbox.size;
        assert!(height > 0 && width > 0, "a picture of {height}×{width} has no pixels");
        assert!(input[0] > 0 && input[1] > 0, "an input of {}×{} has no pixels", input[0], input[1]);
        let ratios = [input[0] as f64 / height as f64, input[1] as f64 / width as f64];
        let cut = |resized: [usize; 2]| [0, 1].map(|side| resized[side].clamp(1, input[side]));
        let (resized, scale) = match letterbox.fit {
            Fit::OneScale => {
                let scale = ratios[0].min(ratios[1]);
                let resized = [height, width].map(|side| (side as f64 * scale) as usize);
                (cut(resized), [scale; 2])
            }
            Fit::OneScaleF32 => {
                let scale = (input[0] as f32 / height as f32).min(input[1] as f32 / width as f32);
                let resized = [height, width].map(|side| (side as f32 * scale) as usize);
                (cut(resized), [f64::from(scale); 2])
            }
            Fit::ScalePerSide => {
                let resized = if ratios[1] < ratios[0] {
                    [(ratios[1] * height as f64) as usize, input[1]]
                } else {
                    [input[0], (ratios[0] * width as f64) as usize]
                };
                let resized = cut(resized);
                (resized, [resized[0] as f64 / height as f64, resized[1] as f64 / width as f64])
            }
        };
        Self { picture: [height, width], input, resized, scale }
    }

    /// A box of the network's input in the picture's pixels.
    pub fn to_picture(&self, bounds: InputBox) -> PixelBox {
        let [down, across] = self.scale;
        let back = |edge: f32, scale: f64| (f64::from(edge) / scale) as f32;
        PixelBox {
            x1: back(bounds.x1, across),
            y1: back(bounds.y1, down),
            x2: back(bounds.x2, across),
            y2: back(bounds.y2, down),
        }
    }

    /// A box of the picture in the network's input's pixels.
    pub fn to_input(&self, bounds: PixelBox) -> InputBox {
        let [down, across] = self.scale;
        let forth = |edge: f32, scale: f64| (f64::from(edge) * scale) as f32;
        InputBox {
            y1: forth(bounds.y1, down),
            x1: forth(bounds.x1, across),
            y2: forth(bounds.y2, down),
            x2: forth(bounds.x2, across),
        }
    }

    /// The picture's extent in the input's pixels. By a single scale it may reach a part of a pixel over
    /// [`resized`](Self::resized), whose sides are cut.
    pub fn extent(&self) -> InputBox {
        let [height, width] = self.picture;
        self.to_input(PixelBox { x1: 0.0, y1: 0.0, x2: width as f32, y2: height as f32 })
    }
}

/// A picture as a detector's input: `height · width · 3` floats, NHWC with N = 1, and where it lies there.
///
/// The picture is resized as the letterbox tells, put at the top left, each sample becomes
/// `(x / 255 − mean) / std`, and the rest is filled. Pillow's filters round to bytes before they are
/// normalised, as effdet's transform does; the plain one does not, as in google/automl's and zylo117's code,
/// which resize what is normalised already: but for rounding in f32 that is the same.
///
/// # Panics
/// Where a side of `letterbox.size` is zero.
pub fn letterbox(picture: &Picture, letterbox: &Letterbox) -> (Vec<f32>, Placement) {
    let [height, width] = letterbox.size;
    let mut input = vec![0.0; height * width * 3];
    let placement = letterbox_into(picture, letterbox, &mut input);
    (input, placement)
}

/// [`letterbox`](fn@letterbox) into one picture's part of a batch.
///
/// # Panics
/// As [`letterbox`](fn@letterbox), and where `input` is not `height · width · 3` long.
pub fn letterbox_into(picture: &Picture, letterbox: &Letterbox, input: &mut [f32]) -> Placement {
    let [height, width] = letterbox.size;
    assert_eq!(input.len(), height * width * 3, "an input of {height}×{width}×3");
    let placement = Placement::new([picture.height(), picture.width()], letterbox);
    let [rows, columns] = placement.resized;
    let fill = fill(letterbox, &Normalised::new(letterbox.normalisation));
    let (pixels, _) = input.as_chunks_mut::<3>();
    for row in pixels[..rows * width].chunks_exact_mut(width) {
        row[columns..].fill(fill);
    }
    pixels[rows * width..].fill(fill);
    place_into(picture, letterbox, [0, 0], placement.resized, input);
    placement
}

/// Fills an input with what the letterbox holds beside a picture.
///
/// # Panics
/// Where `input` is not `height · width · 3` long.
pub fn fill_into(letterbox: &Letterbox, input: &mut [f32]) {
    let [height, width] = letterbox.size;
    assert_eq!(input.len(), height * width * 3, "an input of {height}×{width}×3");
    input.as_chunks_mut::<3>().0.fill(fill(letterbox, &Normalised::new(letterbox.normalisation)));
}

/// Resizes a picture to `size` (height, width) and puts it, normalised, into an input, its upper left corner
/// `at` this row and column. Filter and normalisation are the letterbox's; the rest of the input stays.
///
/// # Panics
/// Where `input` is not `height · width · 3` long, a side of `size` is zero, or the picture reaches outside.
pub fn place_into(
    picture: &Picture,
    letterbox: &Letterbox,
    at: [usize; 2],
    size: [usize; 2],
    input: &mut [f32],
) {
    let [height, width] = letterbox.size;
    assert_eq!(input.len(), height * width * 3, "an input of {height}×{width}×3");
    let ([top, left], [rows, columns]) = (at, size);
    assert!(rows > 0 && columns > 0 && top + rows <= height && left + columns <= width, "{at:?} {size:?}");
    let normalised = Normalised::new(letterbox.normalisation);
    let (input, _) = input.as_chunks_mut::<3>();
    let inside = input.chunks_exact_mut(width).skip(top).take(rows);
    let inside = inside.map(|row| &mut row[left..left + columns]);
    match letterbox.interpolation {
        Interpolation::PlainBilinear => plain::resize(picture, size, letterbox.fit, &normalised, inside),
        filter => {
            let whole = Window { left: 0, top: 0, width: columns, height: rows };
            let pixels = resize_window(picture, [columns, rows], whole, filter);
            let pixels = pixels.as_chunks::<3>().0.chunks_exact(columns);
            inside.zip(pixels).for_each(|(to, from)| normalised.row(from, to));
        }
    }
}

/// A pixel beside the picture, normalised.
fn fill(letterbox: &Letterbox, normalised: &Normalised) -> [f32; 3] {
    match letterbox.fill {
        Fill::Mean => [0.0; 3],
        Fill::MeanByte => {
            let byte = |mean: f32| (255.0 * f64::from(mean)).round_ties_even() as u8;
            normalised.pixel(letterbox.normalisation.mean.map(byte))
        }
        Fill::Black => normalised.pixel([0; 3]),
    }
}
