//! Rules about tests.

use crate::{Offence, Repository, Rule, contains_word};

/// Speed is measured, not asserted.
pub(crate) const SPEED: Rule = Rule {
    name: "no test measures time: a busy machine must not fail it",
    check: speed,
    offending: &[
        &[("crates/kernels/tests/gemm.rs", "let start = Instant::now();\nassert!(start.elapsed() < limit);")],
        &[(
            "crates/kernels/src/gemm.rs",
            "#[cfg(test)]\nmod tests {\n    let t = std::time::SystemTime::now();\n}",
        )],
    ],
    passing: &[
        &[("crates/engine/src/run.rs", "let start = Instant::now();")],
        &[("crates/kernels/tests/pool.rs", "std::thread::sleep(Duration::from_millis(20));")],
    ],
};

fn speed(repository: &Repository) -> Vec<Offence> {
    let advice = "measure in bench/, where figures are recorded and compared; a test asserts what is true on any machine";
    in_tests(repository, |code| {
        contains_word(code, "Instant") || contains_word(code, "SystemTime") || code.contains(".elapsed(")
    })
    .map(|(file, index)| Offence::at(file, index, advice))
    .collect()
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
    in_tests(repository, |code| code.trim() == "#[ignore]")
        .map(|(file, index)| Offence::at(file, index, advice))
        .collect()
}

/// The lines of tests whose code `offends`.
fn in_tests(
    repository: &Repository,
    offends: impl Fn(&str) -> bool + Copy,
) -> impl Iterator<Item = (&crate::File, usize)> {
    repository.rust().flat_map(move |file| {
        let lines = file.rust.iter().enumerate();
        lines.filter(move |(_, line)| line.test && offends(&line.code)).map(move |(index, _)| (file, index))
    })
}
