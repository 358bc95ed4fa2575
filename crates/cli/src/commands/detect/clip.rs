//! Objects in a video, frame after frame.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use effigy::{Detection, Picture};

use super::found::Found;
use super::out::Folder;
use super::{Finder, Options, Work};
use crate::failure::Failure;
use crate::interrupt;
use crate::pipeline;
use crate::progress::Progress;
use crate::report::{FAINT, STRONG};
use crate::video::{Video, VideoError, Writer};

/// Detects in a video. What could be read of a damaged one is done, and written, before the error is returned.
pub(super) fn run(
    options: &Options,
    finder: &Finder,
    path: &Path,
    folder: Option<&Folder>,
) -> Result<(), Failure> {
    let video = Video::open(path)?;
    let frames = video.read()?;
    let mut writer = folder.map(|folder| Writer::create(&folder.video(path), &video)).transpose()?;
    let mut progress = Progress::new(video.frames.unwrap_or(0), "frames", options.progress);
    let (mut tally, mut damage) = (Tally::default(), None);

    let keep = writer.is_some();
    let prepare = |frame: Result<Picture, VideoError>| frame.map(|frame| finder.prepare(frame, keep));
    pipeline::stream(frames, options.batch, prepare, |batch| {
        interrupt::check()?;
        let mut work = Vec::new();
        for frame in batch {
            match frame {
                Ok(frame) => work.push(frame),
                Err(error) => damage = Some(error),
            }
        }
        let (pictures, prepared): (Vec<_>, Vec<_>) =
            work.into_iter().map(|Work { picture, prepared, .. }| (picture, prepared)).unzip();
        for (picture, answer) in pictures.into_iter().zip(finder.detector.detect_prepared(prepared)) {
            let detections = answer?;
            let frame = Some((tally.frames, video.time(tally.frames)));
            let (width, height) = (video.width, video.height);
            let path = path.display().to_string();
            let found = Found { path, frame, width, height, detections: &detections };
            if options.json {
                progress.aside(|| anstream::stdout().write_all(found.json().as_bytes()))?;
            }
            if let (Some(writer), Some(picture)) = (&mut writer, picture) {
                writer.write(&found.draw(picture))?;
            }
            tally.add(&detections);
            progress.advance(1);
        }
        Ok(())
    })?;
    drop(progress);
    interrupt::check()?;
    if tally.frames > 0 {
        writer.map(Writer::finish).transpose()?;
        if !options.json {
            anstream::stdout().write_all(tally.format(path, &video).as_bytes())?;
        }
    }
    damage.map_or(Ok(()), |error| Err(error.into()))
}

/// What was seen in a video.
#[derive(Default)]
struct Tally {
    frames: usize,
    /// By label: frames that show it, and the most of it in one frame.
    seen: BTreeMap<String, [usize; 2]>,
}

impl Tally {
    fn add(&mut self, detections: &[Detection]) {
        self.frames += 1;
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for found in detections {
            *counts.entry(&found.label).or_default() += 1;
        }
        for (label, count) in counts {
            let [frames, most] = self.seen.entry(label.to_owned()).or_default();
            *frames += 1;
            *most = count.max(*most);
        }
    }

    fn format(&self, path: &Path, video: &Video) -> String {
        let Video { width, height, .. } = video;
        let seconds = video.time(self.frames);
        let label_width = self.seen.keys().map(|label| label.chars().count()).max().unwrap_or(0);
        let line = |(label, [frames, most]): (&String, &[usize; 2])| {
            format!("  {label:label_width$}  in {frames} frames, at most {most} at once\n")
        };
        let lines: String = self.seen.iter().map(line).collect();
        let lines = if lines.is_empty() { "  no objects\n".to_owned() } else { lines };
        format!(
            "{STRONG}{}{STRONG:#}  {FAINT}{width}×{height}, {} frames, {seconds:.1} s{FAINT:#}\n{lines}",
            path.display(),
            self.frames
        )
    }
}
