//! Anchors of weights that were trained with others than the published ones.

use clap::Args;
use effigy::Loader;
use effigy::arch::{Anchors, AspectRatio};

/// A detector's anchors, where its weights do not tell them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Anchors that the weights were trained with, if not the published ones")]
pub(crate) struct AnchorOptions {
    /// Side of the smallest square anchor in strides of its level [default: 4]
    #[arg(long, value_name = "STRIDES")]
    anchor_base: Option<f64>,
    /// Factors on it [default: 1,1.259921,1.587401]
    #[arg(long, value_name = "FACTOR,…", value_delimiter = ',')]
    anchor_scales: Vec<f64>,
    /// Shapes: factors on width and height, or one ratio of width to height [default: 1x1,1.4x0.7,0.7x1.4]
    #[arg(long, value_name = "WxH,…", value_delimiter = ',', value_parser = ratio)]
    anchor_ratios: Vec<AspectRatio>,
}

impl AnchorOptions {
    pub(crate) fn apply(&self, loader: Loader) -> Loader {
        let Self { anchor_base, anchor_scales, anchor_ratios } = self;
        if anchor_base.is_none() && anchor_scales.is_empty() && anchor_ratios.is_empty() {
            return loader;
        }
        let mut anchors = Anchors::octave(anchor_base.unwrap_or(4.0), &AspectRatio::ROUNDED);
        if !anchor_scales.is_empty() {
            anchors.scales.clone_from(anchor_scales);
        }
        if !anchor_ratios.is_empty() {
            anchors.ratios.clone_from(anchor_ratios);
        }
        loader.anchors(anchors)
    }
}

fn ratio(text: &str) -> Result<AspectRatio, String> {
    let number =
        |text: &str| text.trim().parse().ok().filter(|&factor: &f64| factor > 0.0 && factor.is_finite());
    let shape = match text.split_once(['x', '×']) {
        Some((width, height)) => number(width).zip(number(height)).map(|(w, h)| AspectRatio::new(w, h)),
        None => number(text).map(AspectRatio::of),
    };
    shape.ok_or_else(|| "a shape is WIDTHxHEIGHT, two factors above 0, or one ratio".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        assert_eq!(ratio("1.4x0.7"), Ok(AspectRatio::new(1.4, 0.7)));
        assert_eq!(ratio("4"), Ok(AspectRatio::new(2.0, 0.5)));
        for wrong in ["", "0", "x", "1x", "-1x2", "inf"] {
            assert!(ratio(wrong).is_err(), "{wrong}");
        }
    }
}
