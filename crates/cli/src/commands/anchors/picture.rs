//! A picture of boxes and anchors by their width and height.

use std::fmt::Write;

use effigy::EfficientDet;
use effigy::arch::Anchors;
use effigy::vision::InputBox;

/// Side of the plot and space around it, in pixels.
const SIDE: f64 = 520.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 56.0;
/// Boxes that are drawn at most; of more, every n-th.
const MOST: usize = 6000;

const BOXES: &str = "#0072b2";
const BEFORE: &str = "#999999";
const AFTER: &str = "#d55e00";

/// An SVG: every box's width and height in the network's input, on logarithmic axes, and the anchors of every
/// level before and after.
pub(super) fn draw(detector: &EfficientDet, after: &Anchors, boxes: &[InputBox]) -> String {
    let size = detector.letterbox.size;
    let before = shapes(&detector.anchors, detector);
    let after = shapes(after, detector);
    let largest = size[0].max(size[1]) as f64;
    let axis = Axis { least: 2_f64, most: largest * 1.25 };
    let (width, height) = (LEFT + SIDE + 24.0, TOP + SIDE + BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{} boxes and the anchors of {} at \
         {}×{}</text>",
        boxes.len(),
        detector.name,
        size[0],
        size[1]
    );
    legend(&mut svg);
    grid(&mut svg, &axis);
    let step = boxes.len().div_ceil(MOST).max(1);
    for bounds in boxes.iter().step_by(step) {
        let (x, y) = axis.place(f64::from(bounds.x2 - bounds.x1), f64::from(bounds.y2 - bounds.y1));
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"{BOXES}\" fill-opacity=\"0.3\"/>"
        );
    }
    for (shapes, colour) in [(before, BEFORE), (after, AFTER)] {
        // The coarsest levels have anchors larger than any box.
        for [height, width] in shapes.into_iter().filter(|sides| sides.iter().all(|&side| side < axis.most)) {
            let (x, y) = axis.place(width, height);
            let _ = writeln!(
                svg,
                "<path d=\"M{:.1} {y:.1}h9M{x:.1} {:.1}v9\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                x - 4.5,
                y - 4.5
            );
        }
    }
    svg += "</svg>\n";
    svg
}

/// Height and width in pixels of the anchors of all levels, by a level's nominal stride.
fn shapes(anchors: &Anchors, detector: &EfficientDet) -> Vec<[f64; 2]> {
    let mut shapes = Vec::new();
    for level in detector.levels() {
        let side = anchors.base * (1_usize << level) as f64;
        for scale in &anchors.scales {
            shapes.extend(
                anchors.ratios.iter().map(|r| [r.height, r.width].map(|factor| side * scale * factor)),
            );
        }
    }
    shapes
}

/// Both axes: logarithms from the least to the most pixels.
struct Axis {
    least: f64,
    most: f64,
}

impl Axis {
    fn along(&self, pixels: f64) -> f64 {
        let share = (pixels / self.least).ln() / (self.most / self.least).ln();
        share.clamp(0.0, 1.0) * SIDE
    }

    fn place(&self, width: f64, height: f64) -> (f64, f64) {
        (LEFT + self.along(width), TOP + SIDE - self.along(height))
    }
}

fn legend(svg: &mut String) {
    let entries = [("boxes", BOXES), ("anchors as published", BEFORE), ("anchors fitted", AFTER)];
    let mut x = LEFT;
    for (words, colour) in entries {
        let _ = writeln!(
            svg,
            "<circle cx=\"{:.0}\" cy=\"38\" r=\"4\" fill=\"{colour}\"/><text x=\"{:.0}\" y=\"42\">{words}</text>",
            x + 4.0,
            x + 13.0
        );
        x += 40.0 + 7.0 * words.len() as f64;
    }
}

fn grid(svg: &mut String, axis: &Axis) {
    let (right, bottom) = (LEFT + SIDE, TOP + SIDE);
    let mut pixels = 2.0;
    while pixels <= axis.most {
        let (x, y) = axis.place(pixels, pixels);
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.1} {TOP}V{bottom}M{LEFT} {y:.1}H{right}\" stroke=\"#e5e5e5\"/>\
             <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{pixels}</text>\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{pixels}</text>",
            bottom + 18.0,
            LEFT - 8.0,
            y + 4.0
        );
        pixels *= 2.0;
    }
    let (middle, below) = (LEFT + SIDE / 2.0, bottom + 40.0);
    let _ = writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{SIDE}\" height=\"{SIDE}\" fill=\"none\" stroke=\"#888888\"/>\
         <text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">width in pixels of the input</text>\
         <text transform=\"translate(18 {}) rotate(-90)\" text-anchor=\"middle\">height in pixels of the input</text>",
        TOP + SIDE / 2.0
    );
}
