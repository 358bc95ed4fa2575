//! Times a training step: forward, backward, and SGD with momentum, on pictures of noise.
//!
//!     cargo run --release -p effigy-train --example step -- efficientnet-b0 224 16 5 2
//!
//! Network, side of the picture, batch, steps and threads. Prints the milliseconds of every step, and the process's
//! peak memory; `bench/train.py` reads that. With `--profile` also where the milliseconds of a step go, its first one
//! left out, by kind of work and, the longest first, by node; with `--bf16` convolutions multiply 16-bit floats.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use effigy_arch::{EfficientDet, EfficientNet, ParamRole};
use effigy_kernels::naive::noise;
use effigy_tensor::Tensor;
use effigy_train::{CpuDevice, CpuOptions, Device, Parameters, Pass, Timing, TrainingPrecision};

fn main() {
    let (flags, arguments): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    if let Some(flag) = flags.iter().find(|flag| !["--profile", "--bf16"].contains(&flag.as_str())) {
        eprintln!("{flag} is no flag here; --profile and --bf16 are");
        std::process::exit(2);
    }
    let given = |flag: &str| flags.iter().any(|given| given == flag);
    let text = |i: usize, default: &str| arguments.get(i).map_or(default, String::as_str).to_owned();
    let number = |i, default| text(i, default).parse::<usize>().expect("a number");
    let name = text(0, "efficientnet-b0");
    let (side, batch, steps, threads) = (number(1, "224"), number(2, "16"), number(3, "5"), number(4, "2"));
    let graph = match EfficientNet::from_name(&name) {
        Ok(network) => network.graph(),
        Err(_) => EfficientDet::from_name(&name).expect("a network's name").graph(),
    };
    let mut parameters = Parameters::zeroed(&graph);
    for (seed, slot) in parameters.slots().to_vec().into_iter().enumerate() {
        let fan_in: usize = slot.spec.shape[1..].iter().product();
        let matrix = slot.spec.shape.len() > 1;
        let values = noise(slot.range.len(), seed as u32);
        for (to, value) in parameters.values_mut()[slot.range.clone()].iter_mut().zip(values) {
            *to = match slot.spec.role {
                ParamRole::Weight if matrix => value * (6.0 / fan_in as f32).sqrt(),
                ParamRole::Weight | ParamRole::RunningVar => 1.0,
                ParamRole::Bias | ParamRole::RunningMean => 0.0,
            };
        }
    }
    let precision = if given("--bf16") { TrainingPrecision::Bf16 } else { TrainingPrecision::Fp32 };
    let mut device = CpuDevice::new(graph, &CpuOptions { precision, ..CpuOptions::new(threads) });
    let input = Tensor::new(&[batch, side, side, 3], noise(batch * side * side * 3, 1)).expect("a batch");
    let mut gradients = parameters.zeros_like();
    let mut momentum = parameters.zeros_like();
    for step in 0..steps {
        if step == 1 && given("--profile") {
            device.start_profile();
        }
        let start = Instant::now();
        let outputs =
            device.forward(&mut parameters, &input, Pass::Train { seed: step as u64 }).expect("runs");
        let forward = start.elapsed();
        let d: Vec<Tensor> = outputs
            .iter()
            .map(|y| {
                let share = y.data().iter().map(|value| value / y.data().len() as f32);
                Tensor::new(y.shape(), share.collect()).expect("of the same shape")
            })
            .collect();
        gradients.values_mut().fill(0.0);
        device.backward(&parameters, &d, &mut gradients).expect("runs");
        let backward = start.elapsed();
        let moments = momentum.values_mut().iter_mut().zip(gradients.values());
        for (value, (moment, gradient)) in parameters.values_mut().iter_mut().zip(moments) {
            *moment = 0.9 * *moment + gradient;
            *value -= 1e-3 * *moment;
        }
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let all = start.elapsed();
        println!("step {:.1} forward {:.1} backward {:.1}", ms(all), ms(forward), ms(backward - forward));
    }
    print_profile(&device.profile(), steps.saturating_sub(1));
    println!("planned {} MB", device.memory_needed([batch, side, side, 3]) / 1_000_000);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown").trim();
    println!("peak {peak}");
}

/// Nodes that are listed.
const LISTED: usize = 40;

/// Milliseconds of one of `steps` steps, share of all, GFLOP/s and GB/s.
fn print_profile(timings: &[Timing], steps: usize) {
    let all: Duration = timings.iter().map(|timing| timing.time).sum();
    let print = |what: &str, time: Duration, operations: u64, bytes: u64| {
        let seconds = time.as_secs_f64() / steps as f64;
        let rate = |count: u64| count as f64 / seconds / 1e9;
        let share = 100.0 * time.as_secs_f64() / all.as_secs_f64();
        let (ms, flops, bandwidth) = (seconds * 1e3, rate(operations), rate(bytes));
        println!("{ms:8.2} ms {share:5.1} % {flops:6.1} GFLOP/s {bandwidth:6.1} GB/s  {what}");
    };
    let mut kinds: BTreeMap<String, (Duration, u64, u64)> = BTreeMap::new();
    for timing in timings {
        let kind = kinds.entry(format!("{}, {}", timing.operation, timing.work)).or_default();
        *kind = (kind.0 + timing.time, kind.1 + timing.operations, kind.2 + timing.bytes);
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, (time, ..))| std::cmp::Reverse(*time));
    for (kind, (time, operations, bytes)) in kinds {
        print(&kind, time, operations, bytes);
    }
    let mut nodes: Vec<&Timing> = timings.iter().collect();
    nodes.sort_by_key(|timing| std::cmp::Reverse(timing.time));
    for timing in nodes.into_iter().take(LISTED) {
        let what = format!("{} ({}, {})", timing.node, timing.operation, timing.work);
        print(&what, timing.time, timing.operations, timing.bytes);
    }
}
