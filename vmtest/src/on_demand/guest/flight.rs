// SPDX-License-Identifier: Apache-2.0 OR MIT

//! How many requests are under way: from the kernel's tracepoints.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::mount::{mount as attach, MountFlags};
use serde::{Deserialize, Serialize};

const TRACEFS: &str = "/sys/kernel/tracing";

/// Requests in flight that hide a latency.
pub const ENOUGH: usize = 4;

/// READ requests in flight, each from when the kernel has a question until its answer, between the
/// first and the last question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flight {
    /// Their number over time, on average.
    pub mean: f64,
    /// The part of the time with [`ENOUGH`] of them, once there were so many.
    pub enough: f64,
    /// Microseconds from the first to the last.
    pub micros: u64,
}

/// Records requests from now on.
pub(super) fn record() -> Result<()> {
    let tracing = Path::new(TRACEFS);
    if !tracing.join("trace").exists() {
        attach("tracefs", TRACEFS, "tracefs", MountFlags::empty(), None).context(TRACEFS)?;
    }
    let set = |file: &str, value: &str| {
        let file = tracing.join(file);
        fs::write(&file, value).with_context(|| file.display().to_string())
    };
    // One clock for all processors.
    set("trace_clock", "mono")?;
    set("events/ondine/enable", "1")?;
    set("trace", "")
}

/// What was recorded.
pub(super) fn recorded() -> Result<Flight> {
    let text = fs::read_to_string(Path::new(TRACEFS).join("trace"))?;
    Ok(flight(&changes(&text)))
}

/// Seconds, and the number of requests from then on.
type Change = (f64, usize);

/// The requests of a trace: lines such as
/// `  dd-171  [001] .....  1.083443: ondine_submit: blob0 pages 256+256 result 0`.
fn changes(trace: &str) -> Vec<Change> {
    let mut in_flight = 0usize;
    let mut changes = Vec::new();
    for line in trace.lines().filter(|line| !line.contains("+0 result")) {
        let Some((head, event)) = line.split_once(": ondine_") else {
            continue;
        };
        in_flight = match event.split(':').next() {
            Some("submit") => in_flight + 1,
            Some("complete" | "cancel") => in_flight.saturating_sub(1),
            _ => continue,
        };
        let time = head.rsplit(' ').next().and_then(|time| time.parse().ok());
        changes.extend(time.map(|time| (time, in_flight)));
    }
    changes
}

/// What they say, cut off when the last request came: what happens afterwards is the end of the file.
fn flight(changes: &[Change]) -> Flight {
    let came = |pair: &[Change]| pair[1].1 > pair[0].1;
    let last = changes.windows(2).rposition(came).map_or(0, |at| at + 1);
    let (mut area, mut all) = (0.0, 0.0);
    let (mut enough, mut since) = (0.0, 0.0);
    let mut started = false;
    for pair in changes[..changes.len().min(last + 1)].windows(2) {
        let (count, time) = (pair[0].1, pair[1].0 - pair[0].0);
        all += time;
        area += time * count as f64;
        started |= count >= ENOUGH;
        if started {
            since += time;
        }
        if count >= ENOUGH {
            enough += time;
        }
    }
    let part = |of: f64, whole: f64| if whole > 0.0 { of / whole } else { 0.0 };
    Flight {
        mean: part(area, all),
        enough: part(enough, since),
        micros: (all * 1e6) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_counted() {
        let trace = "# tracer: nop\n\
            \x20  dd-171  [001] .....     1.000000: ondine_submit: blob0 pages 0+0 result 0\n\
            \x20  dd-171  [001] .....     1.500000: ondine_submit: blob0 pages 0+256 result 0\n\
            \x20  dd-171  [001] .....     1.500100: ondine_submit: blob0 pages 256+256 result 0\n\
            \x20  ondined-80  [000] .....     1.600000: ondine_deliver: blob0 pages 0+256 result 0\n\
            \x20  ondined-80  [000] .....     1.700000: ondine_complete: blob0 pages 0+256 result 0\n\
            \x20  ondined-80  [000] .....     1.800000: ondine_complete: blob0 pages 256+256 result -5\n";
        assert_eq!(changes(trace), [(1.5, 1), (1.5001, 2), (1.7, 1), (1.8, 0)]);
    }

    #[test]
    fn the_flight_is_judged_from_when_it_is_high_to_the_last_request() {
        let log = [
            (0.0, 1),
            (0.1, 2),
            (0.2, 4),
            (0.5, 3),
            (0.6, 4),
            (0.7, 3),
            (0.9, 0),
        ];
        let found = flight(&log);
        assert!((found.mean - 3.0).abs() < 1e-9, "{found:?}");
        assert!((found.enough - 0.75).abs() < 1e-9, "{found:?}");
        assert_eq!(flight(&[]), Flight::default());
    }
}
