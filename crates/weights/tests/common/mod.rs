//! Checkpoints made in memory.
#![allow(dead_code, reason = "no test needs everything")]

use effigy_arch::EfficientNet;
use effigy_tensor::Tensor;

/// A network small enough to be made in a test.
pub(crate) const TINY: &str = "efficientnet-w0.1-d0.1-r32";

/// Tensors by name, in order.
#[derive(Clone, Default)]
pub(crate) struct Checkpoint(Vec<(String, Vec<usize>, Vec<f32>)>);

/// [`TINY`] with 5 classes under lukemelas' names. Values differ from each other and from zero.
pub(crate) fn tiny() -> Checkpoint {
    let model = EfficientNet::from_name(TINY).unwrap().with_classes(5);
    let specs = model.graph().param_specs().into_iter();
    let mut next = 0.0_f32;
    let tensors = specs.map(|spec| {
        let count = spec.shape.iter().product();
        let values = (0..count).map(|_| {
            next += 1.0;
            (next * 0.37).sin() + 1.5
        });
        (lukemelas(&spec.name), spec.shape, values.collect())
    });
    Checkpoint(tensors.collect())
}

/// Written apart from the crate's own table, so that each checks the other.
pub(crate) fn lukemelas(canonical: &str) -> String {
    let pairs = [
        ("stem.conv", "_conv_stem"),
        ("stem.bn", "_bn0"),
        ("head.conv", "_conv_head"),
        ("head.bn", "_bn1"),
        ("head.classifier", "_fc"),
        ("expand.conv", "_expand_conv"),
        ("expand.bn", "_bn0"),
        ("depthwise.conv", "_depthwise_conv"),
        ("depthwise.bn", "_bn1"),
        ("se.reduce", "_se_reduce"),
        ("se.expand", "_se_expand"),
        ("project.conv", "_project_conv"),
        ("project.bn", "_bn2"),
    ];
    let name = canonical.replace("blocks.", "_blocks.");
    let (from, to) = pairs.iter().find(|(from, _)| name.contains(&format!("{from}."))).unwrap();
    name.replace(from, to)
}

impl Checkpoint {
    pub(crate) fn prefixed(mut self, prefix: &str) -> Self {
        self.0.iter_mut().for_each(|(name, ..)| name.insert_str(0, prefix));
        self
    }

    pub(crate) fn map_values(mut self, f: impl Fn(f32) -> f32) -> Self {
        self.0.iter_mut().flat_map(|(.., values)| values).for_each(|v| *v = f(*v));
        self
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, ..)| known != name);
    }

    pub(crate) fn insert(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        self.remove(name);
        self.0.push((name.to_owned(), shape.to_vec(), values));
    }

    /// One that is not there yet.
    pub(crate) fn push(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        self.0.push((name.to_owned(), shape.to_vec(), values));
    }

    pub(crate) fn tensors(self) -> impl Iterator<Item = (String, Tensor)> {
        self.0.into_iter().map(|(name, shape, values)| (name, Tensor::new(&shape, values).unwrap()))
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> &mut [f32] {
        &mut self.0.iter_mut().find(|(known, ..)| known == name).unwrap().2
    }

    pub(crate) fn to_safetensors(&self) -> Vec<u8> {
        let mut header = serde_json::Map::new();
        let mut data = Vec::new();
        for (name, shape, values) in &self.0 {
            let start = data.len();
            data.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            let entry =
                serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
            header.insert(name.clone(), entry);
        }
        let header = serde_json::to_string(&header).unwrap();
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
    }
}
