//! What was found in a picture, for people, for programs, and drawn.

use effigy::vision::{Mark, draw};
use effigy::{Detection, Picture, PixelBox};
use serde::Serialize;

use crate::report::{BAR, FAINT, STRONG};
use crate::table::bar;

/// The objects of a picture or a frame.
pub(super) struct Found<'a> {
    pub(super) path: String,
    /// Of a video: which frame, and when it is shown in seconds.
    pub(super) frame: Option<(usize, f64)>,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) detections: &'a [Detection],
}

impl Found<'_> {
    /// The path, a line an object, and how many there are.
    pub(super) fn block(&self) -> String {
        let Self { path, width, height, detections, .. } = self;
        let label_width = detections.iter().map(|found| found.label.chars().count()).max().unwrap_or(0);
        let line = |Detection { bounds, label, score, .. }: &Detection| {
            let PixelBox { x1, y1, x2, y2 } = bounds;
            let bar = bar(f64::from(*score), 20);
            let edges = format!("{x1:.0}, {y1:.0} – {x2:.0}, {y2:.0}");
            format!(
                "  {:5.1} %  {BAR}{bar}{BAR:#}  {label:label_width$}  {FAINT}{edges}{FAINT:#}\n",
                100.0 * score
            )
        };
        let lines: String = detections.iter().map(line).collect();
        let count = match detections.len() {
            1 => "1 object".to_owned(),
            count => format!("{count} objects"),
        };
        format!("{STRONG}{path}{STRONG:#}  {FAINT}{width}×{height}{FAINT:#}\n{lines}  {count}\n")
    }

    /// The contract with programs: `{"path", "width", "height", "detections": [{"box", "class_index", "label",
    /// "score"}]}`, boxes are a `PixelBox`'s edges in their order; of a video also `"frame"`, `"time_s"`.
    pub(super) fn json(&self) -> String {
        let objects = self.detections.iter().map(|found| {
            let PixelBox { x1, y1, x2, y2 } = found.bounds;
            Object {
                corners: [x1, y1, x2, y2],
                class_index: found.class_index,
                label: &found.label,
                score: found.score,
            }
        });
        let line = Line {
            path: &self.path,
            frame: self.frame.map(|(frame, _)| frame),
            time_s: self.frame.map(|(_, time)| time),
            width: self.width,
            height: self.height,
            detections: objects.collect(),
        };
        serde_json::to_string(&line).expect("text and finite numbers are always valid JSON") + "\n"
    }

    /// The picture with the objects drawn.
    pub(super) fn draw(&self, picture: Picture) -> Picture {
        let mark = |Detection { bounds, class_index, label, score }: &Detection| Mark {
            bounds: *bounds,
            class_index: *class_index,
            caption: format!("{label} {:.0} %", 100.0 * score),
        };
        let marks: Vec<Mark> = self.detections.iter().map(mark).collect();
        draw(picture, &marks)
    }
}

#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_s: Option<f64>,
    width: usize,
    height: usize,
    detections: Vec<Object<'a>>,
}

#[derive(Serialize)]
struct Object<'a> {
    #[serde(rename = "box")]
    corners: [f32; 4],
    class_index: usize,
    label: &'a str,
    score: f32,
}
