//! Rules about manifests.

use crate::{Offence, Repository, Rule};

/// The layers, from the bottom. A crate depends on crates of lower layers only.
const LAYERS: &[&[&str]] = &[
    &["tensor", "arch"],
    &["vision", "weights", "kernels"],
    &["engine", "eval", "data", "gradients"],
    &["train"],
    &["effigy"],
    &["cli"],
    // Reads files and belongs to no crate; nothing may depend on it.
    &["tidy"],
];

/// Dependencies point down.
pub(crate) const DEPENDENCIES: Rule = Rule {
    name: "a crate depends only on crates of the layers below it",
    check: dependencies,
    offending: &[
        &[("crates/kernels/Cargo.toml", "[dependencies]\neffigy-engine.workspace = true")],
        &[("crates/vision/Cargo.toml", "[dependencies]\neffigy-weights = { path = \"../weights\" }")],
        &[("crates/vision/Cargo.toml", "[dev-dependencies]\neffigy.workspace = true")],
        &[("crates/arch/Cargo.toml", "[dependencies.effigy-tensor]\nworkspace = true")],
        &[(
            "crates/arch/Cargo.toml",
            "[dependencies]\ntensor = { package = \"effigy-tensor\", path = \"..\" }",
        )],
        &[("crates/newcomer/Cargo.toml", "[package]\nname = \"effigy-newcomer\"")],
    ],
    passing: &[&[(
        "crates/engine/Cargo.toml",
        "[package]\nname = \"effigy-engine\"\n[dependencies]\neffigy-arch.workspace = true # data\nhalf = \"2\"",
    )]],
};

/// Every crate has the workspace's lints.
pub(crate) const LINTS: Rule = Rule {
    name: "a crate inherits the workspace's lints",
    check: lints,
    offending: &[
        &[("crates/vision/Cargo.toml", "[package]\nname = \"effigy-vision\"")],
        &[("crates/vision/Cargo.toml", "[lints.rust]\nunsafe_code = \"allow\"")],
    ],
    passing: &[&[("crates/vision/Cargo.toml", "[lints]\nworkspace = true")]],
};

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

fn dependencies(repository: &Repository) -> Vec<Offence> {
    let mut offences = Vec::new();
    for (name, manifest) in repository.manifests() {
        let Some(own) = layer(name) else {
            let message =
                "this crate has no layer: give it one in LAYERS of crates/tidy and in ARCHITECTURE.md";
            offences.push(Offence::of(&manifest.path, message));
            continue;
        };
        for (index, other) in dependencies_of(&manifest.text) {
            if layer(&other).is_none_or(|other| other >= own) {
                let message = format!(
                    "{name} must not depend on {other}, which is not below it: move what both need down, \
                     or what needs both up"
                );
                offences.push(Offence::at(manifest, index, message));
            }
        }
    }
    offences
}

/// The crates of this workspace that a manifest names, each with the index of its line.
fn dependencies_of(manifest: &str) -> Vec<(usize, String)> {
    let mut section = "";
    let mut found = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let name = if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
            section.rsplit_once("dependencies.").map_or("", |(_, name)| name)
        } else if section.ends_with("dependencies") {
            let renamed = line.split_once("package = \"").and_then(|(_, rest)| rest.split('"').next());
            renamed.unwrap_or_else(|| line.split(['.', '=']).next().unwrap_or_default().trim())
        } else {
            ""
        };
        let own = name.strip_prefix("effigy-").or((name == "effigy").then_some(name));
        found.extend(own.map(|own| (index, own.to_owned())));
    }
    found
}

fn lints(repository: &Repository) -> Vec<Offence> {
    let inherits = |text: &str| {
        text.split_once("[lints]").is_some_and(|(_, rest)| rest.trim_start().starts_with("workspace = true"))
    };
    let without = repository.manifests().filter(|(_, manifest)| !inherits(&manifest.text));
    without
        .map(|(_, manifest)| Offence::of(&manifest.path, "add `[lints]` with `workspace = true`"))
        .collect()
}
