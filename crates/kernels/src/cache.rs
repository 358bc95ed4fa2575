//! How large the processor's caches are.

use std::sync::OnceLock;

/// Where it is not known: most processors of the last ten years have as much, or more.
const DEFAULT: usize = 512 << 10;

/// Bytes of a core's second-level cache.
pub(crate) fn second_level() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let text = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index2/size");
        text.ok().and_then(|text| parse(&text)).unwrap_or(DEFAULT)
    })
}

/// Linux's way to say it: `2048K`.
fn parse(text: &str) -> Option<usize> {
    let number: usize = text.trim().strip_suffix('K')?.parse().ok()?;
    (number > 0).then_some(number << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(parse("2048K\n"), Some(2 << 20));
        for other in ["", "0K", "2M", "K", "-1K"] {
            assert_eq!(parse(other), None, "{other:?}");
        }
        assert!(second_level() >= 64 << 10);
    }
}
