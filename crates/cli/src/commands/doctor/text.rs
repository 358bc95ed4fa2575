//! A diagnosis for people.

use anstyle::{AnsiColor, Style};
use effigy::EfficientDet;
use effigy_data::doctor::{AnchorSummary, Diagnosis, Finding, Severity};

use super::counted;
use crate::report::{FAINT, STRONG};
use crate::table::{Table, bar, grouped};

/// Places that are named of each kind of finding, unless all are asked for.
const PLACES: usize = 8;
/// Classes in the table; of more, those with most and least are shown.
const CLASSES: usize = 20;

pub(super) fn describe(diagnosis: &Diagnosis, detector: &EfficientDet, all: bool) -> String {
    let mut text = contents(diagnosis);
    for findings in diagnosis.findings.chunk_by(|a, b| a.check == b.check) {
        text.push('\n');
        text += &group(findings, all);
    }
    if !diagnosis.anchors.is_empty() {
        text.push('\n');
        text += &anchors(&diagnosis.anchors, detector);
    }
    text.push('\n');
    text += &match counted(diagnosis) {
        counted if counted.is_empty() => "nothing is wrong\n".to_owned(),
        counted if !diagnosis.has_problems() => format!("nothing is wrong; {counted}\n"),
        counted => format!("{counted}\n"),
    };
    text
}

/// What there is in each split, by class.
fn contents(diagnosis: &Diagnosis) -> String {
    let mut table = Table::new(&["split", ">pictures", ">objects"]);
    for split in &diagnosis.splits {
        let objects = if split.objects > 0 { grouped(split.objects as u64) } else { String::new() };
        table.row([split.name.clone(), grouped(split.pictures as u64), objects]);
    }
    let mut text = table.format();
    let Some(train) = diagnosis.splits.first() else { return text };
    let mut order: Vec<usize> = (0..diagnosis.classes.len()).collect();
    order.sort_by_key(|&class| std::cmp::Reverse(train.per_class[class]));
    let most = train.per_class.iter().copied().max().unwrap_or(0).max(1);
    let left_out = order.len().saturating_sub(CLASSES);
    if left_out > 0 {
        order.drain(CLASSES / 2..CLASSES / 2 + left_out);
    }
    let mut table = Table::new(&["class", ">in all", train_head(&train.name), ""]);
    for class in order {
        let total: usize = diagnosis.splits.iter().map(|split| split.per_class[class]).sum();
        let own = train.per_class[class];
        let share = bar(own as f64 / most as f64, 24);
        table.row([diagnosis.classes[class].clone(), grouped(total as u64), grouped(own as u64), share]);
    }
    text.push('\n');
    text += &table.format();
    if left_out > 0 {
        text += &format!("{FAINT}… and {left_out} classes in between{FAINT:#}\n");
    }
    text
}

/// The head of the column about the first split; most are called so.
fn train_head(name: &str) -> &'static str {
    if name == "train" { ">in train" } else { ">in the first" }
}

/// Findings of one kind: what, where, and what to do.
fn group(findings: &[Finding], all: bool) -> String {
    let check = findings[0].check;
    let (word, colour) = match check.severity() {
        Severity::Error => ("error", AnsiColor::Red),
        Severity::Warning => ("warning", AnsiColor::Yellow),
        Severity::Note => ("note", AnsiColor::Cyan),
    };
    let style: Style = colour.on_default().bold();
    let mut text =
        format!("{style}{word}:{style:#} {STRONG}{} {}{STRONG:#}\n", findings.len(), check.title());
    let shown = if all { findings.len() } else { PLACES };
    for finding in findings.iter().take(shown) {
        let split = if finding.split.is_empty() { String::new() } else { format!("[{}] ", finding.split) };
        let mut parts = Vec::new();
        if !finding.path.as_os_str().is_empty() {
            parts.push(finding.path.display().to_string());
        }
        parts.extend([&finding.place, &finding.message].into_iter().filter(|part| !part.is_empty()).cloned());
        text += &format!("  {split}{}\n", parts.join(": "));
    }
    if findings.len() > shown {
        text += &format!("  {FAINT}… and {} more; --all names them{FAINT:#}\n", findings.len() - shown);
    }
    text += &format!("  → {}\n", check.advice());
    text
}

fn anchors(summaries: &[AnchorSummary], detector: &EfficientDet) -> String {
    let [height, width] = detector.letterbox.size;
    let mut text = format!("{STRONG}anchors of {} at {height}×{width}{STRONG:#}\n", detector.name);
    let heads = [
        "split",
        ">boxes",
        ">IoU ≥ .5",
        ">forced",
        ">none",
        ">mean best IoU",
        ">learnt by 1",
        ">2",
        ">3–4",
        ">5–8",
        ">9 and more anchors",
    ];
    let mut table = Table::new(&heads);
    for summary in summaries {
        let AnchorSummary { split, boxes, matched, forced, lost, mean_best, by_anchors } = summary;
        let share = 100.0 * *matched as f64 / (*boxes).max(1) as f64;
        let sum =
            |range: std::ops::RangeInclusive<usize>| grouped(by_anchors[range].iter().sum::<usize>() as u64);
        table.row([
            split.clone(),
            grouped(*boxes as u64),
            format!("{share:.1} %"),
            grouped(*forced as u64),
            grouped(*lost as u64),
            format!("{mean_best:.3}"),
            sum(1..=1),
            sum(2..=2),
            sum(3..=4),
            sum(5..=8),
            sum(9..=9),
        ]);
    }
    text += &table.format();
    text
}
