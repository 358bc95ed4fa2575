//! The names of classes.

use std::path::Path;
use std::sync::Arc;

use crate::Error;

/// ImageNet-1k's 1000 classes.
static IMAGENET: &str = include_str!("../assets/imagenet_labels.txt");
/// COCO's 80 categories in 90 slots.
static COCO: &str = include_str!("../assets/coco_labels.txt");

/// The names of a network's classes, in their order; perhaps unknown. A class that stands for nothing has
/// an empty name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Arc<[String]>);

impl Labels {
    /// ImageNet-1k's.
    #[must_use]
    pub fn imagenet() -> Self {
        IMAGENET.lines().map(str::to_owned).collect()
    }

    /// COCO's, by category: class `i` is the category of id `i + 1`, so that 80 of the 90 are named and
    /// the rest are empty.
    #[must_use]
    pub fn coco() -> Self {
        COCO.lines().map(str::to_owned).collect()
    }

    /// One label a line; spaces around it and empty lines at the end are left out.
    ///
    /// # Errors
    /// When the file cannot be read as UTF-8.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Labels { path: path.to_owned(), source })?;
        Ok(text.trim_end().lines().map(|line| line.trim().to_owned()).collect())
    }

    /// The label of a class: `class 17` where it is unknown or empty.
    #[must_use]
    pub fn get(&self, class_index: usize) -> String {
        let known = self.0.get(class_index).filter(|label| !label.is_empty());
        known.cloned().unwrap_or_else(|| format!("class {class_index}"))
    }

    /// The class of a label, whatever its case.
    #[must_use]
    pub fn find(&self, label: &str) -> Option<usize> {
        self.0.iter().position(|known| !known.is_empty() && known.eq_ignore_ascii_case(label))
    }

    /// Every label in the order of the classes; none where they are unknown.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// Checks that there is a label for each of `classes`; unknown labels fit any number.
    ///
    /// # Errors
    /// [`Error::LabelCount`] where there is not.
    pub fn check(&self, classes: usize) -> Result<(), Error> {
        match self.0.len() {
            0 => Ok(()),
            labels if labels == classes => Ok(()),
            labels => Err(Error::LabelCount { labels, classes }),
        }
    }
}

impl FromIterator<String> for Labels {
    fn from_iter<I: IntoIterator<Item = String>>(labels: I) -> Self {
        Self(labels.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imagenet_has_1000_labels() {
        let labels = Labels::imagenet();
        assert!(labels.check(1000).is_ok());
        assert_eq!(labels.get(0), "tench");
        assert_eq!(labels.get(285), "Egyptian cat");
        assert_eq!(labels.get(999), "toilet tissue");
    }

    #[test]
    fn coco_has_80_labels_in_90_slots() {
        let labels = Labels::coco();
        assert!(labels.check(90).is_ok());
        assert_eq!(labels.as_slice().iter().filter(|label| !label.is_empty()).count(), 80);
        assert_eq!(
            (labels.get(0), labels.get(11), labels.get(89)),
            ("person".into(), "class 11".into(), "toothbrush".into())
        );
        assert_eq!(
            (labels.find("Stop Sign"), labels.find("street sign"), labels.find("")),
            (Some(12), None, None)
        );
    }

    #[test]
    fn other_counts_are_refused_and_unknown_labels_are_numbered() {
        assert!(matches!(Labels::imagenet().check(10), Err(Error::LabelCount { labels: 1000, classes: 10 })));
        assert!(Labels::default().check(7).is_ok());
        assert_eq!(Labels::default().get(6), "class 6");
    }
}
