// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The figures of the way of a miss, and their goals.

use std::fmt::{self, Write as _};
use std::fs;

use anyhow::{bail, Result};
use serde::{Deserialize, Serialize};

use super::guest::flight::ENOUGH;
use super::guest::miss::{Answer, Job, Trial, Works, IN_ORDER, SINGLE, SIZE, TOGETHER};
use crate::compare::look::Desk;
use crate::images::recipes::{Recipe, RECIPES};
use crate::images::{build, drive, extras, ImageSpec, Tree};
use crate::provision::{daemon, Key};
use crate::Setup;

/// What was found out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Misses {
    /// The figures.
    pub rows: Vec<Row>,
    /// Where counters, tracepoints, the daemon's numbers and the clock do not agree: then the figures
    /// mean nothing.
    pub wrong: Vec<String>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was counted.
    pub what: String,
    /// The figure.
    pub value: f64,
    /// What it is to be.
    pub goal: Option<Goal>,
}

/// What a figure is to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// The least part of the time with [`ENOUGH`] requests in flight that counts as always: the change from
/// one to the next takes its moment.
const ALWAYS: f64 = 0.9;

impl Misses {
    /// Whether what was counted agrees; with `gate` the goals must be met, too.
    pub fn hold(&self, gate: bool) -> bool {
        self.wrong.is_empty() && (!gate || self.rows.iter().all(Row::met))
    }
}

impl Row {
    /// Whether the figure is what it is to be.
    pub fn met(&self) -> bool {
        match self.goal {
            None => true,
            Some(Goal::AtMost(most)) => self.value <= most,
            Some(Goal::AtLeast(least)) => self.value >= least,
        }
    }
}

/// The image of one file of 64 MiB, `large`, in chunks of 1 MiB in a blob.
///
/// # Errors
/// When it cannot be made.
pub fn sample(setup: &Setup) -> Result<ImageSpec> {
    let cache = setup.cache();
    let entry = cache.step("missed-file", &Key::new().add("missed file 1"), |draft| {
        fs::create_dir(draft.join("tree"))?;
        let bytes = extras::pattern(64, usize::try_from(SIZE)?);
        Ok(fs::write(draft.join("tree/large"), bytes)?)
    })?;
    let Some(chunked) = RECIPES.iter().find(|recipe| recipe.name == "chunk-1m") else {
        bail!("the matrix has no chunk-1m");
    };
    let recipe = Recipe {
        name: "missed",
        ..*chunked
    };
    let mkfs = setup.erofs_utils()?.mkfs;
    build::image(cache, &mkfs, &Tree::open(&entry.join("tree"))?, &recipe)
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "of at most {most:.2}"),
            Self::AtLeast(least) => write!(f, "of at least {least:.2}"),
        }
    }
}

/// Measures what `works` cost.
///
/// # Errors
/// When it could not be tried.
pub fn measure(setup: &Setup, works: Works) -> Result<Misses> {
    let spec = sample(setup)?;
    let specs = [spec];
    let drive = drive::pack(setup.cache(), &specs)?;
    let job = Job {
        images: "/dev/vda".to_owned(),
        daemon: daemon::build(setup)?,
        row: super::packed(&specs, &drive).remove(0),
        works,
    };
    let boot = setup.boot()?.memory("2G").limit(super::LIMIT);
    let boot = boot.drive(&drive.file, true);
    eprintln!("counting what misses cost");
    let desk = Desk::new(setup.cache())?;
    let (answer, run): (Option<Answer>, _) = desk.ask(boot, "miss", &job)?;
    match answer {
        Some(answer) => Ok(Misses {
            rows: figures(&answer.trials),
            wrong: answer.wrong,
        }),
        None => {
            run.require()?;
            bail!("the guest gave no answer")
        }
    }
}

/// The figures of `trials`.
fn figures(trials: &[Trial]) -> Vec<Row> {
    let row = |what: String, value, goal| Row { what, value, goal };
    let per = |count: u64, trial: &Trial| count as f64 / trial.misses as f64;
    let mut rows = Vec::new();
    for trial in trials {
        let work = &*trial.work;
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
                    format!("{what}: requests in flight, mean"),
                    trial.flight.mean,
                    None,
                ));
                rows.push(row(
                    format!("{what}: part of the time with {ENOUGH} or more, once there were"),
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
    for row in &misses.rows {
        let goal = row.goal.map_or(String::new(), |goal| goal.to_string());
        let word = match (row.goal, row.met()) {
            (None, _) => "",
            (_, true) => "met",
            (_, false) => "MISSED",
        };
        let _ = writeln!(out, "{word:<6} {:>9.3} {goal:<16} {}", row.value, row.what);
    }
    for why in &misses.wrong {
        let _ = writeln!(out, "WRONG  {why}");
    }
    if misses.wrong.is_empty() {
        out.push_str("counters, tracepoints, the daemon's numbers and the clock agree\n");
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
