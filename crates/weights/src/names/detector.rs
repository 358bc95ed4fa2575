//! What a detector has around its backbone, as the families' tables see it.

use std::fmt;

/// A family's names around a detector's backbone.
pub(crate) struct DetectorScheme {
    /// Beginnings of names that only such detectors have: all of them are there.
    pub(crate) marks: &'static [&'static str],
    /// What the family calls a node.
    pub(crate) node: fn(&DetectorNode<'_>) -> String,
}

/// A node with parameters, apart from the backbone. A `part` is `conv`, `depthwise`, `pointwise`, `bn` or
/// `combine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DetectorNode<'a> {
    /// `resample.p6.conv`: how a level comes from the one before.
    Level { level: usize, part: &'a str },
    /// `bifpn.0.3.resample.1.conv`: how a row's `input`-th input becomes as wide as the pyramid. `from` is
    /// that input among the cell's inputs and rows.
    Input { fused: Fused, input: usize, from: usize, part: &'a str },
    /// `bifpn.0.3.depthwise`.
    Row { fused: Fused, part: &'a str },
    /// `class.0.depthwise`, of every level.
    Head { head: &'a str, repeat: usize, part: &'a str },
    /// `class.0.p3.bn`.
    HeadNorm { head: &'a str, repeat: usize, level: usize },
    /// `class.predict.pointwise`, of every level.
    Predict { head: &'a str, part: &'a str },
}

/// A row of a BiFPN cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fused {
    pub(crate) cell: usize,
    pub(crate) row: usize,
    /// Among the cell's inputs and rows.
    pub(crate) index: usize,
    pub(crate) level: usize,
    /// On the way from coarse to fine, the first of the two.
    pub(crate) is_top_down: bool,
}

/// The pyramid's first level.
pub(super) const FIRST_LEVEL: usize = 3;

impl<'a> DetectorNode<'a> {
    /// The node of a canonical name in a detector with so many levels.
    pub(crate) fn parse(node: &'a str, levels: usize) -> Option<Self> {
        let number = |text: &str| text.parse::<usize>().ok();
        let level = |text: &str| text.strip_prefix('p').and_then(number);
        let parts: Vec<&str> = node.split('.').collect();
        Some(match parts[..] {
            ["resample", at, part] => Self::Level { level: level(at)?, part },
            ["bifpn", cell, row, "resample", input, part] => {
                let fused = Fused::new(number(cell)?, number(row)?, levels)?;
                let input = number(input)?;
                let from = *effigy_arch::bifpn_rows(levels).get(fused.row)?.inputs.get(input)?;
                Self::Input { fused, input, from, part }
            }
            ["bifpn", cell, row, part] => {
                Self::Row { fused: Fused::new(number(cell)?, number(row)?, levels)?, part }
            }
            [head @ ("class" | "box"), "predict", part] => Self::Predict { head, part },
            [head @ ("class" | "box"), repeat, at, "bn"] => {
                Self::HeadNorm { head, repeat: number(repeat)?, level: level(at)? }
            }
            [head @ ("class" | "box"), repeat, part] => Self::Head { head, repeat: number(repeat)?, part },
            _ => return None,
        })
    }
}

/// The canonical name.
impl fmt::Display for DetectorNode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Level { level, part } => write!(f, "resample.p{level}.{part}"),
            Self::Input { fused: Fused { cell, row, .. }, input, part, .. } => {
                write!(f, "bifpn.{cell}.{row}.resample.{input}.{part}")
            }
            Self::Row { fused: Fused { cell, row, .. }, part } => write!(f, "bifpn.{cell}.{row}.{part}"),
            Self::Head { head, repeat, part } => write!(f, "{head}.{repeat}.{part}"),
            Self::HeadNorm { head, repeat, level } => write!(f, "{head}.{repeat}.p{level}.bn"),
            Self::Predict { head, part } => write!(f, "{head}.predict.{part}"),
        }
    }
}

impl Fused {
    fn new(cell: usize, row: usize, levels: usize) -> Option<Self> {
        // The coarsest level has no row on the way down, the finest none on the way up.
        let top_down = levels.checked_sub(1)?;
        let is_top_down = row < top_down;
        let index = if is_top_down { top_down - 1 - row } else { row - top_down + 1 };
        let level = FIRST_LEVEL + index;
        (index < levels).then_some(Self { cell, row, index: levels + row, level, is_top_down })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_levels_of_the_graph() {
        for levels in 2..8 {
            for (row, expected) in effigy_arch::bifpn_rows(levels).iter().enumerate() {
                let fused = Fused::new(0, row, levels).unwrap();
                assert_eq!(fused.level, FIRST_LEVEL + expected.level);
            }
            assert_eq!(Fused::new(0, 2 * levels - 2, levels), None);
        }
    }
}
