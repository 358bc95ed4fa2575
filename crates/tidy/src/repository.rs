//! The repository as the rules see it: paths and texts.

use std::path::Path;
use std::{fs, io};

use crate::Offence;
use crate::source::{self, Line};

/// A file of the repository.
#[derive(Clone, Debug)]
pub struct File {
    /// Path from the root, with `/` between its parts.
    pub path: String,
    /// Size in bytes.
    pub size: usize,
    /// The content; empty where it is not UTF-8.
    pub text: String,
    /// The lines of a Rust file, taken apart; empty for other files.
    pub rust: Vec<Line>,
}

/// Every file of the repository, in the order of their paths.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    /// The files.
    pub files: Vec<File>,
}

impl Repository {
    /// Reads everything below `root` except build outputs and hidden folders other than `.ci`.
    ///
    /// # Errors
    /// When a folder or file cannot be read.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut repository = Self::default();
        repository.add_folder(root, "")?;
        Ok(repository)
    }

    /// A repository of the given paths and texts.
    #[must_use]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| File::new(path, text.as_bytes())).collect();
        Self { files }
    }

    /// The file at `path`.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether there is a file or a folder at `path`.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let within = |file: &File| file.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        self.files.iter().any(|file| file.path == path || within(file))
    }

    /// Rust files.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.has_extension("rs"))
    }

    /// An offence for each line of Rust in which `find` finds something.
    pub(crate) fn rust_lines(&self, find: impl Fn(&File, &Line) -> Option<String>) -> Vec<Offence> {
        let mut offences = Vec::new();
        for file in self.rust() {
            let found = file.rust.iter().enumerate().filter_map(|(i, line)| Some((i, find(file, line)?)));
            offences.extend(found.map(|(index, message)| Offence::at(file, index, message)));
        }
        offences
    }

    /// An offence for each line of any text in which `find` finds something.
    pub(crate) fn text_lines(&self, find: impl Fn(&File, &str) -> Option<String>) -> Vec<Offence> {
        let mut offences = Vec::new();
        for file in &self.files {
            let found = file.text.lines().enumerate().filter_map(|(i, line)| Some((i, find(file, line)?)));
            offences.extend(found.map(|(index, message)| Offence::at(file, index, message)));
        }
        offences
    }

    /// The crates' names (those of their folders) and manifests.
    pub fn manifests(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().filter_map(|file| {
            let name = file.path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?;
            (!name.contains('/')).then_some((name, file))
        })
    }

    fn add_folder(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            let skipped =
                name.starts_with('.') && name != ".ci" || matches!(&*name, "target" | "__pycache__");
            if kind.is_dir() && !skipped {
                self.add_folder(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() {
                self.files.push(File::new(&path, &fs::read(entry.path())?));
            }
        }
        Ok(())
    }
}

impl File {
    fn new(path: &str, content: &[u8]) -> Self {
        let text = std::str::from_utf8(content).unwrap_or_default().to_owned();
        let rust = if path.ends_with(".rs") { source::lines(&text) } else { Vec::new() };
        let mut file = Self { path: path.to_owned(), size: content.len(), text, rust };
        if file.is_beside_the_library() {
            file.rust.iter_mut().for_each(|line| line.test = true);
        }
        file
    }

    /// Whether the path ends in `.extension`.
    #[must_use]
    pub fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|actual| actual == extension)
    }

    /// Whether the path begins with `folder`.
    #[must_use]
    pub fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// Whether it belongs to this crate, which reads files, runs cargo and quotes what offends; it is no
    /// part of effigy.
    #[must_use]
    pub fn is_tidy(&self) -> bool {
        self.is_in("crates/tidy/")
    }

    /// Tests, examples and benchmarks: compiled apart from the library.
    fn is_beside_the_library(&self) -> bool {
        let mut folders = self.path.split('/');
        folders.any(|folder| matches!(folder, "tests" | "examples" | "benches" | "tests.rs"))
            || self.path.ends_with("_tests.rs")
    }
}
