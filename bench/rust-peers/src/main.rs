//! Peers written in Rust, as processes that stay warm: `rust-peers ENGINE TASK` speaks the protocol of
//! `inside/worker.py`; `rust-peers --once ENGINE TASK` loads, answers once and ends.

mod engines;

use std::io::{BufRead, Write};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use engines::Engine;

/// What is to be computed: see `front/contenders.py`.
#[derive(Deserialize)]
struct Task {
    network: String,
    size: usize,
    precision: String,
    threads: usize,
    batch: usize,
    /// The form that is read, and where each one lies.
    forms: Vec<String>,
    files: std::collections::HashMap<String, String>,
    picture: String,
    noise: String,
}

/// A line of standard input.
#[derive(Deserialize)]
struct Request {
    output: Option<String>,
    #[serde(default)]
    warmup: usize,
    #[serde(default)]
    runs: usize,
}

fn main() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let once = arguments.first().is_some_and(|argument| argument == "--once");
    if once {
        arguments.remove(0);
    }
    let [engine, task] = arguments.as_slice() else {
        bail!("usage: rust-peers [--once] ENGINE TASK");
    };
    let task: Task = serde_json::from_str(task)?;
    if once {
        let mut engine = load(engine, &task)?;
        let answer = engine.answer(&input(&task, &task.picture)?)?;
        return tell(&json!({"first": answer.first()}));
    }
    match serve(engine, &task) {
        Ok(()) => Ok(()),
        Err(error) => tell(&json!({"unable": format!("{error:#}")})),
    }
}

fn serve(engine: &str, task: &Task) -> Result<()> {
    let mut engine = load(engine, task)?;
    let noise = input(task, &task.noise)?;
    // What an engine cannot do it says at its first run.
    engine.answer(&noise)?;
    tell(&json!({"note": ""}))?;
    for line in std::io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?)?;
        if let Some(path) = request.output {
            let answer = engine.answer(&input(task, &task.picture)?)?;
            std::fs::write(path, answer.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
            tell(&json!({}))?;
            continue;
        }
        engine.feed(&noise)?;
        for _ in 0..request.warmup {
            engine.run()?;
        }
        let mut times = Vec::new();
        for _ in 0..request.runs {
            let start = Instant::now();
            engine.run()?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        tell(&json!({"times_ms": times}))?;
    }
    Ok(())
}

fn load(engine: &str, task: &Task) -> Result<Box<dyn Engine>> {
    if task.precision != "fp32" {
        bail!("measured in fp32 only");
    }
    let form = task.forms.first().context("a task names a form of the network")?;
    let path = task.files.get(form).with_context(|| format!("no file of the form {form}"))?;
    let shape = [task.batch, 3, task.size, task.size];
    Ok(match engine {
        "tract" => Box::new(engines::Tract::load(path, shape, task.threads)?),
        "rten" => Box::new(engines::Rten::load(path, shape, task.threads)?),
        "candle" => Box::new(engines::Candle::load(path, shape, &task.network)?),
        "onnxruntime" => Box::new(engines::OnnxRuntime::load(path, shape, task.threads)?),
        other => bail!("no engine is called {other}"),
    })
}

/// The pictures of a batch, each the same, [batch, 3, size, size].
fn input(task: &Task, path: &str) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path).with_context(|| path.to_owned())?;
    let (values, _) = bytes.as_chunks::<4>();
    let picture: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Ok(picture.repeat(task.batch))
}

/// Libraries may print; an answer is a line that begins with this mark.
fn tell(what: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "answer {what}")?;
    Ok(out.flush()?)
}
