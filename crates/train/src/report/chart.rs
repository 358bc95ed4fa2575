//! Curves as SVG.

use std::fmt::Write;

/// The drawing's size, and the room around the curves, in its own units.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 34.0;

/// A curve.
pub(super) struct Series {
    pub(super) name: &'static str,
    /// `a`, `b` or `c`: which of the page's colours it has.
    pub(super) colour: char,
    /// In the order of x.
    pub(super) points: Vec<(f64, f64)>,
    /// Whether each point is marked.
    pub(super) dots: bool,
}

/// A chart of some curves over one axis.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) x_name: &'a str,
    /// Put behind each number of the vertical axis.
    pub(super) unit: &'a str,
    /// Whether the axis begins at zero.
    pub(super) from_zero: bool,
    /// The share of values that is above the chart's upper end; a first moment's high losses would hide the rest.
    pub(super) cut: f64,
    pub(super) series: Vec<Series>,
}

impl Chart<'_> {
    /// The drawing, or nothing where there is nothing to draw.
    pub(super) fn svg(&self) -> String {
        let finite = |(x, y): &&(f64, f64)| x.is_finite() && y.is_finite();
        let all = || self.series.iter().flat_map(|series| series.points.iter().filter(finite));
        let mut values: Vec<f64> = all().map(|point| point.1).collect();
        if values.is_empty() {
            return String::new();
        }
        values.sort_by(f64::total_cmp);
        let highest = values[((values.len() - 1) as f64 * (1.0 - self.cut)).round() as usize];
        let ys = Axis::new(if self.from_zero { 0.0 } else { values[0] }, highest);
        let left = all().map(|point| point.0).fold(f64::INFINITY, f64::min);
        let right = all().map(|point| point.0).fold(f64::NEG_INFINITY, f64::max);
        let span = if right > left { right - left } else { 1.0 };
        let place = |x: f64, y: f64| {
            let across = LEFT + (x - left) / span * (WIDTH - LEFT - RIGHT);
            let down = HEIGHT - BOTTOM - (y - ys.low) / (ys.high - ys.low) * (HEIGHT - TOP - BOTTOM);
            (across, down)
        };

        let mut svg = format!(
            "<figure><figcaption>{}{}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            self.title,
            self.legend(),
            self.title
        );
        for tick in ys.ticks() {
            let (_, y) = place(left, tick);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                ys.label(tick),
                self.unit
            );
        }
        let xs = Axis { low: left, high: left + span, step: round_step(span / 6.0).max(1.0) };
        for tick in xs.ticks().filter(|tick| *tick <= right) {
            let (x, _) = place(tick, ys.low);
            let y = HEIGHT - BOTTOM + 16.0;
            let _ = write!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>",
                xs.label(tick)
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" class=\"axis\">{}</text>",
            WIDTH - RIGHT,
            HEIGHT - 2.0,
            self.x_name
        );
        for series in &self.series {
            let points = series.points.iter().filter(finite).map(|&(x, y)| place(x, y.min(ys.high)));
            let points: Vec<(f64, f64)> = points.collect();
            let line: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let _ = write!(svg, "<polyline class=\"{}\" points=\"{}\"/>", series.colour, line.join(" "));
            if series.dots || points.len() == 1 {
                for (x, y) in &points {
                    let _ = write!(
                        svg,
                        "<circle class=\"{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>",
                        series.colour
                    );
                }
            }
        }
        svg + "</svg></figure>\n"
    }

    fn legend(&self) -> String {
        let entry =
            |series: &Series| format!(" <span class=\"key {}\">{}</span>", series.colour, series.name);
        if self.series.len() < 2 { String::new() } else { self.series.iter().map(entry).collect() }
    }
}

/// A range with round marks.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// The smallest range of whole steps around two values.
    fn new(low: f64, high: f64) -> Self {
        let span = if high > low { high - low } else { high.abs().max(1e-9) };
        let step = round_step(span / 4.0);
        let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        Self { low, high: if high > low { high } else { low + step }, step }
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        let first = (self.low / self.step - 1e-9).ceil();
        let last = (self.high / self.step + 1e-9).floor();
        (0..=(last - first) as i64).map(move |i| (first + i as f64) * self.step)
    }

    /// A number with as many decimals as the steps need.
    fn label(self, value: f64) -> String {
        let decimals = (-self.step.log10().floor()).clamp(0.0, 12.0) as usize;
        if decimals > 4 { format!("{value:.0e}") } else { format!("{value:.decimals$}") }
    }
}

/// 1, 2 or 5 times a power of ten, at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|&step| step >= least * 0.999)
        .unwrap_or(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_round() {
        let ticks = |low, high| {
            Axis::new(low, high).ticks().map(|tick| Axis::new(low, high).label(tick)).collect::<Vec<_>>()
        };
        assert_eq!(ticks(0.0, 97.0), ["0", "50", "100"]);
        assert_eq!(ticks(0.31, 0.64), ["0.3", "0.4", "0.5", "0.6", "0.7"]);
        assert_eq!(ticks(5.0, 5.0).len(), 2);
        assert!(ticks(0.0, 3e-6).iter().all(|label| label.len() < 7));
    }

    #[test]
    fn nothing_is_no_chart_and_bad_values_are_left_out() {
        let chart = |points: Vec<(f64, f64)>| {
            let series = vec![Series { name: "loss", colour: 'a', points, dots: false }];
            Chart { title: "Loss", x_name: "step", unit: "", from_zero: false, cut: 0.0, series }.svg()
        };
        assert_eq!(chart(vec![]), "");
        assert_eq!(chart(vec![(1.0, f64::NAN)]), "");
        let svg = chart(vec![(1.0, 2.0), (2.0, f64::NAN), (3.0, 4.0)]);
        assert!(svg.contains("<polyline") && !svg.contains("NaN"), "{svg}");
        assert!(chart(vec![(1.0, 2.0)]).contains("<circle"));
    }
}
