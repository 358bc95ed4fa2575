//! Every step of a network: its time, and what that is of the limit.

use std::time::Duration;

use effigy::engine::{Input, Model, NodeTime};

use super::limit::{Bound, Limit, Machine};
use super::measure::percentile;
use crate::failure::Failure;
use crate::table::{Table, bar};

/// Each step with its median time over some runs.
pub(super) fn measure(model: &Model, input: Input<'_>, runs: usize) -> Result<Vec<NodeTime>, Failure> {
    let runs: Vec<Vec<NodeTime>> =
        (0..runs).map(|_| Ok(model.run_timed(input)?.1)).collect::<Result<_, Failure>>()?;
    let median = |(i, step): (usize, &NodeTime)| {
        let mut times: Vec<Duration> = runs.iter().map(|run| run[i].time).collect();
        times.sort_unstable();
        NodeTime { time: percentile(&times, 0.5), ..step.clone() }
    };
    Ok(runs[0].iter().enumerate().map(median).collect())
}

/// A row a step, then what all of them come to.
pub(super) fn table(steps: &[NodeTime], machine: &Machine) -> String {
    let total: f64 = steps.iter().map(|step| step.time.as_secs_f64()).sum();
    let heads =
        ["node", "operation", "kernel", ">µs", ">GFLOP/s", ">kB", ">of limit", "bound", ">of time", ""];
    let mut table = Table::new(&heads);
    let mut least = 0.0;
    for step in steps {
        let NodeTime { name, operation, kernel, macs, weight_bytes, value_bytes, time } = step;
        let seconds = time.as_secs_f64();
        let Limit { seconds: limit, bound } = machine.limit(step);
        least += limit;
        let share = seconds / total;
        table.row([
            name.clone(),
            operation.clone(),
            kernel.clone(),
            format!("{:.1}", seconds * 1e6),
            if *macs > 0 { format!("{:.1}", 2e-9 * *macs as f64 / seconds) } else { String::new() },
            format!("{:.0}", (weight_bytes + value_bytes) as f64 / 1e3),
            format!("{:.0} %", 100.0 * limit / seconds),
            match bound {
                Bound::Arithmetic => "fma".to_owned(),
                Bound::Memory => "memory".to_owned(),
            },
            format!("{:.1} %", 100.0 * share),
            bar(5.0 * share, 10).trim_end().to_owned(),
        ]);
    }
    format!(
        "{}\nkB: values read and written (without halos, and without what lies between fused convolutions) and packed \
         weights.\nlimit: the longer of the multiply-adds at {:.0} GFLOP/s and these bytes at the bandwidth of memory \
         that holds them;\n       all steps at their limits take {:.2} ms, {:.0} % of the {:.2} ms that they took one by one.\n\
         bandwidth of loads measured here, GB/s: {}\n",
        table.format(),
        machine.flops / 1e9,
        least * 1e3,
        100.0 * least / total,
        total * 1e3,
        machine.describe_memory(),
    )
}
