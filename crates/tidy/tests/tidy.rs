//! Runs the rules over this repository, and the rules over their own examples.

use std::path::{Path, PathBuf};
use std::process::Command;

use effigy_tidy::{RULES, Repository};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_repository_is_tidy() {
    let repository = Repository::read(&root()).expect("the repository can be read");
    assert!(repository.has("crates/tidy/tests/tidy.rs"), "this is not the root of the repository");
    let broken = RULES.iter().flat_map(|rule| {
        let offences = (rule.check)(&repository);
        let heading = (!offences.is_empty()).then(|| format!("\n{}:", rule.name));
        heading.into_iter().chain(offences.into_iter().map(|offence| format!("  {offence}")))
    });
    let report: Vec<String> = broken.collect();
    assert!(report.is_empty(), "{}\n", report.join("\n"));
}

#[test]
fn every_rule_finds_its_offending_examples() {
    for rule in RULES {
        assert!(!rule.offending.is_empty(), "{:?} shows no example", rule.name);
        for example in rule.offending {
            let offences = (rule.check)(&Repository::of(example));
            assert!(!offences.is_empty(), "{:?} finds nothing in {example:?}", rule.name);
        }
    }
}

#[test]
fn no_rule_finds_anything_in_its_passing_examples() {
    for rule in RULES {
        for example in rule.passing {
            let offences = (rule.check)(&Repository::of(example));
            assert_eq!(offences, [], "{:?}: {example:?}", rule.name);
        }
    }
}

#[test]
fn an_offence_says_where() {
    let example = [("crates/vision/src/lib.rs", "fn f() {\n    println!();\n}")];
    let offences = RULES.iter().flat_map(|rule| (rule.check)(&Repository::of(&example)));
    let found = offences.map(|offence| offence.to_string()).find(|text| text.contains("println"));
    assert!(found.is_some_and(|text| text.starts_with("crates/vision/src/lib.rs:2: println!: a library")));
}

/// Whether `cargo <subcommand>` is there, of the release that the workspace is written for: others
/// format and lint differently.
fn has(subcommand: &str) -> bool {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output();
        output.map(|output| (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
    };
    let release = concat!("cargo ", env!("CARGO_PKG_RUST_VERSION"), ".");
    let present = run(&[subcommand, "--version"]).is_ok_and(|(success, _)| success);
    let same = run(&["--version"]).is_ok_and(|(_, version)| version.starts_with(release));
    if !(present && same) {
        println!("skipped: this needs cargo {subcommand} of release {}", env!("CARGO_PKG_RUST_VERSION"));
    }
    present && same
}

fn passes(arguments: &[&str]) {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output();
    let output = output.expect("cargo runs, since it runs this test");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {}:\n{text}", arguments.join(" "));
}

#[test]
fn the_code_is_formatted() {
    if has("fmt") {
        passes(&["fmt", "--all", "--check"]);
    }
}

#[test]
fn clippy_has_nothing_to_say() {
    if has("clippy") {
        passes(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--quiet",
            "--",
            "--deny",
            "warnings",
        ]);
    }
}
