//! A classification data set.

use std::collections::HashSet;
use std::path::PathBuf;

use super::finding::Findings;
use super::pictures::{Compared, duplicates, look, readable};
use super::{Check, Diagnosis, Examination, SplitSummary, balance, same_classes};
use crate::{DataError, Dataset, Split, pictures};

/// Examines a classification data set; its first split is what is trained on. All splits number the classes
/// alike. `done` is called after each picture.
///
/// # Errors
/// [`DataError::Read`] where a folder cannot be listed.
pub fn classification(
    splits: &[Split<Dataset>],
    examination: &Examination,
    mut done: impl FnMut(),
) -> Result<Diagnosis, DataError> {
    let mut findings = Findings::default();
    let classes = names(splits);
    let mut summaries = Vec::new();
    let mut looks = Vec::new();
    for Split { name, data } in splits {
        for problem in &data.problems {
            findings.problem(name, problem);
        }
        if data.samples.is_empty() {
            findings.of_split(Check::EmptySplit, name, format!("{} has no pictures", data.root.display()));
        }
        let mut per_class = vec![0; classes.len()];
        data.samples.iter().for_each(|sample| per_class[sample.class_index] += 1);
        summaries.push(SplitSummary {
            name: name.clone(),
            pictures: data.samples.len(),
            objects: 0,
            per_class,
        });
        let paths: Vec<PathBuf> = data.samples.iter().map(|sample| sample.path.clone()).collect();
        looks.push(look(paths, examination.threads, &mut done));
    }
    let mut compared = Vec::new();
    for (split, (Split { name, data }, looks)) in splits.iter().zip(&looks).enumerate() {
        for (sample, look) in data.samples.iter().zip(looks) {
            readable(&mut findings, name, &sample.path, look);
            compared.push(Compared { split, path: &sample.path, class: Some(sample.class_index), look });
        }
    }
    duplicates(&mut findings, splits, &classes, &compared);
    if let Some(train) = summaries.first() {
        let elsewhere = |class: usize| summaries[1..].iter().any(|other| other.per_class[class] > 0);
        for (class, name) in classes.iter().enumerate() {
            if train.per_class[class] == 0 && !elsewhere(class) {
                findings.of_split(Check::EmptyClass, &train.name, format!("class {name} has no pictures"));
            }
        }
        balance(&mut findings, train, &classes, "pictures");
    }
    same_classes(&mut findings, &summaries, &classes);
    unlisted(&mut findings, splits)?;
    Ok(Diagnosis { findings: findings.sorted(), splits: summaries, classes, anchors: Vec::new() })
}

/// The classes' names, or their numbers where they have none.
fn names(splits: &[Split<Dataset>]) -> Vec<String> {
    let named = splits.iter().filter_map(|split| split.data.class_names.as_ref()).max_by_key(|n| n.len());
    let mut names = named.cloned().unwrap_or_default();
    let classes = splits.iter().flat_map(|split| &split.data.samples).map(|sample| sample.class_index + 1);
    for class in names.len()..classes.max().unwrap_or(0) {
        names.push(class.to_string());
    }
    names
}

/// Tells of pictures below the data sets' folders that are in no split.
fn unlisted(findings: &mut Findings, splits: &[Split<Dataset>]) -> Result<(), DataError> {
    let listed: HashSet<&PathBuf> =
        splits.iter().flat_map(|split| &split.data.samples).map(|sample| &sample.path).collect();
    let mut roots: Vec<&PathBuf> = splits.iter().map(|split| &split.data.root).collect();
    roots.sort();
    roots.dedup();
    for root in roots {
        let name = splits.iter().find(|split| split.data.root == *root).map_or("", |split| &split.name);
        for path in pictures(root)?.iter().filter(|path| !listed.contains(path)) {
            findings.add(Check::Unlisted, name, path, "", "it is in no class");
        }
    }
    Ok(())
}
