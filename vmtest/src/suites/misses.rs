// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Cost of a cache miss, in messages and wake-ups, and the goals.

use std::fmt::{self, Write as _};
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use vmtest_lab::images::image_drive;
use vmtest_lab::images::one_file::one_file;
use vmtest_lab::provision::daemon;
use vmtest_lab::Setup;
use vmtest_wire::misses::{
    Job, Trial, Workloads, ENOUGH_IN_FLIGHT, IN_ORDER, SINGLE, SIZE, TOGETHER, WHOLE,
};

use super::on_demand::rows::packed;
use crate::guest_call::GuestSession;

/// Result of the measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Misses {
    /// The figures.
    pub rows: Vec<Row>,
    /// Disagreements of counters, tracepoints, the daemon's numbers and the clock, which make the figures
    /// meaningless.
    pub wrong: Vec<String>,
}

/// A measured figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the figure.
    pub what: String,
    /// The figure.
    pub value: f64,
    /// Bound of the figure, if there is one.
    pub goal: Option<Goal>,
}

/// Bound of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// The least part of the time with [`ENOUGH_IN_FLIGHT`] requests in flight that counts as always: the change from
/// one to the next takes its moment.
const ALWAYS: f64 = 0.9;

/// Bytes of a page of the cache.
const PAGE: u64 = 4096;
/// Upper bound of one READ, in KiB.
const LONGEST_KIB: f64 = 1024.0;
/// Upper bound of the READs in flight for one reader, in MiB: a window, which what it waits for is a part of.
const WINDOW_MIB: f64 = 16.0;
/// Lower bound of the same once a reader in order waits for a distant server.
const WIDE_MIB: f64 = 8.0;

impl Misses {
    /// True if all counters agree and, with `gate`, all goals are met.
    pub fn hold(&self, gate: bool) -> bool {
        self.wrong.is_empty() && (!gate || self.rows.iter().all(Row::met))
    }
}

impl Row {
    /// True if the figure is within its bound.
    pub fn met(&self) -> bool {
        match self.goal {
            None => true,
            Some(Goal::AtMost(most)) => self.value <= most,
            Some(Goal::AtLeast(least)) => self.value >= least,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "of at most {most:.2}"),
            Self::AtLeast(least) => write!(f, "of at least {least:.2}"),
        }
    }
}

/// Time limit of the guest for all workloads.
const LIMIT: Duration = Duration::from_secs(3600);

/// Measures what `workloads` cost.
///
/// # Errors
/// When the guest could not run the job.
pub fn measure(setup: &Setup, workloads: Workloads) -> Result<Misses> {
    let mkfs = setup.erofs_utils()?.mkfs;
    let spec = one_file(setup.cache(), &mkfs, SIZE >> 20)?;
    let specs = [spec];
    let drive = image_drive::pack(setup.cache(), &specs)?;
    let job = Job {
        images: "/dev/vda".to_owned(),
        daemon: daemon::build(setup.workspace())?,
        row: packed(&specs, &drive).remove(0),
        workloads,
    };
    let boot = setup.boot()?.memory("2G").limit(LIMIT);
    let boot = boot.drive(&drive.file, true);
    eprintln!("counting what misses cost");
    let session = GuestSession::new(setup.cache())?;
    let answer = session.call(boot, &job)?;
    Ok(Misses {
        rows: figures(&answer.trials),
        wrong: answer.wrong,
    })
}

/// The figures of `trials`.
fn figures(trials: &[Trial]) -> Vec<Row> {
    let row = |what: String, value, goal| Row { what, value, goal };
    let per = |count: u64, trial: &Trial| count as f64 / trial.misses as f64;
    let mut rows = Vec::new();
    for trial in trials {
        let work = &*trial.work;
        let away = format!("{work}, {} ms away", trial.latency_ms);
        let longest = if work == SINGLE { 4.0 } else { LONGEST_KIB };
        rows.push(row(
            format!("{away}: KiB of the longest READ"),
            (trial.flight.longest_pages * PAGE) as f64 / 1024.0,
            Some(Goal::AtMost(longest)),
        ));
        let most = (trial.flight.most_pages * PAGE) as f64 / f64::from(1 << 20);
        rows.push(row(
            format!("{away}: most MiB in flight"),
            most,
            Some(Goal::AtMost(WINDOW_MIB)),
        ));
        if IN_ORDER.contains(&work) {
            let what = format!("{work}, all in order, {} ms away", trial.latency_ms);
            rows.push(row(
                format!("{what}: READ messages per MiB"),
                per(trial.reads, trial),
                Some(Goal::AtMost(1.0)),
            ));
            rows.push(row(
                format!("{what}: daemon wake-ups per READ"),
                trial.wakeups as f64 / trial.reads.max(1) as f64,
                Some(Goal::AtMost(1.0)),
            ));
            if trial.latency_ms > 0 {
                rows.push(row(
                    format!("{what}: most MiB in flight"),
                    most,
                    Some(Goal::AtLeast(WIDE_MIB)),
                ));
                rows.push(row(
                    format!("{what}: requests in flight, mean"),
                    trial.flight.mean,
                    None,
                ));
                rows.push(row(
                    format!(
                        "{what}: part of the time with {ENOUGH_IN_FLIGHT} or more, once there were"
                    ),
                    trial.flight.enough,
                    Some(Goal::AtLeast(ALWAYS)),
                ));
                rows.push(row(
                    format!("{what}: ms from the first request to the last"),
                    trial.flight.micros as f64 / 1e3,
                    None,
                ));
            }
        } else if TOGETHER.contains(&work) {
            let what = format!("{work}, one missing range: READ messages");
            rows.push(row(what, trial.reads as f64, Some(Goal::AtMost(1.0))));
        } else if work == WHOLE {
            let what = format!("{work} of {} MiB: READ messages per MiB", trial.misses);
            rows.push(row(what, per(trial.reads, trial), Some(Goal::AtMost(1.0))));
        } else if work == SINGLE {
            let what = format!(
                "{} {work}, each missing: READ messages per miss",
                trial.misses
            );
            rows.push(row(what, per(trial.reads, trial), Some(Goal::AtMost(1.0))));
            let what = format!(
                "{} {work}, each missing: daemon wake-ups per miss",
                trial.misses
            );
            rows.push(row(
                what,
                per(trial.wakeups, trial),
                Some(Goal::AtMost(1.0)),
            ));
        }
    }
    rows
}

/// A line for each figure, then what is wrong with them.
pub fn render(misses: &Misses) -> String {
    let mut out = "\nthe way of a miss, 64 MiB file in 1 MiB chunks\n".to_owned();
    out.push_str(&render_rows(&misses.rows));
    for why in &misses.wrong {
        let _ = writeln!(out, "WRONG  {why}");
    }
    if misses.wrong.is_empty() {
        out.push_str("counters, tracepoints, the daemon's numbers and the clock agree\n");
    }
    out
}

/// A line for each figure.
pub fn render_rows(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows {
        let goal = row.goal.map_or(String::new(), |goal| goal.to_string());
        let word = match (row.goal, row.met()) {
            (None, _) => "",
            (_, true) => "met",
            (_, false) => "MISSED",
        };
        let _ = writeln!(out, "{word:<6} {:>9.3} {goal:<16} {}", row.value, row.what);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_held_against_figures() {
        let row = |value, goal| Row {
            what: String::new(),
            value,
            goal,
        };
        assert!(row(1.0, Some(Goal::AtMost(1.0))).met());
        assert!(!row(1.01, Some(Goal::AtMost(1.0))).met());
        assert!(!row(0.5, Some(Goal::AtLeast(0.9))).met());
        assert!(row(9.0, None).met());
        let mut misses = Misses {
            rows: vec![row(2.0, Some(Goal::AtMost(1.0)))],
            wrong: Vec::new(),
        };
        let text = render(&misses);
        assert!(text.contains("MISSED     2.000 of at most 1.00"), "{text}");
        assert!(text.contains("agree"), "{text}");
        misses.wrong.push("1 is not 2".to_owned());
        let text = render(&misses);
        assert!(
            text.contains("WRONG  1 is not 2") && !text.contains("agree"),
            "{text}"
        );
    }
}
