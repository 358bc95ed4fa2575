//! Rules about tests.

use crate::{Line, Offence, Repository, Rule, contains_word};

/// Speed is measured, not asserted.
pub(crate) const SPEED: Rule = Rule {
    name: "no test asserts how long something takes: a busy machine must not fail it",
    check: speed,
    offending: &[
        &[("crates/kernels/tests/gemm.rs", "assert!(start.elapsed() < limit);")],
        &[("crates/kernels/tests/gemm.rs", "let took = start.elapsed();\nassert!(\n    took < limit,\n);")],
        &[(
            "crates/eval/src/a.rs",
            "#[cfg(test)]\nmod tests {\n    assert!(now.duration_since(then) < limit);\n}",
        )],
    ],
    passing: &[
        &[("crates/vision/tests/fuzz.rs", "while start.elapsed() < budget {\n    assert!(survives());\n}")],
        &[("crates/engine/src/run.rs", "let took = start.elapsed();\nassert!(took < limit);")],
    ],
};

fn speed(repository: &Repository) -> Vec<Offence> {
    let advice = "measure in bench/, where figures are recorded; a test asserts what is true on any machine";
    let mut offences = Vec::new();
    for file in repository.rust() {
        let timed = |code: &str| code.contains(".elapsed(") || code.contains("duration_since(");
        let tests = file.rust.iter().filter(|line| line.test);
        let durations: Vec<&str> =
            tests.filter(|l| timed(&l.code)).filter_map(|l| assigned(&l.code)).collect();
        for (index, line) in file.rust.iter().enumerate() {
            if line.test && contains_word(&line.code, "assert!") {
                let asserted = statement(&file.rust[index..]);
                if timed(&asserted) || durations.iter().any(|name| contains_word(&asserted, name)) {
                    offences.push(Offence::at(file, index, advice));
                }
            }
        }
    }
    offences
}

/// The name that a line assigns to.
fn assigned(code: &str) -> Option<&str> {
    let (place, _) = code.split_once(" = ")?;
    place.split_whitespace().next_back()
}

/// The code from the first of `lines` to the end of its statement.
fn statement(lines: &[Line]) -> String {
    let end = lines.iter().position(|line| line.code.contains(';')).unwrap_or(0);
    lines[..=end].iter().map(|line| line.code.as_str()).collect()
}

/// What is not run says why.
pub(crate) const IGNORED: Rule = Rule {
    name: "an ignored test says why",
    check: ignored,
    offending: &[&[("crates/engine/tests/parity.rs", "#[test]\n#[ignore]\nfn b7() {}")]],
    passing: &[&[(
        "crates/engine/tests/parity.rs",
        "#[ignore = \"takes minutes: needs PyTorch\"]\nfn b7() {}",
    )]],
};

fn ignored(repository: &Repository) -> Vec<Offence> {
    let advice = "write `#[ignore = \"why, and how to run it\"]`";
    repository.rust_lines(|_, line| (line.code.trim() == "#[ignore]").then(|| advice.to_owned()))
}
