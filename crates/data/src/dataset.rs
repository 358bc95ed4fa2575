//! A classification data set.

use std::path::{Path, PathBuf};

use crate::error::{Problem, ProblemKind};
use crate::list::List;
use crate::listing::{entries, pictures};
use crate::{DataError, OnProblem, Purpose, Random};

/// Names of the file that lists a folder's pictures and their classes.
const LABELS: [&str; 2] = ["labels.tsv", "labels.csv"];
/// Names that folders and columns have for the splits, each under the name that it has here.
const SPLITS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("val", &["val", "valid", "validation", "dev"]),
    ("test", &["test", "testing"]),
];

/// Pictures and their classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The folder.
    pub root: PathBuf,
    /// The pictures: in the order of the list, or by class and path.
    pub samples: Vec<Sample>,
    /// The classes' names in order, where the data set tells them: those of class folders, or of a list's column
    /// `label`.
    pub class_names: Option<Vec<String>>,
    /// What was left out; empty where the data set was opened with [`OnProblem::Refuse`].
    pub problems: Vec<Problem>,
}

/// One picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Where it is: the root and the path below it.
    pub path: PathBuf,
    /// Its class, from 0.
    pub class_index: usize,
}

/// A part of a data set, such as what is trained on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split<D> {
    /// Its name, such as `train`.
    pub name: String,
    /// What is in it.
    pub data: D,
}

/// How a data set without splits gets them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hold {
    /// Share of each class that is kept for validation, 0 to 1: one picture at least of a class that has two.
    pub share: f64,
    /// What the pictures are drawn from.
    pub seed: u64,
}

impl Dataset {
    /// Opens the data set at `path`, all of its splits as one: a list (CSV or TSV), a folder with a list
    /// `labels.tsv` or `labels.csv`, or a folder of class folders.
    ///
    /// # Errors
    /// [`DataError`]: an unreadable file, a malformed line, a picture that is not there, no pictures.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DataError> {
        let path = path.into();
        let dataset = match list_of(&path) {
            Some(list) => List::read(&list)?.dataset(OnProblem::Refuse)?,
            None => from_folders(&path)?,
        };
        dataset.some()
    }

    /// Opens the splits of the data set at `path`, `train` first:
    /// - those that a list's column `split` names;
    /// - or a folder's folders `train` and `val` or `test`, each with a list or class folders;
    /// - or, of a data set that has none, `train` alone, and with `hold` a part of it as `val`.
    ///
    /// All splits number their classes alike: of folders as `train` does.
    ///
    /// # Errors
    /// [`DataError`]: an unreadable file, no pictures to train on, and unless `policy` has them left out: a
    /// malformed line, a picture that is not there, a class of another split that `train` lacks.
    pub fn open_splits(
        path: impl AsRef<Path>,
        policy: OnProblem,
        hold: Option<Hold>,
    ) -> Result<Vec<Split<Self>>, DataError> {
        let path = path.as_ref();
        let mut splits = match list_of(path) {
            Some(list) => List::read(&list)?.splits(policy)?,
            None if path.join(SPLITS[0].0).is_dir() || path.join(SPLITS[0].1[1]).is_dir() => {
                split_folders(path, policy)?
            }
            None => vec![Split { name: SPLITS[0].0.into(), data: from_folders(path)? }],
        };
        if splits.first().is_none_or(|train| train.name != SPLITS[0].0 || train.data.samples.is_empty()) {
            return Err(DataError::Empty { path: path.into() });
        }
        if let (Some(hold), 1) = (hold, splits.len()) {
            let [train, val] = splits.remove(0).data.held(hold);
            let split = |(name, _): (&str, _), data| Split { name: name.into(), data };
            splits = vec![split(SPLITS[0], train), split(SPLITS[1], val)];
        }
        Ok(splits)
    }

    /// How many classes there are: as many as have names, or up to the largest number.
    #[must_use]
    pub fn classes(&self) -> usize {
        let numbered = self.samples.iter().map(|sample| sample.class_index + 1).max().unwrap_or(0);
        self.class_names.as_ref().map_or(0, Vec::len).max(numbered)
    }

    /// The data set, if it has pictures.
    fn some(self) -> Result<Self, DataError> {
        if self.samples.is_empty() { Err(DataError::Empty { path: self.root }) } else { Ok(self) }
    }

    /// What is left, and what is kept for validation: drawn class by class.
    fn held(self, Hold { share, seed }: Hold) -> [Self; 2] {
        let mut kept = vec![false; self.samples.len()];
        for class in 0..self.classes() {
            let own = self.samples.iter().enumerate().filter(|(_, sample)| sample.class_index == class);
            let own: Vec<usize> = own.map(|(index, _)| index).collect();
            let least = usize::from(own.len() > 1 && share > 0.0);
            let most = own.len().saturating_sub(1).max(least);
            let count = ((own.len() as f64 * share).round() as usize).clamp(least, most);
            let order = Random::new(Purpose::Split, [seed, class as u64, 0]).shuffled(own.len());
            order[..count.min(own.len())].iter().for_each(|&index| kept[own[index]] = true);
        }
        let part = |wanted: bool, problems: Vec<Problem>| {
            let samples = self.samples.iter().zip(&kept).filter(|(_, kept)| **kept == wanted);
            let samples = samples.map(|(sample, _)| sample.clone()).collect();
            let (root, class_names) = (self.root.clone(), self.class_names.clone());
            Self { root, samples, class_names, problems }
        };
        [part(false, self.problems.clone()), part(true, Vec::new())]
    }
}

/// The name that a split goes by here; its own, in lower case, where that is none of the usual ones.
pub(crate) fn split_name(name: &str) -> String {
    let name = name.trim().to_lowercase();
    let known = SPLITS.iter().find(|(_, names)| names.contains(&name.as_str()));
    known.map_or(name, |(known, _)| (*known).to_owned())
}

/// The list that `path` is or holds.
fn list_of(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.into());
    }
    LABELS.iter().map(|name| path.join(name)).find(|list| list.exists())
}

/// The splits in folders of their own.
fn split_folders(root: &Path, policy: OnProblem) -> Result<Vec<Split<Dataset>>, DataError> {
    let mut splits: Vec<Split<Dataset>> = Vec::new();
    for (name, names) in SPLITS {
        let Some(folder) = names.iter().map(|name| root.join(name)).find(|folder| folder.is_dir()) else {
            continue;
        };
        let trained = splits.first().and_then(|train| train.data.class_names.clone());
        let mut data = match list_of(&folder) {
            Some(list) => List::read(&list)?.dataset(policy)?,
            None => from_folders(&folder)?,
        };
        if let (Some(trained), Some(own)) = (trained, data.class_names.clone()) {
            data = renumbered(data, &own, trained, policy)?;
        }
        splits.push(Split { name: name.into(), data });
    }
    Ok(splits)
}

/// A data set whose classes are numbered as those of another; pictures of classes that it lacks are left out.
fn renumbered(
    data: Dataset,
    own: &[String],
    trained: Vec<String>,
    policy: OnProblem,
) -> Result<Dataset, DataError> {
    let number: Vec<Option<usize>> =
        own.iter().map(|name| trained.iter().position(|known| known == name)).collect();
    let mut problems = data.problems;
    let mut samples = Vec::with_capacity(data.samples.len());
    for sample in data.samples {
        match number[sample.class_index] {
            Some(class_index) => samples.push(Sample { class_index, ..sample }),
            None => {
                let kind = ProblemKind::UnknownCategory(own[sample.class_index].clone());
                let problem = Problem { path: sample.path, place: String::new(), kind };
                if policy == OnProblem::Refuse {
                    return Err(DataError::Problem(problem));
                }
                problems.push(problem);
            }
        }
    }
    Ok(Dataset { root: data.root, samples, class_names: Some(trained), problems })
}

fn from_folders(root: &Path) -> Result<Dataset, DataError> {
    let (folders, _) = entries(root)?;
    let (mut samples, mut names) = (Vec::new(), Vec::new());
    for (class_index, folder) in folders.iter().enumerate() {
        names.extend(folder.file_name().map(|name| name.to_string_lossy().into_owned()));
        samples.extend(pictures(folder)?.into_iter().map(|path| Sample { path, class_index }));
    }
    Ok(Dataset { root: root.into(), samples, class_names: Some(names), problems: Vec::new() })
}
