//! What can be found, how serious it is and what to do about it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::{LineProblem, Problem, ProblemKind};

/// How serious something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Note,
    /// It may make a network worse than it could be.
    Warning,
    /// Training would fail, leave it out, or learn or measure something wrong.
    Error,
}

/// Something that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// A picture that cannot be decoded.
    Unreadable,
    /// A picture or annotation file that is named, but not there.
    Missing,
    /// An annotation or line that cannot be understood.
    Malformed,
    /// A split without pictures.
    EmptySplit,
    /// A picture of another size than annotated.
    OtherSize,
    /// A class that is not in the table of classes.
    UnknownCategory,
    /// A box without area in its picture.
    DegenerateBox,
    /// Classes whose names differ in case or spaces only.
    SimilarNames,
    /// A split whose table of classes is another.
    OtherClasses,
    /// The same picture in two splits.
    Leak,
    /// The same picture under two classes.
    Conflict,
    /// A class that is measured, but not trained.
    Untrained,
    /// A class of which there is nothing at all.
    EmptyClass,
    /// The same picture twice in a split.
    Duplicate,
    /// The same box twice in a picture.
    DuplicateBox,
    /// A box that reaches outside its picture.
    CutBox,
    /// A box that is tiny at the network's input size.
    TinyBox,
    /// A box that no anchor will learn.
    LostBox,
    /// Class numbers that look shifted by one.
    ShiftedNumbers,
    /// A class that is trained, but not measured.
    Unmeasured,
    /// A class with much less than others.
    Imbalance,
    /// A box whose best anchor overlaps it too little.
    ForcedBox,
    /// Class numbers with gaps.
    Gaps,
    /// A picture that its file asks to be turned.
    Turned,
    /// A picture without objects.
    WithoutObjects,
    /// A picture in the folder that no list names.
    Unlisted,
    /// A box around a crowd.
    Crowd,
}

impl Check {
    /// How serious a finding of this kind is.
    #[must_use]
    pub fn severity(self) -> Severity {
        use Check::*;
        match self {
            Unreadable | Missing | Malformed | EmptySplit | OtherSize | UnknownCategory | DegenerateBox
            | SimilarNames | OtherClasses | Leak | Conflict | Untrained | EmptyClass => Severity::Error,
            Duplicate | DuplicateBox | CutBox | TinyBox | LostBox | ShiftedNumbers | Unmeasured => {
                Severity::Warning
            }
            Imbalance | ForcedBox | Gaps | Turned | WithoutObjects | Unlisted | Crowd => Severity::Note,
        }
    }

    /// A name for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable-picture",
            Self::Missing => "missing-file",
            Self::Malformed => "malformed-annotation",
            Self::EmptySplit => "empty-split",
            Self::OtherSize => "other-size",
            Self::UnknownCategory => "unknown-category",
            Self::DegenerateBox => "degenerate-box",
            Self::SimilarNames => "similar-names",
            Self::OtherClasses => "other-classes",
            Self::Leak => "picture-in-two-splits",
            Self::Conflict => "picture-of-two-classes",
            Self::Untrained => "untrained-class",
            Self::EmptyClass => "empty-class",
            Self::Duplicate => "duplicate-picture",
            Self::DuplicateBox => "duplicate-box",
            Self::CutBox => "box-partly-outside",
            Self::TinyBox => "tiny-box",
            Self::LostBox => "box-without-anchor",
            Self::ShiftedNumbers => "shifted-numbers",
            Self::Unmeasured => "unmeasured-class",
            Self::Imbalance => "imbalance",
            Self::ForcedBox => "box-of-forced-anchor",
            Self::Gaps => "gaps-in-numbers",
            Self::Turned => "orientation-flag",
            Self::WithoutObjects => "picture-without-objects",
            Self::Unlisted => "unlisted-picture",
            Self::Crowd => "crowd-box",
        }
    }

    /// What was found, for a heading.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Unreadable => "pictures that cannot be read",
            Self::Missing => "files that are named, but not there",
            Self::Malformed => "annotations that cannot be understood",
            Self::EmptySplit => "splits without pictures",
            Self::OtherSize => "pictures of another size than annotated",
            Self::UnknownCategory => "objects of unknown classes",
            Self::DegenerateBox => "boxes without area in their picture",
            Self::SimilarNames => "classes whose names are nearly the same",
            Self::OtherClasses => "splits with another table of classes",
            Self::Leak => "pictures in two splits",
            Self::Conflict => "pictures under two classes",
            Self::Untrained => "classes that are measured, but not trained",
            Self::EmptyClass => "classes without anything",
            Self::Duplicate => "pictures that are there twice",
            Self::DuplicateBox => "boxes that are there twice",
            Self::CutBox => "boxes that reach outside their picture",
            Self::TinyBox => "boxes that are tiny at the network's input size",
            Self::LostBox => "boxes that no anchor will learn",
            Self::ShiftedNumbers => "class numbers that look shifted by one",
            Self::Unmeasured => "classes that are trained, but not measured",
            Self::Imbalance => "classes with far less than others",
            Self::ForcedBox => "boxes that overlap no anchor by half",
            Self::Gaps => "gaps in the classes' numbers",
            Self::Turned => "pictures that their files ask to be turned or mirrored",
            Self::WithoutObjects => "pictures without objects",
            Self::Unlisted => "pictures that nothing lists",
            Self::Crowd => "boxes around crowds",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Unreadable => "fetch or export them again, or take them off the data set",
            Self::Missing => "put them there, or take them off the list",
            Self::Malformed => "mend or export them again; until then they are left out",
            Self::EmptySplit => {
                "there is nothing to learn from, or to measure with: look at the paths and lists"
            }
            Self::OtherSize => {
                "boxes would be in the wrong places: annotate the picture that is there; if width and height are \
                 exchanged, the picture was annotated without heeding its orientation flag"
            }
            Self::UnknownCategory => "add the class to the table of classes, or mend the number or name",
            Self::DegenerateBox => "draw them again; until then they are left out",
            Self::SimilarNames => "they would be learnt as different classes: give them one name",
            Self::OtherClasses => {
                "what is learnt is measured under other numbers: give all splits the same table"
            }
            Self::Leak => "measured on them, a network looks better than it is: keep them in one split only",
            Self::Conflict => "a network cannot learn both: keep the right one",
            Self::Untrained => "they can never be found: look at the names, or move pictures of them",
            Self::EmptyClass => "take the class off the table, or add pictures of it",
            Self::Duplicate => "they count twice: remove one",
            Self::DuplicateBox => {
                "they count twice, and hide each other when detections are judged: remove one"
            }
            Self::CutBox => "they are cut at the edge; by more than a pixel or so, look at them",
            Self::TinyBox => {
                "hardly anything of them is left to see: a larger input (a larger model, or --size), or smaller \
                 pieces of the pictures, would help"
            }
            Self::LostBox => {
                "their best anchor learns another box: a larger input or `effigy anchors` would help, unless \
                 they are doubly annotated"
            }
            Self::ShiftedNumbers => "look at whether numbers begin at 0 or 1, and whether names fit",
            Self::Unmeasured => "nobody will know how well they are learnt: add pictures of them",
            Self::Imbalance => "add pictures, or give these classes more weight",
            Self::ForcedBox => {
                "only their best anchor learns them, whatever the overlap: `effigy anchors` fits anchors to boxes"
            }
            Self::Gaps => "nothing to do: effigy numbers classes by their order, but other programs may not",
            Self::Turned => "nothing to do: effigy turns them upright, but other programs may not",
            Self::WithoutObjects => "nothing to do if it is so: they teach what is none",
            Self::Unlisted => "nothing is learnt from them: list them, if they belong to the data set",
            Self::Crowd => "nothing to do: they are neither learnt nor judged",
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked for.
    pub check: Check,
    /// The split.
    pub split: String,
    /// The file; empty where it is about the split as a whole.
    pub path: PathBuf,
    /// Where in the file, such as `line 12`; empty for the whole of it.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

impl Finding {
    /// How serious it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.check.severity()
    }
}

/// Collects findings.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(
        &mut self,
        check: Check,
        split: &str,
        path: &Path,
        place: impl Into<String>,
        message: impl Into<String>,
    ) {
        self.0.push(Finding {
            check,
            split: split.into(),
            path: path.into(),
            place: place.into(),
            message: message.into(),
        });
    }

    /// About a split as a whole.
    pub(super) fn of_split(&mut self, check: Check, split: &str, message: impl Into<String>) {
        self.add(check, split, Path::new(""), "", message);
    }

    /// What was skipped when the data set was read.
    pub(super) fn problem(&mut self, split: &str, problem: &Problem) {
        let check = match &problem.kind {
            ProblemKind::UnknownCategory(_) => Check::UnknownCategory,
            ProblemKind::NoPicture(_)
            | ProblemKind::NoAnnotations(_)
            | ProblemKind::Line(LineProblem::NoPicture(_)) => Check::Missing,
            ProblemKind::DuplicatePicture(_) => Check::Duplicate,
            ProblemKind::DegenerateBox(_) => Check::DegenerateBox,
            ProblemKind::OtherSize { .. } => Check::OtherSize,
            ProblemKind::Picture(_) => Check::Unreadable,
            _ => Check::Malformed,
        };
        self.add(check, split, &problem.path, problem.place.clone(), problem.kind.to_string());
    }

    /// All findings, the most serious first; those of a check stay in their order. What several splits tell of
    /// the same place is told once.
    pub(super) fn sorted(self) -> Vec<Finding> {
        let mut told = HashSet::new();
        let key = |finding: &Finding| {
            let Finding { check, path, place, message, .. } = finding;
            (*check, path.clone(), place.clone(), message.clone())
        };
        let mut findings = self.0;
        findings.retain(|finding| finding.path.as_os_str().is_empty() || told.insert(key(finding)));
        findings.sort_by_key(|finding| finding.check);
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_ordered_by_severity() {
        let mut findings = Findings::default();
        for check in [Check::Crowd, Check::TinyBox, Check::Unreadable, Check::Leak, Check::Imbalance] {
            findings.of_split(check, "train", "");
        }
        let order: Vec<Check> = findings.sorted().iter().map(|finding| finding.check).collect();
        assert_eq!(order, [Check::Unreadable, Check::Leak, Check::TinyBox, Check::Imbalance, Check::Crowd]);
        assert!(order.windows(2).all(|pair| pair[0].severity() >= pair[1].severity()));
    }
}
