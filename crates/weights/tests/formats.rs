//! Every format gives the numbers that PyTorch stored, whatever the pickle protocol.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use effigy_weights::format::{Format, FormatError};
use effigy_weights::{StateDict, StoredTensor, WeightsError, read, read_bytes};
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    shape: Vec<usize>,
    values: Vec<f32>,
}

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file)
}

fn expected() -> BTreeMap<String, Expected> {
    serde_json::from_slice(&std::fs::read(golden("tiny.json")).unwrap()).unwrap()
}

fn assert_equal(state: &StateDict, expected: &BTreeMap<String, Expected>, file: &str) {
    let mut names: Vec<&str> = state.tensors().iter().map(StoredTensor::name).collect();
    names.sort_unstable();
    assert_eq!(names, expected.keys().map(String::as_str).collect::<Vec<_>>(), "{file}");
    for (name, expected) in expected {
        let entry = state.get(name).unwrap();
        assert_eq!(entry.tensor().shape(), expected.shape, "{file}: {name}");
        assert_eq!(*entry.values(), expected.values, "{file}: {name}");
    }
}

#[test]
fn torch_files_of_every_protocol() {
    for protocol in 1..=5 {
        for (form, format) in [("zip", Format::TorchZip), ("legacy", Format::TorchLegacy)] {
            let file = format!("tiny_{form}_{protocol}.pth");
            let state = read(&golden(&file)).unwrap();
            assert_eq!(state.format(), format);
            assert_equal(&state, &expected(), &file);
        }
    }
}

#[test]
fn safetensors() {
    let state = read(&golden("tiny.safetensors")).unwrap();
    assert_eq!(state.format(), Format::Safetensors);
    assert_eq!(state.metadata()["note"], "hello");
    let expected = expected().into_iter();
    let expected = expected.filter_map(|(name, e)| Some((name.strip_prefix("state_dict.")?.to_owned(), e)));
    assert_equal(&state, &expected.collect(), "tiny.safetensors");
}

#[test]
fn a_module_saved_whole_gives_its_tensors() {
    let state = read(&golden("module.pth")).unwrap();
    let names: Vec<&str> = state.tensors().iter().map(StoredTensor::name).collect();
    let norm = ["1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"];
    assert_eq!(names, [["0.weight", "0.bias"].as_slice(), &norm].concat());
    assert_eq!(state.get("0.weight").unwrap().tensor().shape(), [2, 1, 1, 1]);
}

#[test]
fn aligned_f32_is_not_copied() {
    let state = read(&golden("tiny_zip_2.pth")).unwrap();
    let borrowed = |name| matches!(state.get(name).unwrap().values(), std::borrow::Cow::Borrowed(_));
    assert!(borrowed("state_dict.dense"));
    assert!(!borrowed("state_dict.transposed"));
    assert!(!borrowed("state_dict.float16"));
}

#[test]
fn the_order_of_bytes_is_honoured() {
    let state = read(&golden("big_endian.pth")).unwrap();
    let values = |name| state.get(name).unwrap().values().into_owned();
    assert_eq!((values("f"), values("d"), values("h")), (vec![1.5, -2.0], vec![0.25], vec![3.0]));

    let mut bytes = std::fs::read(golden("tiny_zip_2.pth")).unwrap();
    let at = bytes.windows(6).position(|window| window == b"little").unwrap();
    bytes[at..at + 6].copy_from_slice(b"middle");
    let error = read_bytes(bytes, Path::new("odd.pth")).unwrap_err();
    assert!(error.to_string().contains("byteorder"), "{error}");
}

#[test]
fn other_files_are_refused_in_words() {
    let cases: [(&[u8], &str); 7] = [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"PK\x03\x04 and then nothing", "zip archive without its end"),
        (b"\x80\x04}.", "torch.save did not write"),
        (b"\x89PNG\r\n\x1a\n0000", "neither"),
        (b"\x10\0\0\0\0\0\0\0{\"a\":17}        ", "header is not valid"),
    ];
    for (bytes, words) in cases {
        let error = read_bytes(bytes.to_vec(), Path::new("file.pth")).unwrap_err().to_string();
        assert!(error.starts_with("file.pth: ") && error.contains(words), "{words}: {error}");
    }
    assert!(read(Path::new("/nowhere/file.pth")).unwrap_err().to_string().starts_with("/nowhere/file.pth: "));
    assert!(matches!(read(Path::new("/")), Err(WeightsError::Io { .. })));
}

/// A safetensors file with this header and so many bytes of data.
fn with_header(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
}

#[test]
fn safetensors_headers_that_lie_are_refused() {
    let refused = |header: &str, data| match read_bytes(with_header(header, data), Path::new("f")) {
        Err(WeightsError::Format { source, .. }) => source,
        other => panic!("{header}: {other:?}"),
    };
    let entry = |shape: &str, end: usize| {
        format!(r#"{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#)
    };
    assert!(read_bytes(with_header(&entry("[2]", 8), 8), Path::new("f")).is_ok());
    assert!(matches!(refused(&entry("[2]", 8), 7), FormatError::Tensor { .. }));
    assert!(matches!(refused(&entry("[3]", 8), 8), FormatError::Tensor { .. }));
    assert!(matches!(refused(&entry("[4611686018427387904,4]", 0), 8), FormatError::Tensor { .. }));
    assert!(matches!(refused(&entry("[0,4611686018427387904,4]", 0), 8), FormatError::Tensor { .. }));
    let twice = r#"{"w":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}"#;
    assert!(refused(twice, 1).to_string().contains("two tensors are named `w`"));
    let mut long = with_header("{}", 0);
    long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(read_bytes(long, Path::new("f")), Err(WeightsError::Format { .. })));
}
