//! What a file says about the ranges of its network's values.

use std::collections::{BTreeMap, BTreeSet};

use effigy_arch::Quantisation;
use serde::{Deserialize, Serialize};

use super::{BadCard, from_json, unknown};

/// The key in a safetensors file's `__metadata__`; its value is JSON.
pub(crate) const KEY: &str = "effigy-int8";

const VERSION: u32 = 1;

#[derive(Debug, Deserialize, Serialize)]
struct Ranges {
    version: u32,
    /// Lowest and highest value of every node.
    ranges: BTreeMap<String, [f32; 2]>,
    /// Nodes that stay in floats.
    fp32: BTreeSet<String>,
}

pub(crate) fn write(quantisation: &Quantisation) -> String {
    let Quantisation { ranges, floats } = quantisation.clone();
    let ranges = Ranges { version: VERSION, ranges, fp32: floats };
    serde_json::to_string(&ranges).expect("strings and finite numbers are always valid JSON")
}

pub(crate) fn parse(json: &str) -> Result<Quantisation, BadCard> {
    let Ranges { version, ranges, fp32 } = from_json(json)?;
    if version != VERSION {
        return Err(BadCard::Version { found: version });
    }
    let ordered = |[low, high]: &[f32; 2]| low.is_finite() && high.is_finite() && low <= high;
    match ranges.iter().find(|(_, range)| !ordered(range)) {
        Some((node, range)) => Err(unknown("a range", &format!("{range:?} of {node}"))),
        None => Ok(Quantisation { ranges, floats: fp32 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let quantisation = Quantisation {
            ranges: BTreeMap::from([("input".to_owned(), [-2.1, 2.64]), ("stem.act".to_owned(), [0.0, 6.0])]),
            floats: BTreeSet::from(["stem.act".to_owned()]),
        };
        assert_eq!(parse(&write(&quantisation)), Ok(quantisation));
    }

    #[test]
    fn nonsense_is_refused() {
        for json in [
            "",
            "{}",
            r#"{"version":2,"ranges":{},"fp32":[]}"#,
            r#"{"version":1,"ranges":{"a":[2,1]},"fp32":[]}"#,
            r#"{"version":1,"ranges":{"a":[0,1e99]},"fp32":[]}"#,
            r#"{"version":1,"ranges":{"a":[0]},"fp32":[]}"#,
        ] {
            assert!(parse(json).is_err(), "{json}");
        }
    }
}
