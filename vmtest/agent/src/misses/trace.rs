// SPDX-License-Identifier: Apache-2.0 OR MIT

//! READ requests as the kernel's tracepoints record them: totals, and the number in flight over
//! time.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{ensure, Context, Result};
use ondined::session::Statistics;
use rustix::mount::{mount as attach, MountFlags};
use vmtest_wire::counters::Counters;
use vmtest_wire::misses::{InFlight, ENOUGH_IN_FLIGHT};

const TRACEFS: &str = "/sys/kernel/tracing";

/// Enables the tracepoints and clears the trace buffer.
pub(super) fn record() -> Result<()> {
    let tracing = Path::new(TRACEFS);
    if !tracing.join("trace").exists() {
        attach("tracefs", TRACEFS, "tracefs", MountFlags::empty(), None).context(TRACEFS)?;
    }
    let set = |file: &str, value: &str| {
        let file = tracing.join(file);
        fs::write(&file, value).with_context(|| file.display().to_string())
    };
    // A clock common to all processors.
    set("trace_clock", "mono")?;
    set("events/ondine/enable", "1")?;
    set("trace", "")
}

/// Returns the requests recorded since [`record`].
///
/// # Errors
/// A line is not a request event, or a request ends before it begins.
pub(super) fn recorded() -> Result<Recorded> {
    let text = fs::read_to_string(Path::new(TRACEFS).join("trace"))?;
    let events = events(&text)?;
    Ok(Recorded {
        tally: Tally::of(&events),
        flight: flight(&changes(&events)?, &events),
    })
}

/// READ requests in the trace.
pub(super) struct Recorded {
    pub(super) tally: Tally,
    pub(super) flight: InFlight,
}

/// Number of READ requests that passed each tracepoint.
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
                Point::Fill => {}
                Point::Complete => tally.completed += 1,
                Point::Cancel => tally.cancelled += 1,
            }
        }
        tally
    }

    /// Compares the totals with `counted`, the sum over all mounts, and with `done`, the daemon's
    /// statistics.
    ///
    /// # Errors
    /// The totals differ.
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

/// A tracepoint hit of a READ request or a write.
struct Event {
    /// Time stamp in seconds.
    time: f64,
    point: Point,
    /// Keys of the object's volume and cookie.
    object: String,
    /// The pages of the request, or of the write.
    pages: Range<u64>,
}

#[derive(Clone, Copy)]
enum Point {
    Submit,
    Deliver,
    Fill,
    Complete,
    Cancel,
}

/// Parses the events of READ requests in a trace, lines such as
/// `  dd-171  [001] .....  1.083443: ondine_submit: erofs,a blob0 pages 256+256 result 0`.
///
/// # Errors
/// Any other line, such as one that reports lost events.
fn events(trace: &str) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for line in trace.lines() {
        // An OPEN has 0 pages.
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
        "fill" => Point::Fill,
        "complete" => Point::Complete,
        "cancel" => Point::Cancel,
        _ => return None,
    };
    let time = head.rsplit(' ').next()?.parse().ok()?;
    let (object, run) = event.split_once(": ")?.1.split_once(" pages ")?;
    let (first, count) = run.split(' ').next()?.split_once('+')?;
    let first: u64 = first.parse().ok()?;
    Some(Event {
        time,
        point,
        object: object.to_owned(),
        pages: first..first + count.parse::<u64>().ok()?,
    })
}

/// Time stamp in seconds, and the number of requests in flight from then on.
type Change = (f64, usize);

/// Number of requests in flight after each submission and each end.
///
/// # Errors
/// A request ends before it begins.
fn changes(events: &[Event]) -> Result<Vec<Change>> {
    let mut in_flight = 0usize;
    let mut changes = Vec::new();
    for event in events {
        in_flight = match event.point {
            Point::Submit => in_flight + 1,
            Point::Deliver | Point::Fill => continue,
            Point::Complete | Point::Cancel => in_flight
                .checked_sub(1)
                .context("the trace has a request that ends before it begins")?,
        };
        changes.push((event.time, in_flight));
    }
    Ok(changes)
}

/// Averages over `changes` up to the last submission; after it only the end of the file is left. The numbers
/// of pages are those of all `events`.
fn flight(changes: &[Change], events: &[Event]) -> InFlight {
    let came = |pair: &[Change]| pair[1].1 > pair[0].1;
    let last = changes.windows(2).rposition(came).map_or(0, |at| at + 1);
    let (mut area, mut all) = (0.0, 0.0);
    let (mut enough, mut since) = (0.0, 0.0);
    let mut started = false;
    for pair in changes[..changes.len().min(last + 1)].windows(2) {
        let (count, time) = (pair[0].1, pair[1].0 - pair[0].0);
        all += time;
        area += time * count as f64;
        started |= count >= ENOUGH_IN_FLIGHT;
        if started {
            since += time;
        }
        if count >= ENOUGH_IN_FLIGHT {
            enough += time;
        }
    }
    let part = |of: f64, whole: f64| if whole > 0.0 { of / whole } else { 0.0 };
    InFlight {
        mean: part(area, all),
        enough: part(enough, since),
        micros: (all * 1e6) as u64,
        longest_pages: longest_pages(events),
        most_pages: most_pages(events),
    }
}

/// Pages of the longest request.
fn longest_pages(events: &[Event]) -> u64 {
    let submits = events
        .iter()
        .filter(|event| matches!(event.point, Point::Submit));
    let len = |event: &Event| event.pages.end - event.pages.start;
    submits.map(len).max().unwrap_or(0)
}

/// The largest number of pages in flight at one time: requested, and neither written nor given up. A page that is
/// written can be read before the request for it is answered.
fn most_pages(events: &[Event]) -> u64 {
    let mut missing = BTreeSet::new();
    let mut most = 0;
    for event in events {
        let pages = event.pages.clone().map(|page| (&*event.object, page));
        match event.point {
            Point::Submit => missing.extend(pages),
            Point::Deliver => {}
            Point::Fill | Point::Complete | Point::Cancel => {
                for page in pages {
                    missing.remove(&page);
                }
            }
        }
        most = most.max(missing.len());
    }
    most as u64
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
        // The first of three events is missing: two requests end, but only one began.
        assert!(changes(&events[1..]).is_err());
    }

    #[test]
    fn pages_in_flight_are_those_of_all_requests_that_have_not_ended() {
        let events = events(TRACE).unwrap();
        let found = flight(&changes(&events).unwrap(), &events);
        assert_eq!((found.longest_pages, found.most_pages), (256, 512));
        assert_eq!(most_pages(&events[1..]), 256);
    }

    #[test]
    fn pages_that_are_written_are_not_in_flight() {
        let line = |point, first, count| {
            format!("dd-1 [001] ..... 1.0: ondine_{point}: erofs,a blob0 pages {first}+{count} result 0\n")
        };
        let trace = [
            line("submit", 0, 256),
            line("fill", 0, 16),
            line("submit", 256, 8),
            line("fill", 300, 400),
            line("complete", 0, 256),
        ];
        let of = |trace: &[String]| most_pages(&events(&trace.concat()).unwrap());
        assert_eq!(of(&trace), 256);
        // An event of another object says nothing of this one.
        let other = trace[1].replace("blob0", "blob1");
        assert_eq!(of(&[trace[0].clone(), other, trace[2].clone()]), 264);
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
        let found = flight(&log, &[]);
        assert!((found.mean - 3.0).abs() < 1e-9, "{found:?}");
        assert!((found.enough - 0.75).abs() < 1e-9, "{found:?}");
        assert_eq!(flight(&[], &[]), InFlight::default());
    }
}
