// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The goals: ratios that ondine is to keep.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::figure::{
    Figure, Form, State, C_FILE, C_FSCACHE, C_MARKED, NATIVE, ON_DEMAND, RANDOM, SEQUENTIAL,
    SUBJECT, TAR_DATA,
};

/// A goal and what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// What is compared, in words.
    pub what: String,
    /// The ratio.
    pub ratio: f64,
    /// The most that it may be.
    pub at_most: f64,
    /// Whether it is.
    pub met: bool,
}

/// What of a figure counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Instructions,
    Reads,
    Cached,
}

/// Of one place to another: the work, on what, in which state, and the most it may need.
struct Goal {
    subject: &'static str,
    work: &'static str,
    form: Form,
    state: State,
    unit: Unit,
    base: &'static str,
    at_most: f64,
}

use Form::{BlobFile, ChunkedTree, LargeFile, Tree};
use State::{Cold, Names, Warm};

const fn instructions(
    work: &'static str,
    form: Form,
    state: State,
    base: &'static str,
    at_most: f64,
) -> Goal {
    Goal {
        subject: SUBJECT,
        work,
        form,
        state,
        unit: Unit::Instructions,
        base,
        at_most,
    }
}

const fn reads(work: &'static str, form: Form, at_most: f64) -> Goal {
    Goal {
        unit: Unit::Reads,
        ..instructions(work, form, Cold, C_FILE, at_most)
    }
}

const fn on_demand(goal: Goal) -> Goal {
    Goal {
        subject: ON_DEMAND,
        ..goal
    }
}

/// Bytes that stay in the page cache, to those of native: a page is cached once, and what little is
/// more is metadata.
const fn cached(work: &'static str, form: Form, at_most: f64) -> Goal {
    Goal {
        unit: Unit::Cached,
        ..instructions(work, form, Cold, NATIVE, at_most)
    }
}

const GOALS: &[Goal] = &[
    instructions("tar to /dev/null", Tree, Warm, C_FILE, 1.00),
    instructions("tar to /dev/null", Tree, Names, C_FILE, 1.00),
    instructions("tar to /dev/null", ChunkedTree, Warm, C_FILE, 1.00),
    instructions("find -ls", Tree, Warm, C_FILE, 1.00),
    instructions("find -ls", Tree, Names, C_FILE, 1.00),
    reads(TAR_DATA, Tree, 1.10),
    reads(TAR_DATA, ChunkedTree, 1.10),
    instructions(RANDOM, LargeFile, Cold, NATIVE, 1.15),
    instructions(SEQUENTIAL, LargeFile, Cold, NATIVE, 1.02),
    on_demand(instructions(RANDOM, BlobFile, Cold, NATIVE, 1.10)),
    on_demand(instructions(SEQUENTIAL, BlobFile, Cold, NATIVE, 1.01)),
    on_demand(instructions(TAR_DATA, ChunkedTree, Cold, C_FSCACHE, 0.95)),
    on_demand(reads(TAR_DATA, ChunkedTree, 1.10)),
    on_demand(instructions(TAR_DATA, ChunkedTree, Warm, C_FILE, 1.00)),
    on_demand(instructions(RANDOM, BlobFile, Cold, C_MARKED, 0.33)),
    on_demand(cached(SEQUENTIAL, BlobFile, 1.02)),
];

/// The goals that can be judged by `figures`.
pub(super) fn judge(figures: &[Figure]) -> Vec<Target> {
    GOALS
        .iter()
        .filter_map(|goal| {
            let of_goal =
                |f: &&Figure| f.work == goal.work && f.form == goal.form && f.state == goal.state;
            let mut ours = figures.iter().filter(of_goal);
            let ours = ours.find(|f| f.place == goal.subject)?;
            let theirs = ours.peer(figures, goal.base)?;
            let (unit, ours, theirs) = match goal.unit {
                Unit::Instructions => ("instructions", ours.instructions, theirs.instructions),
                Unit::Reads => ("device reads", ours.reads, theirs.reads),
                Unit::Cached => ("page cache", ours.cached_bytes, theirs.cached_bytes),
            };
            let ratio = ours as f64 / theirs as f64;
            let base = if goal.base == NATIVE {
                "native"
            } else {
                goal.base
            };
            Some(Target {
                what: format!(
                    "{}: {}, {}, {}: {unit} to {base}",
                    goal.subject, goal.work, goal.form, goal.state
                ),
                ratio,
                at_most: goal.at_most,
                met: ratio <= goal.at_most,
            })
        })
        .collect()
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.met { "met   " } else { "MISSED" };
        write!(
            f,
            "{word} {:.4} of at most {:.2}  {}",
            self.ratio, self.at_most, self.what
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::figure::tests::figure;
    use super::*;

    #[test]
    fn only_what_was_measured_is_judged_and_exactly() {
        let c = figure("find -ls", State::Warm, C_FILE, 100_000);
        let same = figure("find -ls", State::Warm, SUBJECT, 100_000);
        let judged = judge(&[c.clone(), same]);
        assert_eq!(judged.len(), 1);
        assert!(judged[0].met);
        let more = figure("find -ls", State::Warm, SUBJECT, 100_020);
        assert!(!judge(&[c, more])[0].met);
    }

    #[test]
    fn reads_are_a_goal_of_their_own() {
        let c = figure("tar with data", State::Cold, C_FILE, 1000);
        let ours = figure("tar with data", State::Cold, SUBJECT, 1110);
        let judged = judge(&[c, ours]);
        assert_eq!((judged[0].ratio, judged[0].met), (1.11, false));
    }
}
