//! COCO's figures of a detector, or of results that a file holds.

use std::collections::HashMap;
use std::io::Write;

use effigy::vision::CocoBox;
use effigy::{Detection, Detector, Labels, PostProcessing};
use effigy_data::{
    AnnotatedPicture, Category, DetectionDataset, DetectionResult, OnProblem, read_results, write_results,
};
use effigy_eval::{CocoAp, CocoFigures, CocoReport, ScoredBox, TrueBox};
use serde_json::{Map, Value, json};

use super::Options;
use crate::failure::{Failure, Outcome};
use crate::inputs::Input;
use crate::interrupt;
use crate::npy::{beside, keep};
use crate::pipeline::{self, Pace};
use crate::progress::Progress;
use crate::report::{self, STRONG};
use crate::table::Table;

/// Boxes below it change no figure that anybody reads, but would make files of results large.
const SCORE: f32 = 0.001;
/// Class slots of COCO's published weights: slot `i` is the category of id `i + 1`.
const COCO_SLOTS: usize = 90;

/// What each figure is, in the order of [`CocoFigures::NAMES`].
const MEANINGS: [&str; 12] = [
    "AP    IoU 0.50:0.95",
    "AP50  IoU 0.50",
    "AP75  IoU 0.75",
    "APs   small objects, up to 32² pixels",
    "APm   medium objects, up to 96² pixels",
    "APl   large objects",
    "AR1   1 box a picture and class",
    "AR10  10 boxes",
    "AR100 100 boxes",
    "ARs   small objects",
    "ARm   medium objects",
    "ARl   large objects",
];

pub(super) fn run(options: &Options) -> Result<Outcome, Failure> {
    let data = open(options)?;
    for problem in &data.problems {
        report::error(problem);
    }
    let (results, failed) = match &options.detections {
        Some(path) => (read_results(path)?, 0),
        None => detect(options, &data)?,
    };
    if let Some(path) = &options.results {
        let written = beside(path).and_then(|mut file| {
            write_results(&mut file, results.iter().copied())?;
            file.flush()?;
            keep(file, path)
        });
        written.map_err(|source| Failure::Write { path: path.clone(), source })?;
    }
    let report = judge(&data, &results);
    let text = if options.json { json_line(&data, &report) } else { table(options, &data, &report) };
    anstream::stdout().write_all(text.as_bytes())?;
    Ok(Outcome::of(failed + data.problems.len()))
}

fn open(options: &Options) -> Result<DetectionDataset, Failure> {
    let (data, policy) = (&options.data, OnProblem::Skip);
    if data.is_dir() {
        return Ok(DetectionDataset::from_voc(data, options.split.as_deref(), None, policy)?);
    }
    match &options.images {
        Some(images) => Ok(DetectionDataset::from_coco(data, images, policy)?),
        None => Err(Failure::Usage(format!(
            "{}: COCO's JSON names its pictures only; give their folder by --images",
            data.display()
        ))),
    }
}

/// What a network finds in every picture, by the numbers of the data set, and how many pictures failed.
fn detect(options: &Options, data: &DetectionDataset) -> Result<(Vec<DetectionResult>, usize), Failure> {
    let processing = PostProcessing { score: SCORE, ..PostProcessing::EFFDET };
    let loader = options.anchors.apply(options.model.detector_loader()?);
    let mut loader = loader.post_processing(processing);
    if let Some(path) = &options.labels {
        loader = loader.labels(Labels::read(path)?);
    }
    let detector = loader.detector()?;
    options.model.note_detector(&detector);
    let categories = categories(&detector, data)?;
    interrupt::watch();

    let pictures: Vec<Input> =
        data.pictures.iter().map(|picture| Input::File(picture.path.clone())).collect();
    let pace = Pace::new(options.batch.min(pictures.len()), detector.model().threads());
    let mut progress = Progress::new(pictures.len(), "pictures", options.progress);
    let (mut results, mut unanswered) = (Vec::new(), 0);
    let prepare = |picture| Ok(detector.prepare(&picture));
    let unread = pipeline::batches(&pictures, pace, &mut progress, prepare, |batch, progress| {
        interrupt::check()?;
        let (positions, prepared): (Vec<usize>, Vec<_>) = batch.into_iter().unzip();
        for (position, answer) in positions.into_iter().zip(detector.detect_prepared(prepared)) {
            match answer {
                Ok(found) => results.extend(named(&data.pictures[position], &found, &categories)),
                Err(error) => {
                    unanswered += 1;
                    progress.error(format_args!("{}: {error}", pictures[position]));
                }
            }
        }
        Ok(())
    })?;
    drop(progress);
    if unread + unanswered > 0 {
        report::error(format_args!("{} pictures: nothing is found there", unread + unanswered));
    }
    Ok((results, unread + unanswered))
}

/// Detections by the numbers of the data set; those of classes that it does not have are left out.
fn named(
    picture: &AnnotatedPicture,
    found: &[Detection],
    categories: &[Option<u64>],
) -> impl Iterator<Item = DetectionResult> {
    found.iter().filter_map(|found| {
        Some(DetectionResult {
            image_id: picture.id,
            category_id: categories[found.class_index]?,
            bounds: found.bounds.into(),
            score: f64::from(found.score),
        })
    })
}

/// The number in the data set of each of the model's class slots, and says how they were matched.
fn categories(detector: &Detector, data: &DetectionDataset) -> Result<Vec<Option<u64>>, Failure> {
    let (classes, labels) = (detector.network().classes, detector.labels());
    let (how, numbers) = matched(classes, labels, &data.categories).ok_or_else(|| {
        let names = |names: Vec<&str>| names.join(", ");
        Failure::Usage(format!(
            "{}: its {} classes are not the model's {classes}, neither by number, name nor count; give the \
             model's by --labels\n  data:  {}\n  model: {}",
            detector.network().name,
            data.categories.len(),
            names(data.categories.iter().map(|category| category.name.as_str()).collect()),
            names(labels.as_slice().iter().map(String::as_str).filter(|label| !label.is_empty()).collect()),
        ))
    })?;
    if how == BY_ORDER {
        let pairs = data.categories.iter().enumerate();
        let pairs: Vec<String> =
            pairs.map(|(class, category)| format!("{class} {}", category.name)).collect();
        report::warning(format_args!(
            "the model's classes are taken to be the data's by their order alone ({}); --labels settles it",
            pairs.join(", ")
        ));
    } else {
        report::note(format_args!("classes matched {how}"));
    }
    Ok(numbers)
}

type Numbers = Vec<Option<u64>>;

/// How classes are matched where nothing else is known about them.
const BY_ORDER: &str = "by their order";

fn matched(classes: usize, labels: &Labels, categories: &[Category]) -> Option<(&'static str, Numbers)> {
    let is_cocos = |category: &Category| {
        let slot = (category.id as usize).checked_sub(1);
        slot.is_some_and(|slot| slot < COCO_SLOTS && labels.get(slot) == category.name)
    };
    if classes == COCO_SLOTS && categories.iter().all(is_cocos) {
        return Some(("by COCO's numbers", (1..=classes as u64).map(Some).collect()));
    }
    let found: Option<Vec<usize>> = categories.iter().map(|category| labels.find(&category.name)).collect();
    if let Some(found) = found {
        let mut numbers = vec![None; classes];
        for (class, category) in found.into_iter().zip(categories) {
            numbers[class] = Some(category.id);
        }
        return Some(("by name", numbers));
    }
    let by_order = classes == categories.len();
    by_order.then(|| (BY_ORDER, categories.iter().map(|category| Some(category.id)).collect()))
}

fn judge(data: &DetectionDataset, results: &[DetectionResult]) -> CocoReport {
    let mut found: HashMap<u64, Vec<ScoredBox>> = HashMap::new();
    let classes: HashMap<u64, usize> = data.categories.iter().map(|category| category.id).zip(0..).collect();
    for result in results {
        if let Some(&class_index) = classes.get(&result.category_id) {
            let scored = ScoredBox { bounds: result.bounds, class_index, score: result.score };
            found.entry(result.image_id).or_default().push(scored);
        }
    }
    let mut metric = CocoAp::new(data.categories.len());
    for picture in &data.pictures {
        let truths: Vec<TrueBox> = picture
            .objects
            .iter()
            .map(|object| {
                let bounds: CocoBox = object.bounds;
                let crowd = object.is_ignored();
                TrueBox { bounds, class_index: object.class_index, area: object.area, crowd }
            })
            .collect();
        metric.add(picture.id, &truths, found.get(&picture.id).map_or(&[], Vec::as_slice));
    }
    metric.report()
}

fn table(options: &Options, data: &DetectionDataset, report: &CocoReport) -> String {
    let percent =
        |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{:.1}", 100.0 * value));
    let mut text = format!("{STRONG}{} pictures{STRONG:#}\n", data.pictures.len());
    for (meaning, value) in MEANINGS.iter().zip(report.overall.values()) {
        text += &format!("  {:>5} %  {meaning}\n", percent(value));
    }
    if options.per_class {
        let mut table = Table::new(&["class", ">AP %", ">AP50 %", ">AR100 %"]);
        for (category, figures) in data.categories.iter().zip(&report.classes) {
            let CocoFigures { ap, ap50, ar100, .. } = *figures;
            table.row([category.name.clone(), percent(ap), percent(ap50), percent(ar100)]);
        }
        text += &format!("\n{}", table.format());
    }
    text
}

/// Figures as shares, 0 to 1; null where there was nothing to find.
fn json_line(data: &DetectionDataset, report: &CocoReport) -> String {
    let figures = |figures: &CocoFigures| {
        let pairs = CocoFigures::NAMES.iter().zip(figures.values());
        pairs.map(|(name, value)| ((*name).to_owned(), json!(value))).collect::<Map<String, Value>>()
    };
    let mut value = Map::from_iter([("images".to_owned(), json!(data.pictures.len()))]);
    value.extend(figures(&report.overall));
    let classes = data.categories.iter().zip(&report.classes).map(|(category, of_class)| {
        let mut value = Map::from_iter([("name".to_owned(), json!(category.name))]);
        value.insert("category_id".into(), json!(category.id));
        value.extend(figures(of_class));
        Value::from(value)
    });
    value.insert("per_class".into(), classes.collect());
    format!("{}\n", Value::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn categories(names: &[(u64, &str)]) -> Vec<Category> {
        names.iter().map(|&(id, name)| Category { id, name: name.into() }).collect()
    }

    #[test]
    fn classes_are_matched_by_number_name_or_order() {
        let animals = categories(&[(17, "cat"), (18, "dog")]);
        let (how, numbers) = matched(90, &Labels::coco(), &animals).unwrap();
        assert_eq!((how, numbers[16], numbers[17]), ("by COCO's numbers", Some(17), Some(18)));

        let renumbered = categories(&[(0, "dog"), (1, "cat")]);
        let (how, numbers) = matched(90, &Labels::coco(), &renumbered).unwrap();
        assert_eq!((how, numbers[16], numbers[17], numbers[0]), ("by name", Some(1), Some(0), None));

        let cells = categories(&[(1, "RBC"), (2, "WBC")]);
        let (how, numbers) = matched(2, &Labels::default(), &cells).unwrap();
        assert_eq!((how, numbers), ("by their order", vec![Some(1), Some(2)]));
        assert!(matched(90, &Labels::coco(), &cells).is_none());
    }
}
