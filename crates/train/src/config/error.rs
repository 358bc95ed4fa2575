//! What can be wrong with a run's options.

use std::path::PathBuf;

use super::names;

/// Why options cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file could not be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is no TOML.
    #[error("{}:{line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// Something is wrong in a line of a file.
    #[error("{}:{line}: {source}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        source: Box<ConfigError>,
    },
    /// No option has that name.
    #[error("there is no option `{name}`{}", nearest.as_ref().map_or(String::new(), |name| format!("; is `{name}` meant?")))]
    Unknown {
        /// The name.
        name: String,
        /// The most similar one, where one is similar.
        nearest: Option<String>,
    },
    /// An option cannot have that value.
    #[error("{name} = {value}: {wanted} is wanted")]
    Value {
        /// The option.
        name: String,
        /// The value.
        value: String,
        /// What would have been right.
        wanted: String,
    },
    /// Options that cannot go together, or with this model or data.
    #[error("{0}")]
    Conflict(String),
    /// A run was to be resumed with other options.
    #[error("the run in {} was begun with other options ({}); resume it with the same, or begin one in another folder", out.display(), changed.join("; "))]
    Changed {
        /// The run's folder.
        out: PathBuf,
        /// Each option that changed, with its values before and now.
        changed: Vec<String>,
    },
}

impl ConfigError {
    pub(super) fn unknown(name: &str) -> Self {
        // A third of a name may be wrong, or its part behind the dot alone be given.
        let similar = |known: &String| {
            let last = known.rsplit('.').next().unwrap_or(known);
            let distance = edits(name, known).min(edits(name, last));
            (distance <= (name.len() / 3).max(2)).then_some(distance)
        };
        let known = names();
        let nearest = known.iter().filter_map(|known| Some((similar(known)?, known))).min();
        Self::Unknown { name: name.to_owned(), nearest: nearest.map(|(_, known)| known.clone()) }
    }
}

/// How many letters must be put in, taken out or changed to make one word of another (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!((edits("kitten", "sitting"), edits("", "abc"), edits("same", "same")), (3, 3, 0));
    }

    #[test]
    fn a_near_name_is_suggested() {
        let text = |name| ConfigError::unknown(name).to_string();
        assert_eq!(text("learning_rat"), "there is no option `learning_rat`; is `learning_rate` meant?");
        assert_eq!(text("mirror"), "there is no option `mirror`; is `augment.mirror` meant?");
        assert_eq!(text("frobnication"), "there is no option `frobnication`");
    }
}
