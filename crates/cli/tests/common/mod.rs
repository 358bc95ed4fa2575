//! What the tests of the command share.

// Every test file has this module to itself and uses a part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use effigy::Tensor;
use effigy::arch::{EfficientDet, Network, ParamRole, ParamSpec};
use effigy::weights::{Precision, Weights, convert};
use serde_json::Value;

pub(crate) fn photo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../effigy/assets/chelsea.jpg")
}

pub(crate) fn effigy() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_effigy"));
    command.env("EFFIGY_OFFLINE", "1").env("EFFIGY_THREADS", "1").env_remove("EFFIGY_ISA");
    command
}

/// Runs `effigy` with arguments in a folder.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    effigy().current_dir(folder).args(arguments).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("not ended by a signal")
}

pub(crate) fn json(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Writes a made-up EfficientDet-Lite0 for small pictures, of classes a, b and c; its answers are `bias` and
/// noise.
pub(crate) fn write_detector(path: &Path, bias: f32) {
    let network = EfficientDet::from_name("efficientdet-lite0").unwrap().with_classes(3).with_size(64, 64);
    let specs = network.graph().param_specs();
    let tensors = specs.into_iter().map(|spec| (spec.name.clone(), made_up(&spec, bias)));
    let labels = ["a", "b", "c"].map(str::to_owned);
    let weights = Weights::from_tensors(tensors);
    convert(path, &Network::from(network), &weights, Some(&labels), Precision::F32).unwrap();
}

fn made_up(ParamSpec { name, role, shape, .. }: &ParamSpec, bias: f32) -> Tensor {
    let count: usize = shape.iter().product();
    let fan_in: usize = shape.iter().skip(1).product();
    let noise = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    let values = match role {
        ParamRole::Weight if shape.len() > 1 => {
            (0..count).map(|i| noise(i + name.len()) * (6.0 / fan_in as f32).sqrt()).collect()
        }
        ParamRole::Weight | ParamRole::RunningVar => vec![1.0; count],
        ParamRole::Bias if name.starts_with("class.predict") => vec![bias; count],
        ParamRole::Bias | ParamRole::RunningMean => vec![0.0; count],
    };
    Tensor::new(shape, values).unwrap()
}
