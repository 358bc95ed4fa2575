//! BiFPN's topology as rows (arXiv 1911.09070, figure 3d).

/// A node of a BiFPN cell: which level it is on and what it fuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FusionRow {
    /// Its level, counted from the cell's lowest.
    pub level: usize,
    /// What it fuses: the cell's inputs come first (0 is the lowest level), then its rows, in order.
    pub inputs: Vec<usize>,
}

/// The rows of a cell of `levels` levels (at least 2): down from the coarsest level to the finest, then
/// up again. On the way up every level also reads its input; the ends have one row only.
///
/// A level's last row is its output.
#[must_use]
pub fn bifpn_rows(levels: usize) -> Vec<FusionRow> {
    let mut rows = Vec::with_capacity(2 * (levels - 1));
    // What each level's last map is, as a row's input.
    let mut last: Vec<usize> = (0..levels).collect();
    let mut push = |last: &mut Vec<usize>, level: usize, inputs: Vec<usize>| {
        rows.push(FusionRow { level, inputs });
        last[level] = levels + rows.len() - 1;
    };
    for level in (0..levels - 1).rev() {
        let inputs = vec![level, last[level + 1]];
        push(&mut last, level, inputs);
    }
    for level in 1..levels {
        let mut inputs = vec![level, last[level], last[level - 1]];
        inputs.dedup(); // the coarsest level has no row of its own yet
        push(&mut last, level, inputs);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(levels: usize) -> Vec<(usize, Vec<usize>)> {
        bifpn_rows(levels).into_iter().map(|row| (row.level, row.inputs)).collect()
    }

    /// google/automl `keras/fpn_configs.py` for P3 … P7 and, from its tests, for P2 … P7.
    #[test]
    fn rows_are_the_official_ones() {
        let five = [
            (3, vec![3, 4]),
            (2, vec![2, 5]),
            (1, vec![1, 6]),
            (0, vec![0, 7]),
            (1, vec![1, 7, 8]),
            (2, vec![2, 6, 9]),
            (3, vec![3, 5, 10]),
            (4, vec![4, 11]),
        ];
        assert_eq!(rows(5), five);
        let six = [
            (4, vec![4, 5]),
            (3, vec![3, 6]),
            (2, vec![2, 7]),
            (1, vec![1, 8]),
            (0, vec![0, 9]),
            (1, vec![1, 9, 10]),
            (2, vec![2, 8, 11]),
            (3, vec![3, 7, 12]),
            (4, vec![4, 6, 13]),
            (5, vec![5, 14]),
        ];
        assert_eq!(rows(6), six);
    }
}
