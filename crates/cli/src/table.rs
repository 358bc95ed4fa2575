//! Text laid out for people.

use crate::report::STRONG;

/// Rows of cells under a head, in columns as wide as their widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    head: &'static str,
    is_number: bool,
}

impl Table {
    /// A table with these heads; columns whose head starts with `>` are aligned to the right.
    pub(crate) fn new(heads: &[&'static str]) -> Self {
        let column = |head: &&'static str| match head.strip_prefix('>') {
            Some(head) => Column { head, is_number: true },
            None => Column { head, is_number: false },
        };
        Self { columns: heads.iter().map(column).collect(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as lines.
    pub(crate) fn format(&self) -> String {
        let width = |(i, column): (usize, &Column)| {
            let cells = self.rows.iter().map(|row| row[i].chars().count());
            cells.chain([column.head.chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = self.columns.iter().enumerate().map(width).collect();
        let heads: Vec<String> = self.columns.iter().map(|column| column.head.to_owned()).collect();
        let mut text = format!("{STRONG}{}{STRONG:#}\n", self.line(&heads, &widths));
        for row in &self.rows {
            text += &self.line(row, &widths);
            text.push('\n');
        }
        text
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let cells = cells.iter().zip(widths).zip(&self.columns);
        let padded = cells.map(|((cell, &width), column)| match column.is_number {
            true => format!("{cell:>width$}"),
            false => format!("{cell:width$}"),
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

/// A bar of up to `width` cells for a share of 0..=1, in eighths of a cell, padded to the width.
pub(crate) fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * (8 * width) as f64).round() as usize;
    let drawn = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
    format!("{drawn:width$}")
}

/// `5288548` → `5 288 548`, with narrow spaces that no terminal breaks at.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{a0}');
        }
        text.push(digit);
    }
    text
}

/// `389 410 000` → `389 M`, `1.83 G`: three digits and a decimal prefix; nothing for zero.
pub(crate) fn short(number: u64) -> String {
    let number = number as f64;
    let (value, prefix) = match number {
        0.0 => return String::new(),
        n if n < 1e3 => return format!("{n}"),
        n if n < 999.5e3 => (n / 1e3, "k"),
        n if n < 999.5e6 => (n / 1e6, "M"),
        n => (n / 1e9, "G"),
    };
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$} {prefix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fill_their_width() {
        assert_eq!(bar(0.0, 4), "    ");
        assert_eq!(bar(0.5, 4), "██  ");
        assert_eq!(bar(0.53, 4), "██▏ ");
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(f64::NAN, 2).chars().count(), 2);
    }

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["name", ">count"]);
        table.row(["a".into(), "1".into()]);
        table.row(["long name".into(), "1000000".into()]);
        let text = anstream::adapter::strip_str(&table.format()).to_string();
        assert_eq!(text, "name         count\na                1\nlong name  1000000\n");
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(5_288_548).replace('\u{a0}', " "), "5 288 548");
        assert_eq!(grouped(12), "12");
        let short = [0, 7, 1_000, 407_000_000, 999_600, 1_834_000_000, 38_000].map(short);
        assert_eq!(short, ["", "7", "1.00 k", "407 M", "1.00 M", "1.83 G", "38.0 k"]);
    }
}
