//! Rules that keep the documents true.

use crate::{File, Offence, Repository, Rule};

/// Documents name what is there.
pub(crate) const PATHS: Rule = Rule {
    name: "every path that a document names exists",
    check: paths,
    offending: &[
        &[("README.md", "See `crates/gone`."), ("crates/here/src/lib.rs", "")],
        &[("ARCHITECTURE.md", "open [it](bench/gone.py)"), ("bench/here.py", "")],
        &[("README.md", "```\neffigy classify assets/gone.jpg\n```"), ("assets/here.jpg", "")],
    ],
    passing: &[
        &[
            ("README.md", "See `crates/here`, `crates/here/src/lib.rs` and crates/*/src."),
            ("crates/here/src/lib.rs", ""),
        ],
        &[("README.md", "effigy-rs/crates/gone and `bench/<date>.json`")],
    ],
};

fn paths(repository: &Repository) -> Vec<Offence> {
    const TOP: [&str; 5] = ["crates/", "assets/", "bench/", "scripts/", ".ci/"];
    repository.text_lines(|file, line| {
        // The changelog is about the past.
        if !file.has_extension("md") || file.path == "CHANGELOG.md" {
            return None;
        }
        let words = line.split(|c: char| c.is_whitespace() || "`()[]\"',;|".contains(c));
        let words = words.map(|word| word.trim_end_matches(['.', ':']));
        let mut named = words.filter(|word| TOP.iter().any(|top| word.starts_with(top)));
        // Patterns, and what is made here but not committed, such as bench/.venv, need not exist.
        let free = |path: &str| path.contains(['*', '<', '{', '…']) || path.contains("/.");
        let gone = named.find(|path| !free(path) && !repository.has(path))?;
        Some(format!("{gone} does not exist"))
    })
}

/// The map is complete.
pub(crate) const MAP: Rule = Rule {
    name: "ARCHITECTURE.md names every crate and every rule",
    check: map,
    offending: &[
        &[
            ("ARCHITECTURE.md", "`crates/vision`"),
            ("crates/vision/Cargo.toml", ""),
            ("crates/eval/Cargo.toml", ""),
        ],
        &[("crates/vision/Cargo.toml", "")],
    ],
    passing: &[],
};

fn map(repository: &Repository) -> Vec<Offence> {
    const PATH: &str = "ARCHITECTURE.md";
    let text = repository.file(PATH).map_or("", |file| &file.text);
    let crates = repository.manifests().map(|(name, _)| format!("`crates/{name}`"));
    let rules = super::RULES.iter().map(|rule| rule.name.to_owned());
    let absent = crates.chain(rules).filter(|name| !text.contains(name));
    absent.map(|name| Offence::of(PATH, format!("say something about: {name}"))).collect()
}

/// Continuous integration does what people do.
pub(crate) const TEST_COMMAND: Rule = Rule {
    name: ".ci/run runs the test command of README.md",
    check: test_command,
    offending: &[
        &[("README.md", "```sh\ncargo test --workspace\n```"), (".ci/run", "cargo test -p effigy")],
        &[("README.md", "no command"), (".ci/run", "cargo test")],
        &[("README.md", "```sh\ncargo test --workspace\n```")],
    ],
    passing: &[&[
        ("README.md", "```sh\ncargo test --workspace\n```"),
        (".ci/run", "#!/usr/bin/env bash\ncargo test --workspace"),
    ]],
};

fn test_command(repository: &Repository) -> Vec<Offence> {
    let command = repository.file("README.md").and_then(test_line);
    let run = repository.file(".ci/run").map_or("", |file| &file.text);
    match command {
        None => vec![Offence::of("README.md", "give the test command on a line of its own: `cargo test …`")],
        Some(command) if run.lines().any(|line| line.trim() == command) => Vec::new(),
        Some(command) => vec![Offence::of(".ci/run", format!("have a line `{command}`, as README.md says"))],
    }
}

fn test_line(readme: &File) -> Option<&str> {
    readme.text.lines().find(|line| line.starts_with("cargo test"))
}
