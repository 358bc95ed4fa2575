//! COCO's result format: <https://cocodataset.org/#format-results>.

use std::io::{self, Write};
use std::path::Path;

use effigy_vision::CocoBox;
use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::coco::read_json;

/// What a detector found, by the numbers of a data set's files.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectionResult {
    /// The picture's number ([`AnnotatedPicture::id`](crate::AnnotatedPicture::id)).
    pub image_id: u64,
    /// The class's number ([`Category::id`](crate::Category::id)), not its index.
    pub category_id: u64,
    /// Where it is.
    pub bounds: CocoBox,
    /// How sure the detector is.
    pub score: f64,
}

#[derive(Serialize, Deserialize)]
struct Row {
    image_id: u64,
    category_id: u64,
    bbox: [f64; 4],
    score: f64,
}

/// Writes results as a JSON list, one result a line. Numbers are written so that reading them gives the very
/// same ones.
///
/// # Errors
/// Those of `out`. A number that is not finite has no JSON: it is [`io::ErrorKind::InvalidData`].
pub fn write_results(
    mut out: impl Write,
    results: impl IntoIterator<Item = DetectionResult>,
) -> io::Result<()> {
    let mut separator = "[\n";
    for DetectionResult { image_id, category_id, bounds, score } in results {
        let bbox = bounds.to_xywh();
        if !bbox.iter().chain([&score]).all(|number| number.is_finite()) {
            let message = format!("image {image_id}: a box or score that is no finite number");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        out.write_all(separator.as_bytes())?;
        serde_json::to_writer(&mut out, &Row { image_id, category_id, bbox, score })?;
        separator = ",\n";
    }
    out.write_all(if separator == "[\n" { b"[]\n" } else { b"\n]\n" })
}

/// Reads what [`write_results`] or another program has written.
///
/// # Errors
/// [`DataError`] where the file cannot be read or is no list of results (with its line).
pub fn read_results(path: impl AsRef<Path>) -> Result<Vec<DetectionResult>, DataError> {
    let rows: Vec<Row> = read_json(path.as_ref())?;
    let result = |Row { image_id, category_id, bbox, score }| DetectionResult {
        image_id,
        category_id,
        bounds: CocoBox::from_xywh(bbox),
        score,
    };
    Ok(rows.into_iter().map(result).collect())
}
