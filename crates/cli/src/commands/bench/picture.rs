//! Where the time goes, as a picture (SVG): a bar for every step, in the order of the network.

use std::fmt::Write;

use effigy::engine::NodeTime;

use super::limit::{Bound, Machine};

/// Steps that are drawn alike.
struct Kind {
    name: &'static str,
    colour: &'static str,
    /// Whether it is what an operation's name starts with.
    prefixes: &'static [&'static str],
}

/// The first that fits counts. The colours can be told apart by people who do not see all of them, too (after
/// Okabe and Ito, <https://jfly.uni-koeln.de/color/>).
const KINDS: &[Kind] = &[
    Kind { name: "convolution 1×1", colour: "#0072b2", prefixes: &["dense 1×1"] },
    Kind { name: "convolution k×k", colour: "#cc79a7", prefixes: &["dense"] },
    Kind { name: "expansion + depthwise", colour: "#009e73", prefixes: &["expand"] },
    Kind { name: "depthwise", colour: "#d55e00", prefixes: &["depthwise"] },
    Kind { name: "weighted sum", colour: "#e69f00", prefixes: &["weighted sum"] },
    Kind { name: "everything else", colour: "#6b7280", prefixes: &[""] },
];

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const PLOT_TOP: f64 = 226.0;
const PLOT_HEIGHT: f64 = 300.0;
const BASE: f64 = PLOT_TOP + PLOT_HEIGHT;
const HEIGHT: f64 = BASE + 132.0;
/// A bar is not drawn wider.
const WIDEST_BAR: f64 = 24.0;
/// Between two blocks, in bars.
const GAP: f64 = 0.7;
/// Labels nearer to each other would overlap.
const LABEL_PITCH: f64 = 11.0;

/// A step as it is drawn.
struct Drawn<'a> {
    step: &'a NodeTime,
    kind: usize,
    seconds: f64,
    limit: f64,
    bound: Bound,
}

/// The picture. `title` and `subtitle` say what was measured.
pub(super) fn draw(title: &str, subtitle: &str, steps: &[NodeTime], machine: &Machine) -> String {
    let drawn: Vec<Drawn<'_>> = steps
        .iter()
        .map(|step| {
            let limit = machine.limit(step);
            let seconds = step.time.as_secs_f64();
            Drawn { step, kind: kind(&step.operation), seconds, limit: limit.seconds, bound: limit.bound }
        })
        .collect();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"#1f2937\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"38\" font-size=\"22\" font-weight=\"600\">{}</text>\n\
         <text x=\"{LEFT}\" y=\"60\" fill=\"#4b5563\">{}</text>\n",
        escaped(title),
        escaped(subtitle),
    );
    // Writing to a string cannot fail.
    let _ = totals(&mut svg, &drawn);
    let _ = plot(&mut svg, &drawn);
    let _ = notes(&mut svg, &drawn, machine);
    svg + "</svg>\n"
}

fn kind(operation: &str) -> usize {
    let fits = |kind: &Kind| kind.prefixes.iter().any(|prefix| operation.starts_with(prefix));
    KINDS.iter().position(fits).unwrap_or(KINDS.len() - 1)
}

/// The block that a node belongs to: `stem`, `blocks.3`, `bifpn.0`, `class p3`.
fn block(name: &str) -> String {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = name.split('.').collect();
    let level = parts.iter().find(|part| part.strip_prefix('p').is_some_and(is_number));
    match (&parts[..], level) {
        ([head @ ("class" | "box"), ..], Some(level)) => format!("{head} {level}"),
        ([first, second, ..], _) if is_number(second) => format!("{first}.{second}"),
        ([first, ..], _) => (*first).to_owned(),
        ([], _) => String::new(),
    }
}

/// What each kind comes to: one long bar of all time, and a line for each.
fn totals(svg: &mut String, drawn: &[Drawn<'_>]) -> std::fmt::Result {
    let total: f64 = drawn.iter().map(|drawn| drawn.seconds).sum();
    let width = WIDTH - LEFT - RIGHT;
    let mut kinds: Vec<(usize, f64, f64, f64)> = (0..KINDS.len())
        .map(|kind| {
            let of_kind = || drawn.iter().filter(|drawn| drawn.kind == kind);
            let sum = |value: fn(&Drawn<'_>) -> f64| of_kind().map(value).sum::<f64>();
            (kind, sum(|d| d.seconds), sum(|d| d.limit), sum(|d| d.step.macs as f64))
        })
        .filter(|(_, seconds, ..)| *seconds > 0.0)
        .collect();
    kinds.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut x = LEFT;
    for (i, &(kind, seconds, limit, macs)) in kinds.iter().enumerate() {
        let Kind { name, colour, .. } = KINDS[kind];
        let part = width * seconds / total;
        let within = part * (limit / seconds).min(1.0);
        writeln!(
            svg,
            "<rect x=\"{x:.2}\" y=\"76\" width=\"{part:.2}\" height=\"16\" fill=\"{colour}\" fill-opacity=\".35\"/>\
             <rect x=\"{x:.2}\" y=\"76\" width=\"{within:.2}\" height=\"16\" fill=\"{colour}\"/>"
        )?;
        x += part;
        // Three lines in each of two columns.
        let (at, y) = (LEFT + (i / 3) as f64 * (width / 2.0), 120 + 22 * (i % 3));
        let speed =
            if macs > 0.0 { format!(" · {:.0} GFLOP/s", 2e-9 * macs / seconds) } else { String::new() };
        writeln!(
            svg,
            "<rect x=\"{at}\" y=\"{}\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{y}\"><tspan font-weight=\"600\">{name}</tspan>  {} · {:.0} % of the time{speed} · \
             {:.0} % of its limit</text>",
            y - 10,
            at + 20.0,
            time(seconds),
            100.0 * seconds / total,
            100.0 * limit / seconds,
        )?;
    }
    Ok(())
}

fn plot(svg: &mut String, drawn: &[Drawn<'_>]) -> std::fmt::Result {
    let longest = drawn.iter().map(|drawn| drawn.seconds).fold(0.0, f64::max);
    let (tick, top) = ticks(longest);
    let y = |seconds: f64| BASE - PLOT_HEIGHT * seconds / top;
    let blocks: Vec<&[Drawn<'_>]> =
        drawn.chunk_by(|a, b| block(&a.step.name) == block(&b.step.name)).collect();
    let units = drawn.len() as f64 + GAP * blocks.len().saturating_sub(1) as f64;
    let pitch = ((WIDTH - LEFT - RIGHT) / units).min(WIDEST_BAR);
    let right = LEFT + pitch * units;

    // Every other block on a shade of grey, then the lines that times are read at.
    let mut x = LEFT;
    let mut places = Vec::new();
    for (i, steps) in blocks.iter().enumerate() {
        let width = pitch * steps.len() as f64;
        if i % 2 == 1 {
            let (x, width) = (x - pitch * GAP / 2.0, width + pitch * GAP);
            writeln!(
                svg,
                "<rect x=\"{x:.2}\" y=\"{PLOT_TOP}\" width=\"{width:.2}\" height=\"{PLOT_HEIGHT}\" fill=\"#f3f4f6\"/>"
            )?;
        }
        places.push((x, width));
        x += width + pitch * GAP;
    }
    let mut at = 0.0;
    while at <= top * 1.001 {
        let y = y(at);
        let label = if at > 0.0 { time(at) } else { "0".to_owned() };
        writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{right:.2}\" y1=\"{y:.2}\" y2=\"{y:.2}\" stroke=\"#d1d5db\" stroke-width=\".7\"/>\
             <text x=\"{}\" y=\"{:.2}\" text-anchor=\"end\" font-size=\"11\" fill=\"#6b7280\">{label}</text>",
            LEFT - 6.0,
            y + 4.0,
        )?;
        at += tick;
    }

    let mut last_label = f64::NEG_INFINITY;
    for (steps, (start, width)) in blocks.iter().zip(places) {
        for (i, drawn) in steps.iter().enumerate() {
            let colour = KINDS[drawn.kind].colour;
            let (x, bar) = (start + pitch * (i as f64 + 0.06), pitch * 0.88);
            let rect = |seconds: f64, opacity: &str| {
                format!(
                    "<rect x=\"{x:.2}\" y=\"{:.2}\" width=\"{bar:.2}\" height=\"{:.2}\" fill=\"{colour}\"{opacity}/>",
                    y(seconds),
                    BASE - y(seconds),
                )
            };
            writeln!(
                svg,
                "<g><title>{}</title>{}{}</g>",
                escaped(&hint(drawn)),
                rect(drawn.seconds, " fill-opacity=\".35\""),
                rect(drawn.limit.min(drawn.seconds), ""),
            )?;
        }
        let middle = start + width / 2.0;
        if middle - last_label >= LABEL_PITCH {
            last_label = middle;
            writeln!(
                svg,
                "<text transform=\"translate({:.2} {}) rotate(-60)\" text-anchor=\"end\" font-size=\"10.5\" \
                 fill=\"#4b5563\">{}</text>",
                middle + 4.0,
                BASE + 12.0,
                escaped(&block(&steps[0].step.name)),
            )?;
        }
    }
    Ok(())
}

/// How to read it, and the longest steps by name.
fn notes(svg: &mut String, drawn: &[Drawn<'_>], machine: &Machine) -> std::fmt::Result {
    let mut longest: Vec<&Drawn<'_>> = drawn.iter().collect();
    longest.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let named = longest.iter().take(3).map(|drawn| {
        let share = 100.0 * drawn.limit / drawn.seconds;
        format!("{} {} ({share:.0} %)", drawn.step.name, time(drawn.seconds))
    });
    let lines = [
        format!("longest, with the limit's share: {}", named.collect::<Vec<_>>().join(" · ")),
        format!(
            "a bar is a step's median time; its full colour is the least time by what was measured here: \
             multiply-adds at {:.0} GFLOP/s or bytes at the memory's bandwidth, whichever is longer",
            machine.flops / 1e9
        ),
    ];
    for (i, line) in lines.iter().enumerate() {
        writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{}\" font-size=\"11.5\" fill=\"#4b5563\">{}</text>",
            HEIGHT - 34.0 + 19.0 * i as f64,
            escaped(line),
        )?;
    }
    // The same two shades as in the plot, beside the longest bar's scale.
    writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"198\" width=\"12\" height=\"12\" rx=\"2\" fill=\"#374151\"/>\
         <text x=\"{0}\" y=\"208\" fill=\"#4b5563\">the limit</text>\
         <rect x=\"{1}\" y=\"198\" width=\"12\" height=\"12\" rx=\"2\" fill=\"#374151\" fill-opacity=\".35\"/>\
         <text x=\"{2}\" y=\"208\" fill=\"#4b5563\">above it</text>",
        LEFT + 20.0,
        LEFT + 90.0,
        LEFT + 110.0,
    )
}

/// What is shown where the mouse rests on a bar.
fn hint(drawn: &Drawn<'_>) -> String {
    let NodeTime { name, operation, kernel, macs, weight_bytes, value_bytes, .. } = drawn.step;
    let bound = match drawn.bound {
        Bound::Arithmetic => "multiply-adds",
        Bound::Memory => "memory",
    };
    format!(
        "{name}\n{operation}\n{kernel}\n{}, {:.1} GFLOP/s\n{:.0} kB of values, {:.0} kB of weights\n\
         limit {} by {bound}: {:.0} %",
        time(drawn.seconds),
        2e-9 * *macs as f64 / drawn.seconds,
        *value_bytes as f64 / 1e3,
        *weight_bytes as f64 / 1e3,
        time(drawn.limit),
        100.0 * drawn.limit / drawn.seconds,
    )
}

/// The distance of lines, of which four to eight reach `longest`, and the last of them.
fn ticks(longest: f64) -> (f64, f64) {
    let longest = longest.max(1e-9);
    let rough = longest / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let tick = [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter().find(|tick| *tick >= rough);
    let tick = tick.unwrap_or(10.0 * power);
    (tick, (longest / tick).ceil() * tick)
}

/// `812 µs`, `1.25 ms`
fn time(seconds: f64) -> String {
    let micros = seconds * 1e6;
    match micros {
        micros if micros < 9.95 => format!("{micros:.1} µs"),
        micros if micros < 999.5 => format!("{micros:.0} µs"),
        micros if micros < 9995.0 => format!("{:.2} ms", micros / 1e3),
        micros => format!("{:.1} ms", micros / 1e3),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::limit::tests::{machine, step};
    use super::*;

    #[test]
    fn blocks_by_name() {
        let names = [
            ("stem.act", "stem"),
            ("blocks.3.expand.bn", "blocks.3"),
            ("blocks.10.se.gate", "blocks.10"),
            ("bifpn.0.4.resample.2.pool", "bifpn.0"),
            ("resample.p6.bn", "resample"),
            ("class.2.p3.depthwise", "class p3"),
            ("box.predict.p7.pointwise", "box p7"),
            ("head.classifier", "head"),
            ("input", "input"),
        ];
        for (name, expected) in names {
            assert_eq!(block(name), expected);
        }
    }

    #[test]
    fn a_bar_for_every_step() {
        let steps = [
            step("stem.act", "dense 3×3", 1000, [100, 1000], 3),
            step("blocks.0.act", "expand + depthwise 3×3", 500, [100, 1000], 2),
            step("blocks.0.project", "dense 1×1", 1000, [100, 1000], 5),
            step("a <b>", "weighted sum", 0, [0, 1000], 1),
        ];
        let svg = draw("net & more", "224×224", &steps, &machine());
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<g><title>").count(), steps.len());
        assert!(svg.contains("net &amp; more") && svg.contains("a &lt;b&gt;") && !svg.contains("<b>"));
        for name in ["convolution 1×1", "convolution k×k", "expansion + depthwise", "weighted sum"] {
            assert!(svg.contains(name), "{name}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("everything else"));
        // Of 11 µs the 1×1 convolution takes 5, of which 2 are the limit.
        assert!(svg.contains("5.0 µs · 45 % of the time · 0 GFLOP/s · 40 % of its limit"), "{svg}");
    }

    #[test]
    fn lines_at_round_times() {
        assert_eq!(ticks(1e-3), (2e-4, 1e-3));
        let (tick, top) = ticks(1.3e-5);
        assert!((tick - 5e-6).abs() < 1e-12 && (top - 1.5e-5).abs() < 1e-12, "{tick} {top}");
        assert_eq!([2e-6, 8.124e-4, 1.2e-3, 0.0123].map(time), ["2.0 µs", "812 µs", "1.20 ms", "12.3 ms"]);
    }
}
