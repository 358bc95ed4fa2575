//! TensorFlow's checkpoints: those that `golden/make_tensorflow.py` wrote with TensorFlow itself.

use std::path::{Path, PathBuf};

use effigy_weights::format::Format;
use effigy_weights::{DType, LoadOptions, StoredTensor, load, read, read_bytes, read_shards};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tensorflow").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).unwrap()
}

/// Why the tiny checkpoint with another index and other shards is refused.
fn refusal(index: Vec<u8>, shards: [Vec<u8>; 2]) -> String {
    let error = read_shards(index, &shards.map(Into::into), Path::new("tiny.index")).unwrap_err();
    error.to_string()
}

fn shards() -> [Vec<u8>; 2] {
    [bytes("tiny.data-00000-of-00002"), bytes("tiny.data-00001-of-00002")]
}

#[test]
fn every_type_is_read_from_either_shard() {
    // The folder has a file `checkpoint`, which names the prefix by a path that is not here.
    for name in ["tiny", "tiny.index", "tiny.data-00000-of-00002", ""] {
        let state = read(&golden(name)).unwrap();
        assert_eq!(state.format(), Format::TensorFlow);
        let matrix = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5];
        for (name, dtype) in [
            ("net/float64", DType::F64),
            ("net/float32", DType::F32),
            ("net/float16", DType::F16),
            ("net/bfloat16", DType::Bf16),
        ] {
            let entry = state.get(name).unwrap();
            assert_eq!((entry.tensor().dtype(), entry.tensor().shape()), (dtype, &[2, 3][..]));
            assert_eq!(*entry.values(), matrix);
        }
        for (name, dtype) in [
            ("net/int64", DType::I64),
            ("net/int32", DType::I32),
            ("net/int16", DType::I16),
            ("net/int8", DType::I8),
            ("net/uint8", DType::U8),
        ] {
            let entry = state.get(name).unwrap();
            assert_eq!((entry.tensor().dtype(), &*entry.values()), (dtype, &[7.0, 0.0, 100.0][..]));
        }
        assert_eq!(*state.get("net/bool").unwrap().values(), [1.0, 0.0]);
        assert_eq!(state.get("net/nothing").unwrap().tensor().shape(), [0, 4]);
        assert_eq!(*state.get("global_step").unwrap().values(), [12345.0]);
        assert_eq!(state.notes(), ["passed over `text`: effigy does not read text"]);
        assert_eq!(state.tensors().len(), 12);
    }
}

#[test]
fn names_are_in_the_order_of_the_index() {
    let state = read(&golden("tiny")).unwrap();
    assert!(state.tensors().iter().map(StoredTensor::name).is_sorted());
}

#[test]
fn damage_is_told() {
    let index = || bytes("tiny.index");
    let mut damaged = index();
    damaged[40] ^= 1;
    assert!(refusal(damaged, shards()).contains("checksum"));
    let mut damaged = shards();
    damaged[1][5] ^= 1;
    let message = refusal(index(), damaged);
    assert!(message.contains("`global_step`") && message.contains("checksum"), "{message}");
    let [first, mut second] = shards();
    second.truncate(20);
    assert!(refusal(index(), [first, second]).contains("truncated"));
    // Without its last bytes nothing shows that it is an index.
    let cut = index()[..index().len() - 1].to_vec();
    assert!(read_bytes(cut, Path::new("tiny.index")).unwrap_err().to_string().contains("starts with"));
}

#[test]
fn what_is_not_read_is_told() {
    let refused = |name: &str| read(&golden(name)).unwrap_err().to_string();
    assert!(refused("sliced").contains("tensor `kernel`: it is divided into slices"));
    assert!(refused("keras").contains("Keras"));
    assert!(refused("none.data-00000-of-00001").contains("none.index"), "the index is what is missing");
    let alone = read_bytes(bytes("tiny.index"), Path::new("tiny.index")).unwrap_err().to_string();
    assert!(alone.contains("files beside it"), "{alone}");
    let no_network = load(&golden("tiny"), &LoadOptions::default()).unwrap_err().to_string();
    assert!(no_network.contains("net/bfloat16"), "{no_network}");
}
