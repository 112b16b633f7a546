// SPDX-License-Identifier: Apache-2.0 OR MIT

//! How many requests are under way, and what becomes of each: from the kernel's tracepoints.

use std::fs;
use std::path::Path;

use anyhow::{ensure, Context, Result};
use ondined::session::Statistics;
use rustix::mount::{mount as attach, MountFlags};
use serde::{Deserialize, Serialize};

use super::counters::Counters;

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

/// What was recorded since.
///
/// # Errors
/// A line that is no event of a request, or requests that end before they begin.
pub(super) fn recorded() -> Result<Recorded> {
    let text = fs::read_to_string(Path::new(TRACEFS).join("trace"))?;
    let events = events(&text)?;
    Ok(Recorded {
        tally: Tally::of(&events),
        flight: flight(&changes(&events)?),
    })
}

/// What the tracepoints told of READ requests.
pub(super) struct Recorded {
    pub(super) tally: Tally,
    pub(super) flight: Flight,
}

/// How many READ requests came to each point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    submitted: u64,
    delivered: u64,
    completed: u64,
    cancelled: u64,
}

impl Tally {
    fn of(events: &[Event]) -> Self {
        let mut tally = Self::default();
        for event in events {
            match event.point {
                Point::Submit => tally.submitted += 1,
                Point::Deliver => tally.delivered += 1,
                Point::Complete => tally.completed += 1,
                Point::Cancel => tally.cancelled += 1,
            }
        }
        tally
    }

    /// Whether it is what the mounts counted, of which each is gone now, and what the daemon did.
    ///
    /// # Errors
    /// What differs.
    pub(super) fn adds_up(&self, counted: &Counters, done: &Statistics) -> Result<()> {
        ensure!(
            self.submitted == counted.requests,
            "{} requests pass ondine_submit, the mounts count {}",
            self.submitted,
            counted.requests
        );
        ensure!(
            self.delivered == done.reads,
            "{} requests pass ondine_deliver, the daemon read {} READ messages",
            self.delivered,
            done.reads
        );
        ensure!(
            self.completed + self.cancelled == self.submitted,
            "{} requests pass ondine_submit, {} ondine_complete and {} ondine_cancel",
            self.submitted,
            self.completed,
            self.cancelled
        );
        Ok(())
    }
}

/// A tracepoint that a READ request passed.
struct Event {
    /// Seconds.
    time: f64,
    point: Point,
}

#[derive(Clone, Copy)]
enum Point {
    Submit,
    Deliver,
    Complete,
    Cancel,
}

/// The READ requests of a trace: lines such as
/// `  dd-171  [001] .....  1.083443: ondine_submit: erofs,a blob0 pages 256+256 result 0`.
///
/// # Errors
/// Another line, such as the one that says that events were lost.
fn events(trace: &str) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for line in trace.lines() {
        // Of an OPEN, the number of pages is 0.
        if line.starts_with('#') || line.contains("+0 result") {
            continue;
        }
        events.push(event(line).with_context(|| format!("the trace has the line {line:?}"))?);
    }
    Ok(events)
}

fn event(line: &str) -> Option<Event> {
    let (head, event) = line.split_once(": ondine_")?;
    let point = match event.split(':').next()? {
        "submit" => Point::Submit,
        "deliver" => Point::Deliver,
        "complete" => Point::Complete,
        "cancel" => Point::Cancel,
        _ => return None,
    };
    let time = head.rsplit(' ').next()?.parse().ok()?;
    Some(Event { time, point })
}

/// Seconds, and the number of requests from then on.
type Change = (f64, usize);

/// # Errors
/// A request ends before it begins.
fn changes(events: &[Event]) -> Result<Vec<Change>> {
    let mut in_flight = 0usize;
    let mut changes = Vec::new();
    for event in events {
        in_flight = match event.point {
            Point::Submit => in_flight + 1,
            Point::Deliver => continue,
            Point::Complete | Point::Cancel => in_flight
                .checked_sub(1)
                .context("the trace has a request that ends before it begins")?,
        };
        changes.push((event.time, in_flight));
    }
    Ok(changes)
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

    const TRACE: &str = "# tracer: nop\n\
        \x20  dd-171  [001] .....     1.000000: ondine_submit: erofs,a blob0 pages 0+0 result 0\n\
        \x20  dd-171  [001] .....     1.500000: ondine_submit: erofs,a blob0 pages 0+256 result 0\n\
        \x20  dd-171  [001] .....     1.500100: ondine_submit: erofs,a blob0 pages 256+256 result 0\n\
        \x20  ondined-80  [000] .....     1.600000: ondine_deliver: erofs,a blob0 pages 0+256 result 0\n\
        \x20  ondined-80  [000] .....     1.700000: ondine_complete: erofs,a blob0 pages 0+256 result 0\n\
        \x20  ondined-80  [000] .....     1.800000: ondine_cancel: erofs,a blob0 pages 256+256 result -5\n";

    #[test]
    fn a_trace_is_counted() {
        let events = events(TRACE).unwrap();
        let expected = [(1.5, 1), (1.5001, 2), (1.7, 1), (1.8, 0)];
        assert_eq!(changes(&events).unwrap(), expected);
        // Two requests end, and one has begun.
        assert!(changes(&events[1..]).is_err());
    }

    #[test]
    fn a_trace_is_held_against_counters_and_the_daemon() {
        let tally = Tally::of(&events(TRACE).unwrap());
        let of = |requests, reads| {
            let counted = Counters {
                requests,
                ..Counters::default()
            };
            let done = Statistics {
                reads,
                ..Statistics::default()
            };
            tally.adds_up(&counted, &done).map_err(|e| e.to_string())
        };
        assert_eq!(of(2, 1), Ok(()));
        assert!(of(3, 1).unwrap_err().contains("mounts count 3"));
        assert!(of(2, 2).unwrap_err().contains("ondine_deliver"));
        let lost = Tally {
            completed: 0,
            ..tally
        };
        let done = Statistics {
            reads: 1,
            ..Statistics::default()
        };
        let counted = Counters {
            requests: 2,
            ..Counters::default()
        };
        assert!(lost.adds_up(&counted, &done).is_err());
    }

    #[test]
    fn a_trace_that_lost_events_is_none() {
        let text = format!("{TRACE}CPU:1 [LOST 5 EVENTS]\n");
        let error = events(&text).err().unwrap().to_string();
        assert!(error.contains("LOST 5"), "{error}");
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
