//! Colours of classes.

/// The colour of a class, R G B: the same for the same index everywhere, bright enough for frames on dark
/// pictures, and unlike its neighbours' in hue and lightness.
///
/// Hues are a golden angle apart, which never repeats and keeps any first few far from each other; lightness
/// goes through three steps. In Oklch (Ottosson 2020, <https://bottosson.github.io/posts/oklab/>), where
/// equal steps look equal.
#[must_use]
pub fn class_colour(class_index: usize) -> [u8; 3] {
    const GOLDEN_ANGLE: f32 = 137.507_77;
    /// The first class is orange-red, which few pictures are full of.
    const FIRST_HUE: f32 = 40.0;
    const LIGHTNESS: [f32; 3] = [0.74, 0.64, 0.84];
    const CHROMA: f32 = 0.18;
    let hue = FIRST_HUE + GOLDEN_ANGLE * (class_index % 10_000) as f32;
    let lightness = LIGHTNESS[class_index % LIGHTNESS.len()];
    // Not every colour of this chroma exists; the nearest of less chroma that does is taken.
    let chromas = (0..=18).map(|step| CHROMA * (1.0 - step as f32 / 18.0));
    let shown = chromas.map(|chroma| to_linear(lightness, chroma, hue.to_radians()));
    let linear =
        shown.into_iter().find(|rgb| rgb.iter().all(|v| (0.0..=1.0).contains(v))).unwrap_or([0.5; 3]);
    linear.map(|channel| (255.0 * gamma(channel)).round() as u8)
}

/// Black or white, whichever is easier to read on `colour`: WCAG's contrast ratio (2.2, "relative luminance").
pub(super) fn ink_on(colour: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = colour.map(|channel| linear(f32::from(channel) / 255.0));
    let luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    let (on_black, on_white) = ((luminance + 0.05) / 0.05, 1.05 / (luminance + 0.05));
    if on_black > on_white { [0; 3] } else { [255; 3] }
}

/// Linear sRGB of an Oklch colour; outside 0..=1 where the screen cannot show it.
fn to_linear(lightness: f32, chroma: f32, hue: f32) -> [f32; 3] {
    let (a, b) = (chroma * hue.cos(), chroma * hue.sin());
    let l = (lightness + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
    let m = (lightness - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
    let s = (lightness - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
    [
        4.076_741_7 * l - 3.307_711_6 * m + 0.230_969_94 * s,
        -1.268_438 * l + 2.609_757_4 * m - 0.341_319_4 * s,
        -0.004_196_086_3 * l - 0.703_418_6 * m + 1.707_614_7 * s,
    ]
}

fn gamma(linear: f32) -> f32 {
    if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}

fn linear(gamma: f32) -> f32 {
    if gamma <= 0.040_45 { gamma / 12.92 } else { ((gamma + 0.055) / 1.055).powf(2.4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_can_be_told_apart() {
        let distance = |a: [u8; 3], b: [u8; 3]| -> f32 {
            a.iter().zip(b).map(|(&a, b)| (f32::from(a) - f32::from(b)).powi(2)).sum::<f32>().sqrt()
        };
        let colours: Vec<[u8; 3]> = (0..90).map(class_colour).collect();
        for (i, &a) in colours.iter().enumerate() {
            for (j, &b) in colours.iter().enumerate().skip(i + 1) {
                let wanted = if j < 12 { 40.0 } else { 3.0 };
                assert!(distance(a, b) > wanted, "{i} {a:?} and {j} {b:?}");
            }
        }
    }

    #[test]
    fn ink_is_readable() {
        assert_eq!(ink_on([255, 255, 0]), [0; 3]);
        assert_eq!(ink_on([0, 0, 160]), [255; 3]);
    }

    #[test]
    fn any_index_has_a_colour() {
        let _ = [usize::MAX, 1 << 40].map(class_colour);
    }
}
