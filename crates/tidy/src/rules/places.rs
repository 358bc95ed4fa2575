//! Rules about what may be written where.

use crate::{File, Offence, Repository, Rule, contains_word};

/// Names that may be written in certain places only.
struct Place {
    names: &'static [&'static str],
    allowed: fn(&File) -> bool,
    /// Whether tests, examples and benchmarks may use them anywhere.
    free_in_tests: bool,
    instead: &'static str,
}

const PLACES_OF_NAMES: &[Place] = &[
    Place {
        names: &["std::arch", "core::arch", "is_x86_feature_detected!", "target_feature"],
        allowed: |file| file.is_in("crates/kernels/src/isa/"),
        free_in_tests: false,
        instead: "write the algorithm over `Simd`; intrinsics live in crates/kernels/src/isa",
    },
    Place {
        names: &["unsafe", "unsafe_code"],
        allowed: |file| {
            file.is_in("crates/kernels/") || file.is_in("crates/tensor/") || counts_allocations(file)
        },
        free_in_tests: false,
        instead: "unsafe code lives in crates/kernels and crates/tensor only",
    },
    Place {
        names: &["thread::spawn", "thread::Builder", "thread::scope", "rayon"],
        // The network's threads are the pool's. The decoder reads pictures ahead of the network.
        allowed: |file| file.path == "crates/kernels/src/pool.rs" || file.path == DECODER,
        free_in_tests: true,
        instead: "the network's threads are those of crates/kernels/src/pool.rs; only the decoder has its own",
    },
    Place {
        names: &["print!", "println!", "eprint!", "eprintln!"],
        allowed: |file| file.is_in("crates/cli/"),
        free_in_tests: true,
        instead: "a library returns what it has to say; only crates/cli prints",
    },
    Place {
        names: &["process::exit"],
        allowed: |file| file.path == "crates/cli/src/main.rs",
        free_in_tests: true,
        instead: "return an error; only crates/cli/src/main.rs ends the process",
    },
    Place {
        names: &["process::Command", "libloading", "dlopen", "pyo3"],
        allowed: |_| false,
        free_in_tests: true,
        instead: "effigy runs no other program and loads no code; checkpoints and pictures are data",
    },
    Place {
        names: &["TcpStream", "ureq", "reqwest"],
        allowed: |file| file.is_in("crates/weights/src/hub"),
        free_in_tests: true,
        instead: "only the hub, crates/weights/src/hub, opens connections",
    },
    Place {
        names: &["std::fs", "std::io", "std::net", "std::env", "std::path", "std::time"],
        allowed: |file| !file.is_in("crates/arch/"),
        free_in_tests: true,
        instead: "arch is pure data and arithmetic: no files, no environment, no clock",
    },
    Place {
        names: &["Other(String)"],
        allowed: |_| false,
        free_in_tests: false,
        instead: "an error is typed: add a variant that names the file, the tensor or the node",
    },
];

/// Where pictures are decoded while the network runs.
const DECODER: &str = "crates/cli/src/pipeline.rs";

/// A test that counts what is allocated implements `GlobalAlloc`, whose methods are unsafe.
fn counts_allocations(file: &File) -> bool {
    file.path.contains("/tests/") && file.rust.iter().any(|line| line.code.trim() == "#[global_allocator]")
}

/// Names stay in their places.
pub(crate) const PLACES: Rule = Rule {
    name: "intrinsics, unsafe code, threads, printing, processes, connections and files stay in their places",
    check: places,
    offending: &[
        &[("crates/kernels/src/gemm/tile.rs", "use std::arch::x86_64::*;")],
        &[("crates/engine/src/run.rs", "let x = unsafe { *p };")],
        &[("crates/engine/tests/run.rs", "#![allow(unsafe_code)]")],
        &[("crates/weights/src/lib.rs", "std::thread::scope(|s| ());")],
        &[("crates/vision/src/lib.rs", "println!(\"{x}\");")],
        &[("crates/cli/src/classify.rs", "std::process::exit(1)")],
        &[("crates/weights/src/format/pickle.rs", "std::process::Command::new(\"sh\")")],
        &[("crates/vision/src/decode.rs", "TcpStream::connect(address)")],
        &[("crates/arch/src/table.rs", "use std::fs::read;")],
        &[("crates/vision/src/error.rs", "    Other(String),")],
    ],
    passing: &[
        &[("crates/kernels/src/isa/avx2.rs", "use std::arch::x86_64::*;")],
        &[("crates/tensor/src/map.rs", "unsafe { map(file) }")],
        &[(
            "crates/vision/tests/fuzz.rs",
            "unsafe impl GlobalAlloc for A {}\n#[global_allocator]\nstatic A: A = A;",
        )],
        &[("crates/engine/src/run.rs", "// no unsafe { here }: println!(\"unsafe {x}\")")],
        &[("crates/engine/tests/run.rs", "println!(\"skipped\"); std::thread::scope(|s| ());")],
        &[("crates/vision/src/lib.rs", "#[cfg(test)]\nmod tests {\n    println!(\"skipped\");\n}")],
        &[("crates/cli/src/classify.rs", "println!(\"{x}\");")],
    ],
};

fn places(repository: &Repository) -> Vec<Offence> {
    let mut offences = Vec::new();
    for file in repository.rust().filter(|file| !is_tidy(file)) {
        for place in PLACES_OF_NAMES.iter().filter(|place| !(place.allowed)(file)) {
            for (index, line) in file.rust.iter().enumerate() {
                let free = line.test && place.free_in_tests;
                let name = place.names.iter().find(|name| !free && contains_word(&line.code, name));
                offences
                    .extend(name.map(|name| Offence::at(file, index, format!("{name}: {}", place.instead))));
            }
        }
    }
    offences
}

/// This crate reads files and runs rustfmt; it is no part of effigy.
fn is_tidy(file: &File) -> bool {
    file.is_in("crates/tidy/")
}

/// A network is described once.
pub(crate) const ONE_DESCRIPTION: Rule = Rule {
    name: "a network is described once, by the graph that arch builds",
    check: one_description,
    offending: &[
        &[("crates/engine/src/model.rs", "let graph = Graph { nodes, outputs, endpoints };")],
        &[("crates/weights/src/load.rs", "nodes.push(effigy_arch::Node {")],
    ],
    passing: &[
        &[("crates/arch/src/builder.rs", "Graph { nodes, outputs, endpoints }")],
        &[("crates/engine/src/model.rs", "fn graph(&self) -> &Graph {\nlet Graph { nodes, .. } = graph;")],
        &[("crates/engine/src/model.rs", "impl Reads for Node {\npub struct Node {")],
        &[("crates/engine/tests/fusion.rs", "Graph { nodes, outputs, endpoints }")],
    ],
};

fn one_description(repository: &Repository) -> Vec<Offence> {
    let advice = "only crates/arch builds graphs: add a row or an option there, and read its graph here";
    let elsewhere = repository.rust().filter(|file| !file.is_in("crates/arch/") && !is_tidy(file));
    let mut offences = Vec::new();
    for file in elsewhere {
        let lines = file.rust.iter().enumerate().filter(|(_, line)| !line.test);
        let building =
            lines.filter(|(_, line)| builds(&line.code, "Graph {") || builds(&line.code, "Node {"));
        offences.extend(building.map(|(index, _)| Offence::at(file, index, advice)));
    }
    offences
}

/// Whether `literal` begins a value here, not a type, a pattern or a function's body.
fn builds(code: &str, literal: &str) -> bool {
    const OTHERS: [&str; 8] = ["struct", "enum", "impl", "for", "let", "->", "&", "match"];
    let before = code.find(literal).filter(|_| contains_word(code, literal)).map(|at| code[..at].trim_end());
    before.is_some_and(|before| {
        let path = before.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_' || c == ':').trim_end();
        let before = if before.ends_with("::") { path } else { before };
        !OTHERS.iter().any(|other| before.ends_with(other))
    })
}

/// Checkpoints are never executed.
pub(crate) const PICKLE: Rule = Rule {
    name: "no script executes a checkpoint's pickle",
    check: pickle,
    offending: &[
        &[("bench/peers.py", "state = torch.load(path)")],
        &[("crates/weights/tests/golden/make.py", "state = pickle.load(file)")],
    ],
    passing: &[&[("bench/peers.py", "state = torch.load(path, weights_only=True)")]],
};

fn pickle(repository: &Repository) -> Vec<Offence> {
    let executes = |line: &str| {
        contains_word(line, "pickle.load")
            || contains_word(line, "pickle.loads")
            || line.contains("torch.load(") && !line.contains("weights_only=True")
    };
    let advice = "this executes code of the file: use `torch.load(…, weights_only=True)` on one line";
    let mut offences = Vec::new();
    for file in repository.files.iter().filter(|file| file.has_extension("py")) {
        let lines = file.text.lines().enumerate().filter(|(_, line)| executes(line));
        offences.extend(lines.map(|(index, _)| Offence::at(file, index, advice)));
    }
    offences
}

/// A box says what its numbers are.
pub(crate) const BOXES: Rule = Rule {
    name: "the order of a box's numbers is told by its type's fields, not by a comment",
    check: boxes,
    offending: &[
        &[("crates/vision/src/boxes.rs", "let b: [f32; 4] = f(); // x1, y1, x2, y2")],
        &[("crates/vision/src/boxes.rs", "/// Corners (ymin, xmin, ymax, xmax).\nfn f(b: [f32; 4]) {}")],
        &[("crates/vision/src/boxes.rs", "// xywh")],
    ],
    passing: &[&[(
        "crates/vision/src/boxes.rs",
        "/// Left and right: `x1 < x2`.\nstruct Box { x1: f32, x2: f32 }",
    )]],
};

fn boxes(repository: &Repository) -> Vec<Offence> {
    const ORDERS: [&str; 8] =
        ["x1y1x2y2", "y1x1y2x2", "xyxy", "yxyx", "xywh", "cxcywh", "xminymin", "yminxmin"];
    let mut offences = Vec::new();
    for file in repository.rust().filter(|file| !is_tidy(file)) {
        for (index, line) in file.rust.iter().enumerate() {
            let letters: String = line.comment.chars().filter(char::is_ascii_alphanumeric).collect();
            if ORDERS.iter().any(|order| letters.to_ascii_lowercase().contains(order)) {
                let advice =
                    "name the numbers as fields of a struct; a comment cannot stop anyone from mixing them";
                offences.push(Offence::at(file, index, advice));
            }
        }
    }
    offences
}
