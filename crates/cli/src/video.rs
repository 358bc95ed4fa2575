//! Videos, read and written by an `ffmpeg` that is on the machine. Frames pass through pipes as raw RGB.
//!
//! A frame lasts equally long throughout: a video of a variable rate is read at its average rate, frames
//! being repeated or left out as its clock says, so that picture and sound stay together.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use effigy::Picture;
use serde::Deserialize;
use tempfile::TempPath;

/// Extensions, in lower case, by which a video is told.
const EXTENSIONS: &[&str] = &[
    "mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "mts", "m2ts", "wmv", "flv", "ogv", "3gp",
];
/// Those of them whose files can hold H.264 and any sound that they come with.
const KEPT: &[&str] = &["mp4", "m4v", "mov", "mkv"];

/// Why a video could not be read or written. `path` is the video.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VideoError {
    #[error(
        "{}: videos need {program}, which is not installed or not on the PATH; install ffmpeg \
         (apt install ffmpeg, brew install ffmpeg, or https://ffmpeg.org/download.html)", path.display()
    )]
    NoFfmpeg { path: PathBuf, program: &'static str },
    #[error("{}: cannot be read as a video ({reason})", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{}: damaged or truncated after {frames} frames ({reason}); those were done", path.display())]
    Damaged { path: PathBuf, frames: usize, reason: String },
    #[error("{}: cannot be written: {reason}", path.display())]
    Write { path: PathBuf, reason: String },
}

/// What is known about a video before it is read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Video {
    pub(crate) path: PathBuf,
    /// In pixels, upright.
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Frames a second, as a fraction.
    rate: [u64; 2],
    /// As the file says, or as its duration tells; nothing where neither is known.
    pub(crate) frames: Option<usize>,
}

/// Whether a file is a video: by its extension, or by its first bytes where the extension is unknown.
pub(crate) fn is_video(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    match extension {
        Some(extension) if EXTENSIONS.contains(&extension.as_str()) => true,
        Some(extension) if effigy::vision::EXTENSIONS.contains(&extension.as_str()) => false,
        _ => {
            let mut start = [0; 12];
            let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
            read.is_ok() && starts_a_video(&start)
        }
    }
}

/// MP4 and its kin (but for pictures in that container), Matroska, AVI.
fn starts_a_video(start: &[u8; 12]) -> bool {
    const PICTURES: [&[u8]; 4] = [b"heic", b"mif1", b"avif", b"heix"];
    let is_mp4 = &start[4..8] == b"ftyp" && !PICTURES.contains(&&start[8..]);
    is_mp4 || start.starts_with(b"\x1a\x45\xdf\xa3") || (start.starts_with(b"RIFF") && &start[8..] == b"AVI ")
}

/// The name of an annotated video: its own, or with `.mkv` behind it, which holds any sound.
pub(crate) fn annotated_name(name: &Path) -> PathBuf {
    let extension = name.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if KEPT.contains(&extension.as_str()) {
        return name.to_owned();
    }
    let mut longer = name.as_os_str().to_owned();
    longer.push(".mkv");
    longer.into()
}

impl Video {
    /// Asks ffprobe.
    pub(crate) fn open(path: &Path) -> Result<Self, VideoError> {
        let unreadable = |reason: String| VideoError::Unreadable { path: path.into(), reason };
        let mut ffprobe = Command::new("ffprobe");
        ffprobe.args(["-v", "error", "-select_streams", "v:0", "-show_streams", "-show_format"]);
        let output = ffprobe.args(["-of", "json", "-i"]).arg(file(path)).stdin(Stdio::null()).output();
        let output = output.map_err(|error| missing(path, "ffprobe", &error))?;
        if !output.status.success() {
            return Err(unreadable(last_line(&output.stderr)));
        }
        let answer: Answer =
            serde_json::from_slice(&output.stdout).map_err(|error| unreadable(error.to_string()))?;
        let stream = answer.streams.first().ok_or_else(|| unreadable("it has no pictures".into()))?;
        let rate = [&stream.avg_frame_rate, &stream.r_frame_rate].into_iter().find_map(|rate| fraction(rate));
        let rate = rate.unwrap_or([25, 1]);
        let seconds = [&stream.duration, &answer.format.duration].into_iter().flatten();
        let seconds = seconds.filter_map(|text| text.parse::<f64>().ok()).next();
        let told = stream.nb_frames.as_ref().and_then(|count| count.parse().ok());
        let [width, height] = match stream.is_turned() {
            false => [stream.width, stream.height],
            true => [stream.height, stream.width],
        };
        if width == 0 || height == 0 {
            return Err(unreadable("its pictures have no size".into()));
        }
        let estimate = seconds.map(|seconds| (seconds * rate[0] as f64 / rate[1] as f64).round() as usize);
        Ok(Self { path: path.into(), width, height, rate, frames: told.or(estimate) })
    }

    /// When a frame is shown, in seconds.
    pub(crate) fn time(&self, frame: usize) -> f64 {
        frame as f64 * self.rate[1] as f64 / self.rate[0] as f64
    }

    fn rate(&self) -> String {
        let [frames, seconds] = self.rate;
        format!("{frames}/{seconds}")
    }

    /// Its frames, upright.
    pub(crate) fn read(&self) -> Result<Frames, VideoError> {
        let cannot = |error: io::Error| missing(&self.path, "ffmpeg", &error);
        let complaints = tempfile::tempfile().map_err(cannot)?;
        let mut ffmpeg = ffmpeg(&complaints).map_err(cannot)?;
        ffmpeg.arg("-i").arg(file(&self.path)).args(["-map", "0:v:0", "-r", &self.rate()]);
        ffmpeg.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]);
        let mut child = ffmpeg.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(cannot)?;
        let pixels = child.stdout.take().expect("it is piped");
        Ok(Frames { video: self.clone(), child: Guard(child), pixels, complaints, count: 0, ended: false })
    }
}

/// The frames of a video in order; the last item is an error where it ends otherwise than it should.
pub(crate) struct Frames {
    video: Video,
    child: Guard,
    pixels: ChildStdout,
    complaints: File,
    count: usize,
    ended: bool,
}

impl Iterator for Frames {
    type Item = Result<Picture, VideoError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let size = self.video.width * self.video.height * 3;
        let mut pixels = Vec::with_capacity(size);
        let read = self.pixels.by_ref().take(size as u64).read_to_end(&mut pixels);
        if read.is_ok() && pixels.len() == size {
            self.count += 1;
            return Some(Ok(Picture::new(self.video.width, self.video.height, pixels)
                .expect("a video's pictures have a size")));
        }
        self.ended = true;
        self.end(pixels.len()).err().map(Err)
    }
}

impl Frames {
    /// Whether the video ended as it should.
    fn end(&mut self, rest: usize) -> Result<(), VideoError> {
        let status = self.child.0.wait();
        let complaint = complaint(&self.complaints);
        let (path, frames) = (self.video.path.clone(), self.count);
        let damaged = |reason: String| match frames {
            0 => Err(VideoError::Unreadable { path: path.clone(), reason }),
            _ => Err(VideoError::Damaged { path: path.clone(), frames, reason }),
        };
        if !complaint.is_empty() {
            return damaged(complaint);
        }
        match self.video.frames {
            _ if rest > 0 => damaged("its last frame is not whole".into()),
            _ if !status.is_ok_and(|status| status.success()) => damaged("ffmpeg failed".into()),
            _ if frames == 0 => damaged("it has no frames".into()),
            // A duration only tells about how many there are.
            Some(told) if frames + told / 50 + 2 < told => damaged(format!("it should have {told}")),
            _ => Ok(()),
        }
    }
}

/// A video that is being written beside its place.
pub(crate) struct Writer {
    path: PathBuf,
    file: TempPath,
    child: Guard,
    pixels: Option<ChildStdin>,
    complaints: File,
}

impl Writer {
    /// For frames of the size and rate of `video`, whose sound it gets.
    pub(crate) fn create(path: &Path, video: &Video) -> Result<Self, VideoError> {
        let cannot = |error: io::Error| VideoError::Write { path: path.into(), reason: error.to_string() };
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(cannot)?;
        let mut suffix = std::ffi::OsString::from(".");
        suffix.push(path.extension().unwrap_or(OsStr::new("mkv")));
        let beside = tempfile::Builder::new().prefix(".effigy-").suffix(&suffix).tempfile_in(folder);
        let file_beside = beside.map_err(cannot)?.into_temp_path();

        let complaints = tempfile::tempfile().map_err(cannot)?;
        let mut ffmpeg = ffmpeg(&complaints).map_err(cannot)?;
        let size = format!("{}x{}", video.width, video.height);
        ffmpeg.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", &size, "-r", &video.rate(), "-i", "-"]);
        ffmpeg.arg("-i").arg(file(&video.path)).args(["-map", "0:v:0", "-map", "1:a?", "-c:a", "copy"]);
        // H.264 halves the resolution of colours, so that sides must be even.
        ffmpeg.args(["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p"]).args(codec());
        let child =
            ffmpeg.arg("-y").arg(file(&file_beside)).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let mut child = child.map_err(|error| missing(&video.path, "ffmpeg", &error))?;
        let pixels = child.stdin.take();
        Ok(Self { path: path.into(), file: file_beside, child: Guard(child), pixels, complaints })
    }

    /// Appends a frame.
    pub(crate) fn write(&mut self, frame: &Picture) -> Result<(), VideoError> {
        let pixels = self.pixels.as_mut().expect("it is open until it is finished");
        match pixels.write_all(frame.pixels()) {
            Ok(()) => Ok(()),
            Err(error) => {
                // Its own words say more than that the pipe is broken.
                let _ = self.child.0.wait();
                Err(self.error(error.to_string()))
            }
        }
    }

    /// Puts the file into its place.
    pub(crate) fn finish(mut self) -> Result<(), VideoError> {
        drop(self.pixels.take());
        match self.child.0.wait() {
            Ok(status) if status.success() => (),
            _ => return Err(self.error("ffmpeg failed".into())),
        }
        let share = File::open(&self.file).and_then(|file| crate::npy::share(&file));
        if let Err(error) = share {
            return Err(self.error(error.to_string()));
        }
        let Self { path, file, .. } = self;
        file.persist(&path).map_err(|error| VideoError::Write { path, reason: error.to_string() })
    }

    fn error(&self, otherwise: String) -> VideoError {
        let complaint = complaint(&self.complaints);
        let reason = if complaint.is_empty() { otherwise } else { complaint };
        VideoError::Write { path: self.path.clone(), reason }
    }
}

/// A program that does not outlive its guard.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An ffmpeg that says only what goes wrong, into a file: nobody has to read it for ffmpeg to go on.
fn ffmpeg(complaints: &File) -> io::Result<Command> {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-v", "error"]).stderr(complaints.try_clone()?);
    // Ctrl-C is for this process, which then ends the others.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    Ok(command)
}

/// H.264 where this ffmpeg has it, otherwise MPEG-4.
fn codec() -> [&'static str; 4] {
    let encoders = Command::new("ffmpeg").args(["-hide_banner", "-encoders"]).stdin(Stdio::null()).output();
    let has_h264 = encoders.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(" libx264 "));
    if has_h264 { ["-c:v", "libx264", "-crf", "20"] } else { ["-c:v", "mpeg4", "-q:v", "3"] }
}

/// A path as ffmpeg wants it: `file:` keeps it from being taken for an option or an address.
fn file(path: &Path) -> std::ffi::OsString {
    let mut name = std::ffi::OsString::from("file:");
    name.push(path);
    name
}

fn missing(path: &Path, program: &'static str, error: &io::Error) -> VideoError {
    match error.kind() {
        io::ErrorKind::NotFound => VideoError::NoFfmpeg { path: path.into(), program },
        _ => VideoError::Unreadable { path: path.into(), reason: format!("{program}: {error}") },
    }
}

/// The last thing that a program has said.
fn complaint(complaints: &File) -> String {
    use std::io::{Seek, SeekFrom};
    let (mut file, mut text) = (complaints, Vec::new());
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut text));
    read.map(|_| last_line(&text)).unwrap_or_default()
}

fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

/// `30000/1001`; nothing for `0/0`, by which ffprobe says that it does not know.
fn fraction(text: &str) -> Option<[u64; 2]> {
    let (above, below) = text.split_once('/')?;
    let (above, below) = (above.parse().ok()?, below.parse().ok()?);
    (above > 0 && below > 0).then_some([above, below])
}

/// What ffprobe answers.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    streams: Vec<Stream>,
    format: Format,
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    width: usize,
    #[serde(default)]
    height: usize,
    #[serde(default)]
    avg_frame_rate: String,
    #[serde(default)]
    r_frame_rate: String,
    nb_frames: Option<String>,
    duration: Option<String>,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Deserialize)]
struct SideData {
    rotation: Option<f64>,
}

#[derive(Deserialize)]
struct Format {
    duration: Option<String>,
}

impl Stream {
    /// Whether ffmpeg will turn it by a quarter.
    fn is_turned(&self) -> bool {
        let rotation = self.side_data_list.iter().find_map(|data| data.rotation).unwrap_or(0.0);
        (rotation / 90.0).round().rem_euclid(2.0) == 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn videos_are_told_by_extension_or_content() {
        assert!(is_video(Path::new("there/is/no.MP4")));
        assert!(!is_video(Path::new("there/is/no.jpg")) && !is_video(Path::new("there/is/no")));
        assert!(starts_a_video(b"\0\0\0 ftypisom") && !starts_a_video(b"\0\0\0 ftypavif"));
        assert!(starts_a_video(b"RIFF\0\0\0\0AVI ") && !starts_a_video(b"RIFF\0\0\0\0WEBP"));
    }

    #[test]
    fn names_and_rates() {
        assert_eq!(annotated_name(Path::new("a/b.MOV")), Path::new("a/b.MOV"));
        assert_eq!(annotated_name(Path::new("a/b.webm")), Path::new("a/b.webm.mkv"));
        assert_eq!(fraction("30000/1001"), Some([30000, 1001]));
        assert_eq!(fraction("0/0"), None);
        assert_eq!(last_line(b"first\nsecond \n\n"), "second");
    }
}
