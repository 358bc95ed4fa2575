//! Runs again and again, timed.

use std::time::{Duration, Instant};

use crate::failure::Failure;

/// Time that runs may take where their number is not given.
const TIME: Duration = Duration::from_secs(3);
/// Runs where their number is not given.
const RUNS: std::ops::RangeInclusive<usize> = 5..=200;
/// Runs before those that count: threads wake up, memory is touched, plans are made.
const WARM_UP: usize = 3;

/// Times of runs, sorted.
pub(super) fn times(
    runs: Option<usize>,
    mut once: impl FnMut() -> Result<(), Failure>,
) -> Result<Vec<Duration>, Failure> {
    for _ in 0..WARM_UP {
        once()?;
    }
    let start = Instant::now();
    let mut times = Vec::new();
    let enough = |done: usize| match runs {
        Some(runs) => done >= runs,
        None => done >= *RUNS.end() || (done >= *RUNS.start() && start.elapsed() > TIME),
    };
    while !enough(times.len()) {
        let run = Instant::now();
        once()?;
        times.push(run.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

/// The value at a share of a sorted list.
pub(super) fn percentile(sorted: &[Duration], share: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The most memory that the process has held until now, where Linux tells.
pub(super) fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_few() {
        let times: Vec<Duration> = (1..=11).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 0.5), Duration::from_millis(6));
        assert_eq!(percentile(&times, 0.9), Duration::from_millis(10));
        assert_eq!(percentile(&times[..1], 0.9), Duration::from_millis(1));
    }
}
