//! What is wrong with a data set, before an hour is lost to it.

mod classification;
mod detection;
mod finding;
mod pictures;

use effigy_arch::EfficientDet;

pub use classification::classification;
pub use detection::{AnchorSummary, detection};
pub use finding::{Check, Finding, Severity};

use finding::Findings;

/// What was found in a data set.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// What is wrong, the most serious first, then by check, split and place.
    pub findings: Vec<Finding>,
    /// What there is.
    pub splits: Vec<SplitSummary>,
    /// The names of the classes; a class without one is called by its number.
    pub classes: Vec<String>,
    /// How a detector's anchors fit, for each split.
    pub anchors: Vec<AnchorSummary>,
}

/// What a split holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitSummary {
    /// The split's name.
    pub name: String,
    /// Its pictures.
    pub pictures: usize,
    /// Its objects; of a classification data set none.
    pub objects: usize,
    /// Pictures or objects of each class.
    pub per_class: Vec<usize>,
}

/// How a data set is examined.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The detector whose anchors and input size are looked at.
    pub detector: Option<EfficientDet>,
    /// Threads that read pictures.
    pub threads: usize,
}

impl Diagnosis {
    /// Whether anything is wrong: a finding that is more than a note.
    #[must_use]
    pub fn has_problems(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity() > Severity::Note)
    }
}

/// Classes whose numbers differ by more than this factor are told of.
const IMBALANCE: usize = 20;

/// Tells of classes that have few of what `counted` names (such as `objects`) in comparison with others.
fn balance(findings: &mut Findings, summary: &SplitSummary, classes: &[String], counted: &str) {
    let counts = summary.per_class.iter().zip(classes);
    let (most, most_name) = counts.clone().max().map_or((0, ""), |(&count, name)| (count, name));
    for (&count, name) in counts {
        if count > 0 && most / count >= IMBALANCE {
            let message = format!(
                "{counted} of class {name}: {count}, of class {most_name}: {most}, {} times as many",
                most / count
            );
            findings.of_split(Check::Imbalance, &summary.name, message);
        }
    }
}

/// Tells of a class of one split that another lacks.
fn same_classes(findings: &mut Findings, splits: &[SplitSummary], classes: &[String]) {
    let Some(train) = splits.first() else { return };
    for other in &splits[1..] {
        for (class, name) in classes.iter().enumerate() {
            match (train.per_class[class], other.per_class[class]) {
                (0, 1..) => {
                    let message = format!("class {name} is in {}, but not in {}", other.name, train.name);
                    findings.of_split(Check::Untrained, &other.name, message);
                }
                (1.., 0) => {
                    let message = format!("class {name} is in {}, but not in {}", train.name, other.name);
                    findings.of_split(Check::Unmeasured, &other.name, message);
                }
                _ => {}
            }
        }
    }
}
