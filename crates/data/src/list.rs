//! Lists of pictures and their classes: CSV and TSV.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::dataset::split_name;
use crate::error::{LineProblem, Problem, ProblemKind};
use crate::{DataError, Dataset, OnProblem, Sample, Split};

/// Names of the columns, the first as errors call them.
const FILE: [&str; 5] = ["file", "path", "filename", "image", "picture"];
const LABEL: [&str; 3] = ["label", "class", "class_name"];
const CLASS_INDEX: &str = "class_index";
const SPLIT: &str = "split";

/// A list, its lines split into fields.
pub(crate) struct List {
    path: PathBuf,
    columns: Columns,
    rows: Vec<Row>,
    /// The classes' names, sorted, where the list has names.
    names: Option<Vec<String>>,
}

/// Where in a line each thing is.
struct Columns {
    count: usize,
    file: usize,
    class: usize,
    split: Option<usize>,
}

struct Row {
    line: usize,
    fields: Vec<String>,
}

impl List {
    /// Reads a list. A `.tsv` has tabs between fields; others have what their header has: tabs, semicolons or
    /// commas. Fields may be quoted as in RFC 4180, but not hold line breaks.
    pub(crate) fn read(path: &Path) -> Result<Self, DataError> {
        let bytes = fs::read(path).map_err(|source| DataError::Read { path: path.into(), source })?;
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines().zip(1..);
        // A byte order mark is what spreadsheets put before the first name.
        let header = lines.next().map_or("", |(line, _)| line).trim_start_matches('\u{feff}');
        let tabs = path.extension().is_some_and(|extension| extension == "tsv");
        let found = ['\t', ';', ','].into_iter().find(|&separator| header.contains(separator));
        let separator = if tabs { '\t' } else { found.unwrap_or(',') };

        let heads = fields(header, separator);
        let position = |names: &[&str]| heads.iter().position(|head| names.contains(&head.as_str()));
        let missing = |column| DataError::MissingColumn { path: path.into(), column };
        let file = position(&FILE).ok_or_else(|| missing(FILE[0]))?;
        let (named, numbered) = (position(&LABEL), position(&[CLASS_INDEX]));
        let class = numbered.or(named).ok_or_else(|| missing(CLASS_INDEX))?;
        let columns = Columns { count: heads.len(), file, class, split: position(&[SPLIT]) };

        let rows = lines.filter(|(line, _)| !line.trim().is_empty());
        let rows: Vec<Row> = rows.map(|(text, line)| Row { line, fields: fields(text, separator) }).collect();
        let names = numbered.is_none().then(|| {
            let names = rows.iter().filter_map(|row| row.fields.get(class));
            let names: BTreeSet<&String> = names.filter(|name| !name.is_empty()).collect();
            names.into_iter().cloned().collect()
        });
        Ok(Self { path: path.into(), columns, rows, names })
    }

    /// All lines as one data set.
    pub(crate) fn dataset(&self, policy: OnProblem) -> Result<Dataset, DataError> {
        let mut data = self.empty();
        for row in &self.rows {
            self.add(row, &mut data, policy)?;
        }
        Ok(data)
    }

    /// The splits that the list names, `train` first; all of it as `train` where it names none.
    pub(crate) fn splits(&self, policy: OnProblem) -> Result<Vec<Split<Dataset>>, DataError> {
        let train = "train".to_owned();
        let mut splits: Vec<Split<Dataset>> = vec![Split { name: train.clone(), data: self.empty() }];
        for row in &self.rows {
            let name = self.columns.split.and_then(|column| row.fields.get(column));
            let name = name.map_or_else(|| train.clone(), |name| split_name(name));
            let at = splits.iter().position(|split| split.name == name).unwrap_or_else(|| {
                splits.push(Split { name, data: self.empty() });
                splits.len() - 1
            });
            self.add(row, &mut splits[at].data, policy)?;
        }
        Ok(splits)
    }

    fn empty(&self) -> Dataset {
        let root = self.path.parent().unwrap_or(Path::new("")).into();
        Dataset { root, samples: Vec::new(), class_names: self.names.clone(), problems: Vec::new() }
    }

    fn add(&self, row: &Row, data: &mut Dataset, policy: OnProblem) -> Result<(), DataError> {
        match self.sample(row, &data.root) {
            Ok(sample) => data.samples.push(sample),
            Err(problem) if policy == OnProblem::Refuse => {
                return Err(DataError::Line { path: self.path.clone(), line: row.line, problem });
            }
            Err(problem) => data.problems.push(Problem {
                path: self.path.clone(),
                place: format!("line {}", row.line),
                kind: ProblemKind::Line(problem),
            }),
        }
        Ok(())
    }

    fn sample(&self, row: &Row, root: &Path) -> Result<Sample, LineProblem> {
        let Columns { count, file, class, split } = self.columns;
        if row.fields.len() < count {
            return Err(LineProblem::Fields { found: row.fields.len(), expected: count });
        }
        if split.is_some_and(|split| row.fields[split].is_empty()) {
            return Err(LineProblem::NoSplit);
        }
        let class = &row.fields[class];
        let class_index = match &self.names {
            Some(names) => names.binary_search(class).map_err(|_| LineProblem::NoLabel)?,
            None => class.parse().map_err(|_| LineProblem::Class(class.clone()))?,
        };
        let path = root.join(&row.fields[file]);
        if !path.is_file() {
            return Err(LineProblem::NoPicture(path));
        }
        Ok(Sample { path, class_index })
    }
}

/// The fields of a line, without the space around them. A field in quotes may hold separators, and quotes twice.
fn fields(line: &str, separator: char) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut signs = line.chars().peekable();
    while let Some(sign) = signs.next() {
        let field = fields.last_mut().expect("there is one from the beginning");
        match sign {
            '"' if quoted && signs.peek() == Some(&'"') => {
                signs.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.trim().is_empty() && separator != '\t' => {
                field.clear();
                quoted = true;
            }
            _ if sign == separator && !quoted => {
                *field = field.trim().to_owned();
                fields.push(String::new());
            }
            _ => field.push(sign),
        }
    }
    if let Some(last) = fields.last_mut() {
        *last = last.trim().to_owned();
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::fields;

    #[test]
    fn fields_may_be_quoted() {
        assert_eq!(fields("a, b ,c\r", ','), ["a", "b", "c"]);
        assert_eq!(fields("\"a,\"\"b\"\"\",,\"c d\"", ','), ["a,\"b\"", "", "c d"]);
        assert_eq!(fields("5\" nail\tb", '\t'), ["5\" nail", "b"]);
        assert_eq!(fields("a\"b\";\"never closed; c", ';'), ["a\"b\"", "never closed; c"]);
        assert_eq!(fields("", ','), [""]);
    }
}
