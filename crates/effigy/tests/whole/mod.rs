//! Whole tensors in a file, and how far others are from them.

use effigy_tensor::Tensor;
use effigy_weights::StateDict;

/// The largest difference allowed, as a share of the tensor's range (maximum − minimum).
pub(crate) const TOLERANCE: f32 = 1e-4;

pub(crate) fn tensor(file: &StateDict, name: &str) -> Tensor {
    let entry = file.get(name).unwrap_or_else(|| panic!("no {name}"));
    Tensor::new(entry.tensor().shape(), entry.values().into_owned()).expect("one value per element")
}

/// The largest difference as a share of the range; NaN where anything is NaN.
pub(crate) fn difference(expected: &Tensor, actual: &Tensor) -> f32 {
    assert_eq!(expected.data().len(), actual.data().len(), "{:?}", expected.shape());
    let values = expected.data();
    let (min, max) = values.iter().fold((f32::MAX, f32::MIN), |(min, max), &v| (min.min(v), max.max(v)));
    let differences = values.iter().zip(actual.data()).map(|(e, a)| (e - a).abs());
    let worst = differences.fold(0.0, |worst, d| if d > worst || d.is_nan() { d } else { worst });
    worst / (max - min)
}
