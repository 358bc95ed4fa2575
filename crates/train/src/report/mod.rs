//! A run as a page that needs nothing but itself: curves, figures, options, pictures with answers.

mod chart;

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use effigy_vision::{PictureFormat, encode};

use crate::error::grouped;
use crate::record::{EpochRecord, History};
use crate::run::Parts;
use crate::task::Sample;
use crate::{Config, OPTIONS, TrainError};
use chart::{Chart, Series};

const STYLE: &str = include_str!("style.css");

/// The page.
pub(crate) fn page(parts: &Parts<'_>, history: &History, samples: &[Sample]) -> Result<String, TrainError> {
    let name = escaped(parts.network.name());
    let [train, val] = parts.counts.map(grouped);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{name}: training</title>\n<style>\n{STYLE}</style></head><body>\n\
         <h1>{name}</h1>\n<p>{} classes; {train} pictures to learn from, of {}; {val} to judge by, of {}</p>\n",
        parts.labels.len(),
        pixels(parts.size),
        pixels(parts.network.size()),
    );
    page += &tiles(history, parts.config);
    page += "<section class=\"charts\">\n";
    charts(history).iter().for_each(|chart| page += &chart.svg());
    page += "</section>\n";
    page += &gallery(samples)?;
    page += &epochs(history);
    page += &options(parts.config);
    page += "</body></html>\n";
    Ok(page)
}

/// A size for people.
fn pixels([height, width]: [usize; 2]) -> String {
    format!("{height}×{width} pixels")
}

/// The figures that are asked for first.
fn tiles(history: &History, config: &Config) -> String {
    let mut tiles = Vec::new();
    if let Some(best) = &history.best {
        tiles.push((format!("best {}, epoch {}", best.name, best.epoch), score(&best.name, best.score)));
    }
    if let Some(last) = history.epochs.last() {
        tiles.push(("epochs".to_owned(), format!("{} of {}", last.epoch, config.epochs)));
        let loss = last.losses.get("loss").map_or("–".to_owned(), |loss| format!("{loss:.4}"));
        tiles.push(("loss of the last epoch".to_owned(), loss));
        tiles.push(("pictures a second".to_owned(), format!("{:.1}", last.pictures_per_second())));
    }
    let sum = |of: fn(&EpochRecord) -> f64| history.epochs.iter().map(of).sum::<f64>();
    let (data, compute, judge) =
        (sum(|e| e.data_seconds), sum(|e| e.compute_seconds), sum(|e| e.judge_seconds));
    tiles.push(("time".to_owned(), duration(data + compute + judge)));
    if data + compute > 0.0 {
        tiles.push((
            "of learning, waiting for pictures".to_owned(),
            format!("{:.1} %", 100.0 * data / (data + compute)),
        ));
    }
    let tile = |(what, value): &(String, String)| {
        format!("<div><b>{}</b><span>{}</span></div>\n", escaped(value), escaped(what))
    };
    format!("<section class=\"tiles\">\n{}</section>\n", tiles.iter().map(tile).collect::<String>())
}

fn charts(history: &History) -> Vec<Chart<'static>> {
    let by_epoch = |of: &dyn Fn(&EpochRecord) -> Option<f64>| -> Vec<(f64, f64)> {
        history.epochs.iter().filter_map(|epoch| Some((epoch.step as f64, of(epoch)?))).collect()
    };
    let scored = |name: &'static str| by_epoch(&|epoch| epoch.scores.get(name).copied());
    let series = |name, colour, points, dots| Series { name, colour, points, dots };
    let point = |of: fn(&crate::record::Point) -> f64| -> Vec<(f64, f64)> {
        history.points.iter().map(|point| (point.step as f64, of(point))).collect()
    };
    let percent =
        |points: Vec<(f64, f64)>| points.into_iter().map(|(x, y)| (x, 100.0 * y)).collect::<Vec<_>>();
    let loss = vec![
        series("learning", 'a', point(|point| point.loss), false),
        series("judging", 'b', scored("val_loss"), true),
    ];
    let mut charts =
        vec![Chart { title: "Loss", x_name: "step", unit: "", from_zero: true, cut: 0.02, series: loss }];
    for (title, series) in [
        (
            "Accuracy",
            vec![series("top-1", 'a', scored("top1"), true), series("top-5", 'b', scored("top5"), true)],
        ),
        (
            "Average precision",
            vec![
                series("AP", 'a', percent(scored("ap")), true),
                series("AP50", 'b', percent(scored("ap50")), true),
            ],
        ),
    ] {
        charts.push(Chart { title, x_name: "step", unit: " %", from_zero: false, cut: 0.0, series });
    }
    let rate = vec![series("learning rate", 'a', point(|point| point.learning_rate), false)];
    charts.push(Chart {
        title: "Learning rate",
        x_name: "step",
        unit: "",
        from_zero: true,
        cut: 0.0,
        series: rate,
    });
    let time = vec![
        series("computing", 'a', by_epoch(&|epoch| Some(epoch.compute_seconds)), true),
        series("waiting for pictures", 'b', by_epoch(&|epoch| Some(epoch.data_seconds)), true),
        series("judging", 'c', by_epoch(&|epoch| Some(epoch.judge_seconds)), true),
    ];
    charts.push(Chart {
        title: "Seconds an epoch",
        x_name: "step",
        unit: "",
        from_zero: true,
        cut: 0.0,
        series: time,
    });
    charts
}

/// Pictures with answers.
fn gallery(samples: &[Sample]) -> Result<String, TrainError> {
    if samples.is_empty() {
        return Ok(String::new());
    }
    let mut html = "<h2>Answers</h2>\n<section class=\"gallery\">\n".to_owned();
    for Sample { picture, title, caption, right } in samples {
        let data = STANDARD.encode(encode(picture, PictureFormat::Jpeg)?);
        let class = match right {
            Some(true) => " class=\"right\"",
            Some(false) => " class=\"wrong\"",
            None => "",
        };
        let lines = escaped(caption).replace('\n', "<br>");
        let _ = writeln!(
            html,
            "<figure{class}><img alt=\"{title}\" src=\"data:image/jpeg;base64,{data}\"><figcaption><b>{title}</b><br>{lines}</figcaption></figure>",
            title = escaped(title)
        );
    }
    Ok(html + "</section>\n")
}

/// Every epoch's figures.
fn epochs(history: &History) -> String {
    let mut names: Vec<&String> = history.epochs.iter().flat_map(|epoch| epoch.scores.keys()).collect();
    names.sort();
    names.dedup();
    let heads: String = names.iter().map(|name| format!("<th>{}</th>", escaped(name))).collect();
    let mut html = format!(
        "<details><summary>Every epoch</summary><table><tr><th>epoch</th><th>loss</th>{heads}<th>pictures/s</th><th>seconds</th></tr>\n"
    );
    for epoch in &history.epochs {
        let loss = epoch.losses.get("loss").map_or("–".to_owned(), |loss| format!("{loss:.4}"));
        let cells: String = names
            .iter()
            .map(|name| {
                format!(
                    "<td>{}</td>",
                    epoch.scores.get(*name).map_or("–".to_owned(), |&value| score(name, value))
                )
            })
            .collect();
        let seconds = epoch.data_seconds + epoch.compute_seconds + epoch.judge_seconds;
        let class = if epoch.is_best { " class=\"best\"" } else { "" };
        let _ = writeln!(
            html,
            "<tr{class}><td>{}</td><td>{loss}</td>{cells}<td>{:.1}</td><td>{seconds:.0}</td></tr>",
            epoch.epoch,
            epoch.pictures_per_second()
        );
    }
    html + "</table></details>\n"
}

/// Every option.
fn options(config: &Config) -> String {
    let default = Config::default();
    let mut html = "<details><summary>Options</summary><table>\n".to_owned();
    let augment =
        config.augment.iter().map(|(key, value)| (format!("augment.{key}"), value.to_string(), true));
    let own = OPTIONS.iter().filter_map(|option| {
        let value = config.get(option.name)?;
        Some((option.name.to_owned(), value.to_string(), default.get(option.name).as_ref() != Some(&value)))
    });
    for (name, value, changed) in own.chain(augment) {
        let class = if changed { " class=\"best\"" } else { "" };
        let _ = writeln!(html, "<tr{class}><td>{}</td><td>{}</td></tr>", escaped(&name), escaped(&value));
    }
    html + "</table></details>\n"
}

/// A score as people read it: accuracies are in percent already, COCO's figures are shares.
fn score(name: &str, value: f64) -> String {
    if name.starts_with("top") {
        format!("{value:.1} %")
    } else if name.starts_with("ap") || name.starts_with("ar") {
        format!("{:.1} %", 100.0 * value)
    } else {
        format!("{value:.4}")
    }
}

/// `1 h 02 min`
fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0) as u64;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds:.0} s"),
        (0, minutes) => format!("{minutes} min {:02} s", seconds as u64 % 60),
        (hours, minutes) => format!("{hours} h {minutes:02} min"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers() {
        assert_eq!(escaped("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
        assert_eq!(
            (score("top1", 93.21), score("ap50", 0.861), score("val_loss", 1.0)),
            ("93.2 %".into(), "86.1 %".into(), "1.0000".into())
        );
        assert_eq!(
            (duration(7.0), duration(65.0), duration(3725.0)),
            ("7 s".into(), "1 min 05 s".into(), "1 h 02 min".into())
        );
    }
}
