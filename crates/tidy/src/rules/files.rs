//! Rules about every file.

use crate::{Offence, Repository, Rule, contains_word};

/// Nothing is left unfinished.
pub(crate) const UNFINISHED: Rule = Rule {
    name: "nothing unfinished is committed",
    check: unfinished,
    offending: &[
        &[("crates/engine/src/run.rs", "fn f() { todo!() }")],
        &[("crates/engine/src/run.rs", "fn f() { unimplemented!(\"later\") }")],
        &[("crates/engine/tests/run.rs", "dbg!(x);")],
        &[("crates/engine/src/run.rs", "// TODO: the other half")],
        &[("crates/engine/src/lib.rs", "//! FIXME")],
    ],
    passing: &[&[("crates/engine/src/run.rs", "let text = \"todo!()\"; // a todo list")]],
};

fn unfinished(repository: &Repository) -> Vec<Offence> {
    const MACROS: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];
    const MARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];
    repository.rust_lines(|_, line| {
        let called = MACROS.iter().find(|name| contains_word(&line.code, name));
        let marked = MARKS.iter().find(|mark| contains_word(&line.comment, mark));
        called.or(marked).map(|name| format!("{name}: finish it, or leave it out"))
    })
}

/// The most lines of a source file.
const MOST_LINES: usize = 500;

/// Files are short.
pub(crate) const LENGTH: Rule = Rule {
    name: "a source file has at most 500 lines",
    check: length,
    offending: &[&[("crates/engine/src/run.rs", LONG)], &[("bench/peers.py", LONG)]],
    passing: &[&[("crates/engine/src/run.rs", "fn f() {}"), ("Cargo.lock", LONG)]],
};

/// One line too many.
const LONG: &str = match std::str::from_utf8(&[b'\n'; MOST_LINES + 1]) {
    Ok(text) => text,
    Err(_) => "",
};

fn length(repository: &Repository) -> Vec<Offence> {
    let sources = repository.files.iter().filter(|file| file.has_extension("rs") || file.has_extension("py"));
    let counted = sources.map(|file| (file, file.text.lines().count()));
    let long = counted.filter(|(_, lines)| *lines > MOST_LINES);
    long.map(|(file, lines)| {
        let message = format!("{lines} lines: split it by what it is about, at most {MOST_LINES} each");
        Offence::of(&file.path, message)
    })
    .collect()
}

/// The most bytes of a file outside `assets`.
const MOST_BYTES: usize = 256 * 1024;

/// The repository holds no generated bulk.
pub(crate) const BULK: Rule = Rule {
    name: "a file of more than 256 KiB lives in a folder called assets",
    check: bulk,
    offending: &[&[("crates/weights/tests/golden/b7.txt", BIG)]],
    passing: &[&[("assets/model.safetensors", BIG)], &[("crates/effigy/assets/model.safetensors", BIG)]],
};

/// One byte too many.
const BIG: &str = match std::str::from_utf8(&[b'x'; MOST_BYTES + 1]) {
    Ok(text) => text,
    Err(_) => "",
};

fn bulk(repository: &Repository) -> Vec<Offence> {
    let outside = repository.files.iter().filter(|file| !file.path.split('/').any(|part| part == "assets"));
    let big = outside.filter(|file| file.size > MOST_BYTES);
    big.map(|file| {
        let message = format!("{} bytes: commit the script that makes it and fewer numbers", file.size);
        Offence::of(&file.path, message)
    })
    .collect()
}

/// Nothing depends on one machine.
pub(crate) const MACHINE_PATHS: Rule = Rule {
    name: "no absolute path of somebody's machine is written anywhere",
    check: machine_paths,
    offending: &[
        &[("README.md", concat!("Run `/", "home/ann/effigy/run`."))],
        &[("bench/peers.py", concat!("PYTHON = \"/", "opt/venv/bin/python\""))],
        &[("crates/vision/tests/decode.rs", concat!("File::create(\"/", "tmp/x.png\")"))],
        &[(".ci/run", concat!("cd /", "work/effigy"))],
        &[("deny.toml", concat!("path = 'C:\\", "Users\\ann'"))],
    ],
    passing: &[
        &[("README.md", "https://example.org/home/effigy, crates/home/src, ~/tmp/x, $HOME/work/")],
        &[("crates/cli/src/bench.rs", "std::fs::read_to_string(\"/proc/self/status\")")],
        &[("bench/peers.py", "#!/usr/bin/env python3")],
    ],
};

fn machine_paths(repository: &Repository) -> Vec<Offence> {
    let advice =
        "use a path inside the repository, a temporary folder of the standard library or an argument";
    repository.text_lines(|_, line| has_machine_path(line).then(|| advice.to_owned()))
}

fn has_machine_path(line: &str) -> bool {
    const ROOTS: [&str; 8] = ["home", "root", "tmp", "work", "workspace", "mnt", "opt", "Users"];
    let starts_path = |before: Option<char>| {
        before.is_none_or(|c| {
            !c.is_alphanumeric() && !matches!(c, '.' | '_' | '-' | '~' | '}' | ')' | '/' | '>' | '*')
        })
    };
    line.contains(concat!("C:\\", "Users"))
        || line.match_indices('/').any(|(at, _)| {
            let root = line[at + 1..].split_once('/').map(|(root, _)| root);
            root.is_some_and(|root| ROOTS.contains(&root)) && starts_path(line[..at].chars().next_back())
        })
}
