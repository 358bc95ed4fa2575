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
            let arithmetic = file.is_in("crates/kernels/") || file.is_in("crates/gradients/");
            arithmetic || file.is_in("crates/tensor/") || counts_allocations(file)
        },
        free_in_tests: false,
        instead: "unsafe code lives in crates/kernels, crates/gradients and crates/tensor only",
    },
    Place {
        names: &["thread::spawn", "thread::Builder", "thread::scope", "rayon"],
        // The network's threads are the pool's. Pictures are read ahead of the network by others, for which the
        // network does not wait.
        allowed: |file| file.path == "crates/kernels/src/pool.rs" || READERS.contains(&file.path.as_str()),
        free_in_tests: true,
        instead: "the network's threads are those of crates/kernels/src/pool.rs; only readers of pictures have their own",
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
        allowed: |file| file.path == VIDEO,
        free_in_tests: true,
        instead: "effigy runs no program but ffmpeg, in crates/cli/src/video.rs, and loads no code",
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

/// Where pictures are read while the network runs: for inference, and for training and checking data sets.
const READERS: [&str; 2] = ["crates/cli/src/pipeline.rs", "crates/data/src/ahead.rs"];

/// Where videos are read and written, by ffmpeg.
const VIDEO: &str = "crates/cli/src/video.rs";

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
        &[("crates/data/src/ahead.rs", "std::thread::spawn(work);")],
        &[("crates/tensor/src/map.rs", "unsafe { map(file) }")],
        &[(
            "crates/vision/tests/fuzz.rs",
            "unsafe impl GlobalAlloc for A {}\n#[global_allocator]\nstatic A: A = A;",
        )],
        &[("crates/engine/src/run.rs", "// no unsafe { here }: println!(\"unsafe {x}\")")],
        &[("crates/engine/tests/run.rs", "println!(\"skipped\"); std::thread::scope(|s| ());")],
        &[("crates/vision/src/lib.rs", "#[cfg(test)]\nmod tests {\n    println!(\"skipped\");\n}")],
        &[("crates/cli/src/classify.rs", "println!(\"{x}\");")],
        &[("crates/cli/src/video.rs", "std::process::Command::new(\"ffmpeg\")")],
    ],
};

fn places(repository: &Repository) -> Vec<Offence> {
    repository.rust_lines(|file, line| {
        let written = |place: &Place| place.names.iter().find(|name| contains_word(&line.code, name));
        let free = |place: &Place| file.is_tidy() || line.test && place.free_in_tests;
        PLACES_OF_NAMES.iter().find_map(|place| {
            let name = written(place).filter(|_| !free(place) && !(place.allowed)(file))?;
            Some(format!("{name}: {}", place.instead))
        })
    })
}
