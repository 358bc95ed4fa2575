//! A detection data set.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use effigy_arch::EfficientDet;
use effigy_vision::{InputBox, PixelBox};

use super::finding::Findings;
use super::pictures::{Compared, Look, duplicates, look, readable};
use super::{Check, Diagnosis, Examination, SplitSummary, balance, same_classes};
use crate::anchors::{AnchorGrid, BoxMatch, input_boxes};
use crate::{
    AnnotatedPicture, Category, DataError, DetectionDataset, Object, Problem, ProblemKind, Split, pictures,
};

/// Sides of a box, in pixels of the network's input, below which it is tiny: half a cell of the finest level.
const TINY: f32 = 4.0;
/// Boxes may reach so far outside their picture, in pixels, before anybody is told: the rounding of annotations.
const ROUNDING: f32 = 0.01;

/// How a detector's anchors fit the boxes of a split, as its training assigns them.
#[derive(Clone, Debug, PartialEq)]
pub struct AnchorSummary {
    /// The split.
    pub split: String,
    /// Boxes that are learnt from: all but those of crowds.
    pub boxes: usize,
    /// Those that some anchor overlaps by half or more.
    pub matched: usize,
    /// Those that none does, so that only their best anchor learns them.
    pub forced: usize,
    /// Those that no anchor learns, because their best one learns another box.
    pub lost: usize,
    /// Mean of every box's best overlap.
    pub mean_best: f64,
    /// How many boxes are learnt by so many anchors, by number: 0, 1, …, the last for that many and more.
    pub by_anchors: [usize; 10],
}

/// Examines a detection data set; its first split is what is trained on. All splits have the same classes. `done`
/// is called after each picture. `folders` are where pictures are looked for that nothing lists.
///
/// # Errors
/// [`DataError::Read`] where a folder cannot be listed.
pub fn detection(
    splits: &[Split<DetectionDataset>],
    folders: &[PathBuf],
    examination: &Examination,
    mut done: impl FnMut(),
) -> Result<Diagnosis, DataError> {
    let mut findings = Findings::default();
    let categories = splits.first().map_or(&[][..], |split| &split.data.categories);
    let classes: Vec<String> = categories.iter().map(|category| category.name.clone()).collect();
    let mut summaries = Vec::new();
    let mut looks = Vec::new();
    for Split { name, data } in splits {
        for problem in &data.problems {
            findings.problem(name, problem);
        }
        if data.pictures.is_empty() {
            findings.of_split(Check::EmptySplit, name, "it has no annotated pictures");
        }
        let objects = || data.pictures.iter().flat_map(|picture| &picture.objects);
        if data.categories != categories {
            let words = |categories: &[Category]| {
                categories.iter().map(|c| format!("{} {}", c.id, c.name)).collect::<Vec<_>>().join(", ")
            };
            let message = format!("{}; not {}", words(&data.categories), words(categories));
            findings.of_split(Check::OtherClasses, name, message);
        }
        // By name: where the tables differ, the same class has two indices.
        let index =
            |object: &Object| classes.iter().position(|c| *c == data.categories[object.class_index].name);
        let mut per_class = vec![0; classes.len()];
        objects().filter_map(index).for_each(|class| per_class[class] += 1);
        summaries.push(SplitSummary {
            name: name.clone(),
            pictures: data.pictures.len(),
            objects: objects().count(),
            per_class,
        });
        let paths = data.pictures.iter().map(|picture| picture.path.clone()).collect();
        looks.push(look(paths, examination.threads, &mut done));
    }
    let mut compared = Vec::new();
    for (split, (Split { name, data }, looks)) in splits.iter().zip(&looks).enumerate() {
        for (picture, look) in data.pictures.iter().zip(looks) {
            readable(&mut findings, name, &picture.path, look);
            annotated_size(&mut findings, name, picture, look);
            boxes(&mut findings, name, picture);
            compared.push(Compared { split, path: &picture.path, class: None, look });
        }
    }
    duplicates(&mut findings, splits, &classes, &compared);
    if let Some(train) = summaries.first() {
        for (class, name) in classes.iter().enumerate() {
            if summaries.iter().all(|split| split.per_class[class] == 0) {
                findings.of_split(Check::EmptyClass, &train.name, format!("class {name} has no objects"));
            }
        }
        balance(&mut findings, train, &classes, "objects");
        numbers(&mut findings, &splits[0]);
    }
    same_classes(&mut findings, &summaries, &classes);
    unlisted(&mut findings, splits, folders)?;
    let anchors = match &examination.detector {
        Some(detector) => splits.iter().map(|split| anchors(&mut findings, split, detector)).collect(),
        None => Vec::new(),
    };
    Ok(Diagnosis { findings: findings.sorted(), splits: summaries, classes, anchors })
}

fn annotated_size(findings: &mut Findings, split: &str, picture: &AnnotatedPicture, look: &Look) {
    let annotated = [picture.width, picture.height];
    if let Ok(seen) = &look.seen
        && seen.size != annotated
    {
        let kind = ProblemKind::OtherSize { found: seen.size, annotated };
        findings.problem(split, &Problem { path: picture.path.clone(), place: String::new(), kind });
    }
}

/// `annotation 12` of COCO's JSON, `line 12` of Pascal VOC's XML.
fn place(picture: &AnnotatedPicture, object: &Object) -> String {
    let json = picture.annotations.extension().is_some_and(|extension| extension == "json");
    format!("{} {}", if json { "annotation" } else { "line" }, object.origin)
}

/// Tells of what can be seen of a picture's boxes without the picture.
fn boxes(findings: &mut Findings, split: &str, picture: &AnnotatedPicture) {
    if picture.objects.is_empty() {
        findings.add(Check::WithoutObjects, split, &picture.path, "", "nothing is annotated");
    }
    let (width, height) = (picture.width as f32, picture.height as f32);
    for (index, object) in picture.objects.iter().enumerate() {
        let PixelBox { x1, y1, x2, y2 } = object.corners();
        let mut add = |check, message: String| {
            findings.add(check, split, &picture.annotations, place(picture, object), message);
        };
        let outside = (-x1).max(-y1).max(x2 - width).max(y2 - height);
        if outside > ROUNDING {
            add(Check::CutBox, format!("the box reaches {outside:.1} pixels outside the picture"));
        }
        if object.crowd {
            add(Check::Crowd, format!("in {}", picture.path.display()));
        }
        let alike = |other: &&Object| other.bounds == object.bounds && other.crowd == object.crowd;
        if let Some(first) = picture.objects[..index].iter().find(alike) {
            let same = if first.class_index == object.class_index { "" } else { ", of another class" };
            add(Check::DuplicateBox, format!("the same box as {}{same}", place(picture, first)));
        }
    }
}

/// Tells of what is odd about the classes' numbers and names.
fn numbers(findings: &mut Findings, Split { name, data }: &Split<DetectionDataset>) {
    let categories = &data.categories;
    for (index, category) in categories.iter().enumerate() {
        let plain = |name: &str| name.split_whitespace().collect::<String>().to_lowercase();
        let alike = |other: &&Category| plain(&other.name) == plain(&category.name);
        if let Some(other) = categories[..index].iter().find(alike) {
            let message = format!("`{}` and `{}`", other.name, category.name);
            findings.of_split(Check::SimilarNames, name, message);
        }
    }
    let ids: BTreeSet<u64> = categories.iter().map(|category| category.id).collect();
    let (Some(&first), Some(&last)) = (ids.first(), ids.last()) else { return };
    let missing = (last - first + 1) as usize - ids.len();
    if missing > 0 {
        let message = format!("{} classes are numbered from {first} to {last}", ids.len());
        findings.of_split(Check::Gaps, name, message);
    }
    // A table from 1 whose annotations begin at 0, or one from 0 whose annotations end one too high.
    let unknown = data.problems.iter().filter_map(|problem| match &problem.kind {
        ProblemKind::UnknownCategory(id) => id.parse::<u64>().ok(),
        _ => None,
    });
    let unknown: BTreeSet<u64> = unknown.collect();
    let shifted = [first.checked_sub(1), last.checked_add(1)];
    if let Some(id) = shifted.into_iter().flatten().find(|id| unknown.contains(id)) {
        let message = format!("there are objects of category {id}, but the table is from {first} to {last}");
        findings.of_split(Check::ShiftedNumbers, name, message);
    }
}

/// Tells of pictures in the folders that are in no split.
fn unlisted(
    findings: &mut Findings,
    splits: &[Split<DetectionDataset>],
    folders: &[PathBuf],
) -> Result<(), DataError> {
    let mut listed: HashSet<&Path> = HashSet::new();
    for Split { data, .. } in splits {
        listed.extend(data.pictures.iter().map(|picture| picture.path.as_path()));
        // What was left out was told of.
        listed.extend(data.problems.iter().map(|problem| problem.path.as_path()));
    }
    for folder in folders {
        for path in pictures(folder)?.iter().filter(|path| !listed.contains(path.as_path())) {
            findings.add(Check::Unlisted, "", path, "", "no annotation names it");
        }
    }
    Ok(())
}

/// Tells of boxes that are hard to learn with a detector's anchors and input size.
fn anchors(
    findings: &mut Findings,
    Split { name, data }: &Split<DetectionDataset>,
    detector: &EfficientDet,
) -> AnchorSummary {
    let grid = AnchorGrid::new(detector);
    let mut summary = AnchorSummary {
        split: name.clone(),
        boxes: 0,
        matched: 0,
        forced: 0,
        lost: 0,
        mean_best: 0.0,
        by_anchors: [0; 10],
    };
    let mut sum = 0.0;
    for picture in &data.pictures {
        let (objects, boxes): (Vec<usize>, Vec<InputBox>) = input_boxes(picture, detector).unzip();
        for ((&object, bounds), found) in objects.iter().zip(&boxes).zip(grid.matches(&boxes)) {
            let BoxMatch { anchors, best } = found;
            let object = &picture.objects[object];
            let (width, height) = (bounds.x2 - bounds.x1, bounds.y2 - bounds.y1);
            let mut add = |check, message: String| {
                findings.add(check, name, &picture.annotations, place(picture, object), message);
            };
            if width < TINY || height < TINY {
                add(Check::TinyBox, format!("{width:.1}×{height:.1} pixels at the network's input"));
            }
            if anchors == 0 {
                add(Check::LostBox, format!("best overlap {best:.2}"));
            } else if found.is_forced() {
                let message = format!("{width:.0}×{height:.0} pixels at the input, best overlap {best:.2}");
                add(Check::ForcedBox, message);
            }
            summary.boxes += 1;
            summary.matched += usize::from(!found.is_forced());
            summary.forced += usize::from(found.is_forced() && anchors > 0);
            summary.lost += usize::from(anchors == 0);
            summary.by_anchors[anchors.min(9)] += 1;
            sum += f64::from(best);
        }
    }
    summary.mean_best = if summary.boxes == 0 { 0.0 } else { sum / summary.boxes as f64 };
    summary
}
