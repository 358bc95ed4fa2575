//! What ARCHITECTURE.md says must never happen, as rules that a test runs over the repository.
//!
//! A [`Rule`] is one function and one row of [`RULES`]. It carries examples that must offend and
//! examples that must pass, so that no rule can fall asleep.

mod repository;
mod rules;
mod source;

pub use repository::{File, Repository};
pub use rules::RULES;
pub use source::{Line, contains_word};

/// Something that must never happen.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What must hold, in one sentence.
    pub name: &'static str,
    /// Finds every offence.
    pub check: fn(&Repository) -> Vec<Offence>,
    /// Small repositories in which the rule finds something.
    pub offending: &'static [Example],
    /// Small repositories, near the offending ones, in which it finds nothing.
    pub passing: &'static [Example],
}

/// A repository as paths and texts.
pub type Example = &'static [(&'static str, &'static str)];

/// A place where a rule is broken, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offence {
    /// Path from the root of the repository.
    pub path: String,
    /// Counted from 1; 0 where the whole file offends.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl Offence {
    /// An offence of the line with index `index` (from 0).
    pub(crate) fn at(file: &File, index: usize, message: impl Into<String>) -> Self {
        Self { path: file.path.clone(), line: index + 1, message: message.into() }
    }

    /// An offence of a file as a whole.
    pub(crate) fn of(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: 0, message: message.into() }
    }
}

impl std::fmt::Display for Offence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}
