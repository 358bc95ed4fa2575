//! Networks with random parameters.

#![allow(dead_code)] // Not every test uses all of it.

use std::collections::HashMap;

use effigy_arch::{Graph, ParamRole};
use effigy_tensor::Tensor;

/// Values in −1..1 from a linear congruential generator.
pub(crate) fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(step).collect()
}

/// Random parameters under which activations neither vanish nor explode, BatchNorm's included.
pub(crate) fn parameters(graph: &Graph) -> HashMap<String, Tensor> {
    let specs = graph.param_specs();
    let tensors = specs.iter().enumerate().map(|(i, spec)| {
        let len = spec.shape.iter().product();
        let fan_in: usize = spec.shape[1..].iter().product();
        let values = noise(len, i as u32).into_iter().map(|v| match spec.role {
            ParamRole::Weight if spec.shape.len() > 1 => v * (4.0 / fan_in as f32).sqrt(),
            ParamRole::Weight | ParamRole::RunningVar => 1.0 + v * 0.5,
            ParamRole::Bias | ParamRole::RunningMean => v * 0.3,
        });
        (spec.name.clone(), Tensor::new(&spec.shape, values.collect()).unwrap())
    });
    tensors.collect()
}

pub(crate) fn input(graph: &Graph, images: usize, height: usize, width: usize) -> Tensor {
    let shape = [images, height, width, graph.input_channels()];
    Tensor::new(&shape, noise(shape.iter().product(), 99)).unwrap()
}
