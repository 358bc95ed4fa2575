//! The roofline: how fast a step could be by what was measured of this machine.

use effigy::Isa;
use effigy::engine::NodeTime;
use effigy_kernels::peak;

/// The smallest set of memory whose bandwidth is measured, in bytes for each thread: it fits in a first-level
/// cache with room to spare.
const SMALLEST_SET: usize = 16 << 10;
/// The largest, in bytes: more than any cache.
const LARGEST_SET: usize = 512 << 20;
/// From one set to the next.
const STEP: usize = 4;

/// What the machine can do at most, measured in this run.
#[derive(Debug)]
pub(super) struct Machine {
    /// Floating-point operations per second.
    pub(super) flops: f64,
    /// Bytes loaded per second from a set of so many bytes, the smallest first.
    pub(super) bandwidths: Vec<(usize, f64)>,
    /// Bytes that go by from one run of a step to the next: all weights, and the most values of a step.
    network: usize,
}

/// The least time that a step can take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limit {
    pub(super) seconds: f64,
    pub(super) bound: Bound,
}

/// What a step would wait for if nothing else held it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Arithmetic,
    Memory,
}

impl Machine {
    /// Measures the bandwidths that matter for these steps; `flops` has been measured.
    pub(super) fn measure(isa: Isa, threads: usize, flops: f64, steps: &[NodeTime]) -> Self {
        let weights: u64 = steps.iter().map(|step| step.weight_bytes).sum();
        let values = steps.iter().map(|step| step.value_bytes).max().unwrap_or(0);
        let network = (weights + values) as usize;
        let mut bandwidths = Vec::new();
        let mut set = SMALLEST_SET * threads;
        loop {
            bandwidths.push((set, peak::bandwidth(isa, threads, set)));
            if set >= network || set >= LARGEST_SET {
                break;
            }
            set *= STEP;
        }
        Self { flops, bandwidths, network }
    }

    /// Bytes per second at most from a set of so many bytes: the best of the sets that are as large. (A larger
    /// one is faster only where something disturbed the smaller.)
    fn bandwidth(&self, bytes: usize) -> f64 {
        let last = self.bandwidths.last().map_or(f64::INFINITY, |(_, bandwidth)| *bandwidth);
        let as_large = self.bandwidths.iter().filter(|(set, _)| *set >= bytes);
        as_large.map(|(_, bandwidth)| *bandwidth).fold(last, f64::max)
    }

    /// The least time for a step: its arithmetic at the peak, or its bytes at the bandwidth, whichever is
    /// longer. Weights come from where all of the network fits, since all of it is read before they are read
    /// again; values from where the step's own fit, since they may have been written just before.
    pub(super) fn limit(&self, step: &NodeTime) -> Limit {
        let arithmetic = 2.0 * step.macs as f64 / self.flops;
        let weights = step.weight_bytes as f64 / self.bandwidth(self.network);
        let values = step.value_bytes as f64 / self.bandwidth(step.value_bytes as usize);
        let memory = weights + values;
        if memory > arithmetic {
            Limit { seconds: memory, bound: Bound::Memory }
        } else {
            Limit { seconds: arithmetic, bound: Bound::Arithmetic }
        }
    }

    /// `32 kB 180 GB/s, 128 kB …`
    pub(super) fn describe_memory(&self) -> String {
        let set = |(bytes, bandwidth): &(usize, f64)| {
            let size =
                if *bytes < 1 << 20 { format!("{} kB", bytes >> 10) } else { format!("{} MB", bytes >> 20) };
            format!("{size} {:.0}", bandwidth / 1e9)
        };
        self.bandwidths.iter().map(set).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    pub(crate) fn step(name: &str, operation: &str, macs: u64, bytes: [u64; 2], micros: u64) -> NodeTime {
        NodeTime {
            name: name.to_owned(),
            operation: operation.to_owned(),
            kernel: "f32 <kernel> & tile".to_owned(),
            macs,
            weight_bytes: bytes[0],
            value_bytes: bytes[1],
            time: Duration::from_micros(micros),
        }
    }

    pub(crate) fn machine() -> Machine {
        let bandwidths = vec![(1000, 4e9), (4000, 1e9), (16_000, 2e9)];
        Machine { flops: 1e9, bandwidths, network: 9000 }
    }

    #[test]
    fn a_step_waits_for_what_takes_longer() {
        // 2000 operations take 2 µs; 1000 bytes of weights 0.5 µs and of values 0.25 µs.
        let limit = machine().limit(&step("a", "dense 1×1", 1000, [1000, 1000], 3));
        assert_eq!(limit.bound, Bound::Arithmetic);
        assert!((limit.seconds - 2e-6).abs() < 1e-12);
        let limit = machine().limit(&step("a", "dense 1×1", 100, [1000, 1000], 3));
        assert_eq!(limit.bound, Bound::Memory);
        assert!((limit.seconds - 0.75e-6).abs() < 1e-12);
        // More than was measured comes at what the largest set gave.
        assert_eq!(machine().bandwidth(1 << 30), 2e9);
        assert_eq!(machine().bandwidth(2000), 2e9);
        assert_eq!(machine().describe_memory(), "0 kB 4, 3 kB 1, 15 kB 2");
    }
}
