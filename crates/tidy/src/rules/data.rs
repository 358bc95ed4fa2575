//! Rules about networks, checkpoints and boxes.

use crate::{Offence, Repository, Rule, contains_word};

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
    repository.rust_lines(|file, line| {
        let free = line.test || file.is_tidy() || file.is_in("crates/arch/");
        let building = builds(&line.code, "Graph {") || builds(&line.code, "Node {");
        (building && !free).then(|| advice.to_owned())
    })
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
    let advice = "this executes code of the file: use `torch.load(…, weights_only=True)` on one line";
    let executes = |line: &str| {
        contains_word(line, "pickle.load")
            || contains_word(line, "pickle.loads")
            || line.contains("torch.load(") && !line.contains("weights_only=True")
    };
    repository
        .text_lines(|file, line| (file.has_extension("py") && executes(line)).then(|| advice.to_owned()))
}

/// A box says what its numbers are.
pub(crate) const BOXES: Rule = Rule {
    name: "the order of a box's numbers is told by its type's fields, not by a comment",
    check: boxes,
    offending: &[
        &[("crates/eval/src/ap.rs", "let b: [f32; 4] = f(); // x1, y1, x2, y2")],
        &[("crates/eval/src/ap.rs", "/// Corners (ymin, xmin, ymax, xmax).\nfn f(b: [f32; 4]) {}")],
        &[("crates/eval/src/ap.rs", "// xywh")],
    ],
    passing: &[
        &[("crates/vision/src/boxes.rs", "/// As TensorFlow has them: `[y1, x1, y2, x2]`.")],
        &[("crates/eval/src/ap.rs", "/// Left and right: `x1 < x2`.\nstruct Box { x1: f32, x2: f32 }")],
    ],
};

/// The one place where boxes come from and become arrays of other programs.
const BOX_TYPES: &str = "crates/vision/src/boxes.rs";

fn boxes(repository: &Repository) -> Vec<Offence> {
    const ORDERS: [&str; 8] =
        ["x1y1x2y2", "y1x1y2x2", "xyxy", "yxyx", "xywh", "cxcywh", "xminymin", "yminxmin"];
    let advice =
        "use a type of crates/vision/src/boxes.rs: a comment cannot stop anyone from mixing two orders";
    repository.rust_lines(|file, line| {
        let letters: String = line.comment.chars().filter(char::is_ascii_alphanumeric).collect();
        let ordered = ORDERS.iter().any(|order| letters.to_ascii_lowercase().contains(order));
        (ordered && !file.is_tidy() && file.path != BOX_TYPES).then(|| advice.to_owned())
    })
}
