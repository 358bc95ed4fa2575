//! The pictures of a run: those to learn from, and those to judge by.

use std::path::Path;

use effigy_data::{
    AnnotatedPicture, Category, Dataset, DetectionDataset, Hold, Problem, Purpose, Random, Sample,
};

use crate::{Config, TrainError};

/// A run's pictures.
#[derive(Clone, Debug)]
pub(crate) enum Pictures {
    Classification(Split<Sample>),
    Detection(Split<AnnotatedPicture>),
}

/// Pictures to learn from and to judge by, and their classes.
#[derive(Clone, Debug)]
pub(crate) struct Split<P> {
    pub(crate) train: Vec<P>,
    pub(crate) val: Vec<P>,
    /// The classes' names; numbers where the data does not tell them.
    pub(crate) labels: Vec<String>,
    /// What was left out when the data was opened.
    pub(crate) problems: Vec<Problem>,
}

impl Pictures {
    pub(crate) fn open(config: &Config, detector: bool) -> Result<Self, TrainError> {
        if config.data.as_os_str().is_empty() {
            return Err(TrainError::conflict("no data is given: say which by `data`"));
        }
        Ok(if detector {
            Self::Detection(detection(config)?)
        } else {
            Self::Classification(classification(config)?)
        })
    }

    pub(crate) fn labels(&self) -> &[String] {
        match self {
            Self::Classification(split) => &split.labels,
            Self::Detection(split) => &split.labels,
        }
    }

    pub(crate) fn problems(&self) -> &[Problem] {
        match self {
            Self::Classification(split) => &split.problems,
            Self::Detection(split) => &split.problems,
        }
    }

    /// How many there are to learn from and to judge by.
    pub(crate) fn counts(&self) -> [usize; 2] {
        match self {
            Self::Classification(split) => [split.train.len(), split.val.len()],
            Self::Detection(split) => [split.train.len(), split.val.len()],
        }
    }

    /// A number that changes with any name, order, class or box.
    pub(crate) fn fingerprint(&self) -> u32 {
        let hash = |hash: u32, text: &str| crc32c::crc32c_append(hash, text.as_bytes());
        let named = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let all = self.labels().iter().fold(0, |all, label| hash(all, label));
        match self {
            Self::Classification(split) => (split.train.iter().chain(&split.val)).fold(all, |all, sample| {
                hash(all, &format!("{} {}", named(&sample.path), sample.class_index))
            }),
            Self::Detection(split) => (split.train.iter().chain(&split.val)).fold(all, |all, picture| {
                hash(all, &format!("{} {:?}", named(&picture.path), picture.objects))
            }),
        }
    }
}

fn classification(config: &Config) -> Result<Split<Sample>, TrainError> {
    let policy = config.on_problem;
    let Some(path) = &config.val_data else {
        share(config)?;
        let hold = Hold { share: config.val_share, seed: config.seed };
        let mut splits = Dataset::open_splits(&config.data, policy, Some(hold))?.into_iter();
        let train = splits.next().map(|split| split.data);
        // Folders may have a split to test on alone.
        let others: Vec<_> = splits.collect();
        let val = others.iter().find(|split| split.name == "val").or(others.first());
        return match (train, val.map(|split| split.data.clone())) {
            (Some(train), Some(val)) if !val.samples.is_empty() => Ok(together(train, val)),
            _ => Err(TrainError::conflict("there are no pictures to judge by; give them by `val_data`")),
        };
    };
    let mut train = Dataset::open_splits(&config.data, policy, None)?;
    let train = train.swap_remove(0).data;
    let mut val = Dataset::open(path)?;
    if let (Some(known), Some(own)) = (&train.class_names, &val.class_names) {
        let unknown = own.iter().find(|name| !known.contains(name));
        if let Some(name) = unknown {
            return Err(TrainError::conflict(format!(
                "{}: the class `{name}` is not among those of {}",
                path.display(),
                config.data.display()
            )));
        }
        let numbers: Vec<usize> =
            own.iter().filter_map(|name| known.iter().position(|known| known == name)).collect();
        val.samples.iter_mut().for_each(|sample| sample.class_index = numbers[sample.class_index]);
    }
    Ok(together(train, val))
}

/// Both parts of a data set whose classes are numbered alike.
fn together(train: Dataset, val: Dataset) -> Split<Sample> {
    let largest = val.samples.iter().map(|sample| sample.class_index + 1).max().unwrap_or(0);
    let classes = train.classes().max(largest);
    let numbers = || (0..classes).map(|class| class.to_string()).collect();
    let labels = train.class_names.filter(|names| names.len() >= classes).unwrap_or_else(numbers);
    let problems = [train.problems, val.problems].concat();
    Split { train: train.samples, val: val.samples, labels, problems }
}

fn detection(config: &Config) -> Result<Split<AnnotatedPicture>, TrainError> {
    let policy = config.on_problem;
    let open = |data: &Path, images: Option<&Path>, split: Option<&str>, names: Option<&[String]>| {
        if data.is_dir() {
            return Ok(DetectionDataset::from_voc(data, split, names, policy)?);
        }
        let images = images.ok_or_else(|| {
            TrainError::conflict(format!(
                "{}: COCO's JSON names its pictures only; give their folder by `images`",
                data.display()
            ))
        })?;
        Ok::<_, TrainError>(DetectionDataset::from_coco(data, images, policy)?)
    };
    let train = open(&config.data, config.images.as_deref(), config.split.as_deref(), None)?;
    let name = |category: &Category| category.name.clone();
    let labels: Vec<String> = train.categories.iter().map(name).collect();
    let mut problems = train.problems;
    if config.val_data.is_none() && config.val_split.is_none() {
        // A picture counts as of its first object's class.
        let class = |picture: &AnnotatedPicture| {
            picture.objects.first().map_or(labels.len(), |object| object.class_index)
        };
        let (train, val) = shared_out(train.pictures, class, config)?;
        return Ok(Split { train, val, labels, problems });
    }
    let data = config.val_data.as_deref().unwrap_or(&config.data);
    let images = config.val_images.as_deref().or(config.images.as_deref());
    let val = open(data, images, config.val_split.as_deref(), Some(&labels))?;
    let own: Vec<String> = val.categories.iter().map(name).collect();
    if own != labels {
        return Err(TrainError::conflict(format!(
            "{}: its classes ({}) are not those of {} ({})",
            data.display(),
            own.join(", "),
            config.data.display(),
            labels.join(", ")
        )));
    }
    problems.extend(val.problems);
    Ok(Split { train: train.pictures, val: val.pictures, labels, problems })
}

/// The share that is kept to judge by.
fn share(config: &Config) -> Result<f64, TrainError> {
    let share = config.val_share;
    if share > 0.0 && share < 1.0 {
        return Ok(share);
    }
    Err(TrainError::conflict(format!(
        "val_share is {share}: pictures to judge by are needed; give `val_data`, or a share between 0 and 1"
    )))
}

/// Keeps a share of each class to judge by, drawn from the seed; at least one picture in all.
fn shared_out<P>(
    pictures: Vec<P>,
    class: impl Fn(&P) -> usize,
    config: &Config,
) -> Result<(Vec<P>, Vec<P>), TrainError> {
    let share = share(config)?;
    let order = Random::new(Purpose::Split, [config.seed, 0, 0]).shuffled(pictures.len());
    let mut seen: Vec<usize> = Vec::new();
    let mut kept = vec![false; pictures.len()];
    for &index in &order {
        let class = class(&pictures[index]);
        seen.resize(seen.len().max(class + 1), 0);
        // The n-th of a class is kept where n times the share reaches the next half.
        let before = (seen[class] as f64 * share).round();
        seen[class] += 1;
        kept[index] = (seen[class] as f64 * share).round() > before;
    }
    if let (false, Some(&first)) = (kept.contains(&true), order.first()) {
        kept[first] = true;
    }
    let (mut train, mut val) = (Vec::new(), Vec::new());
    for (picture, kept) in pictures.into_iter().zip(kept) {
        if kept { val.push(picture) } else { train.push(picture) }
    }
    if train.is_empty() {
        return Err(TrainError::conflict("there are no pictures left to learn from"));
    }
    Ok((train, val))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_gives_its_share() {
        let config = Config { val_share: 0.2, ..Config::default() };
        let samples: Vec<usize> = (0..100).map(|i| usize::from(i >= 50) + usize::from(i >= 90)).collect();
        let (train, val) = shared_out(samples, |&class| class, &config).unwrap();
        let count = |class| val.iter().filter(|&&other| other == class).count();
        assert_eq!((train.len(), count(0), count(1), count(2)), (80, 10, 8, 2));
        let (train, val) = shared_out(vec![0, 0], |&class| class, &config).unwrap();
        assert_eq!((train.len(), val.len()), (1, 1));
        assert!(shared_out(vec![0], |&class| class, &config).is_err());
        assert!(shared_out(vec![0; 9], |&class| class, &Config { val_share: 0.0, ..config }).is_err());
    }
}
