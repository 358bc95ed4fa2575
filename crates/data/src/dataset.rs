//! A classification data set.

use std::fs;
use std::path::{Path, PathBuf};

use crate::DataError;
use crate::error::LineProblem;
use crate::listing::{entries, pictures};

/// Name of the file that lists a folder's pictures and their classes.
const LABELS: &str = "labels.tsv";

/// Pictures and their classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The folder.
    pub root: PathBuf,
    /// The pictures: in the order of `labels.tsv`, or by class and path.
    pub samples: Vec<Sample>,
    /// The classes' names in order, where the folder tells them: those of class folders.
    pub class_names: Option<Vec<String>>,
}

/// One picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Where it is: the root and the path below it.
    pub path: PathBuf,
    /// Its class, from 0.
    pub class_index: usize,
}

impl Dataset {
    /// Opens the data set in `root`: by its `labels.tsv` where it has one, else by its class folders.
    ///
    /// # Errors
    /// [`DataError`]: an unreadable file, a malformed line, a picture that is not there, no pictures.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, DataError> {
        let root = root.into();
        let labels = root.join(LABELS);
        let (samples, class_names) = if labels.exists() {
            (from_labels(&root, &labels)?, None)
        } else {
            let (samples, names) = from_folders(&root)?;
            (samples, Some(names))
        };
        if samples.is_empty() {
            return Err(DataError::Empty { path: root });
        }
        Ok(Self { root, samples, class_names })
    }
}

fn from_labels(root: &Path, labels: &Path) -> Result<Vec<Sample>, DataError> {
    let text =
        fs::read_to_string(labels).map_err(|source| DataError::Read { path: labels.into(), source })?;
    let mut lines = text.lines().enumerate();
    // A byte order mark is what spreadsheets put before the first name.
    let header = lines.next().map_or("", |(_, line)| line).trim_start_matches('\u{feff}');
    let columns: Vec<&str> = header.split('\t').map(str::trim).collect();
    let column = |name: &'static str| {
        let missing = || DataError::MissingColumn { path: labels.into(), column: name };
        columns.iter().position(|&column| column == name).ok_or_else(missing)
    };
    let (file_column, class_column) = (column("file")?, column("class_index")?);

    let mut samples = Vec::new();
    for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        let sample = sample(root, &fields, columns.len(), file_column, class_column);
        samples.push(sample.map_err(|problem| DataError::Line {
            path: labels.into(),
            line: index + 1,
            problem,
        })?);
    }
    Ok(samples)
}

fn sample(
    root: &Path,
    fields: &[&str],
    expected: usize,
    file_column: usize,
    class_column: usize,
) -> Result<Sample, LineProblem> {
    if fields.len() < expected {
        return Err(LineProblem::Fields { found: fields.len(), expected });
    }
    let class = fields[class_column];
    let class_index = class.parse().map_err(|_| LineProblem::Class(class.into()))?;
    let path = root.join(fields[file_column]);
    if !path.is_file() {
        return Err(LineProblem::NoPicture(path));
    }
    Ok(Sample { path, class_index })
}

fn from_folders(root: &Path) -> Result<(Vec<Sample>, Vec<String>), DataError> {
    let (folders, _) = entries(root)?;
    let (mut samples, mut names) = (Vec::new(), Vec::new());
    for (class_index, folder) in folders.iter().enumerate() {
        names.extend(folder.file_name().map(|name| name.to_string_lossy().into_owned()));
        samples.extend(pictures(folder)?.into_iter().map(|path| Sample { path, class_index }));
    }
    Ok((samples, names))
}
