// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The goals: ratios that ondine is to keep.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::figure::{Figure, Form, State, C_FILE, NATIVE, SUBJECT};

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
}

/// Of [`SUBJECT`] to a place: the work, on what, in which state, and the most it may need.
struct Goal {
    work: &'static str,
    form: Form,
    state: State,
    unit: Unit,
    base: &'static str,
    at_most: f64,
}

use Form::{ChunkedTree, LargeFile, Tree};
use State::{Cold, Names, Warm};

const fn instructions(
    work: &'static str,
    form: Form,
    state: State,
    base: &'static str,
    at_most: f64,
) -> Goal {
    Goal {
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

const GOALS: &[Goal] = &[
    instructions("tar to /dev/null", Tree, Warm, C_FILE, 1.00),
    instructions("tar to /dev/null", Tree, Names, C_FILE, 1.00),
    instructions("tar to /dev/null", ChunkedTree, Warm, C_FILE, 1.00),
    instructions("find -ls", Tree, Warm, C_FILE, 1.00),
    instructions("find -ls", Tree, Names, C_FILE, 1.00),
    reads("tar with data", Tree, 1.10),
    reads("tar with data", ChunkedTree, 1.10),
    instructions("random 4 KiB reads", LargeFile, Cold, NATIVE, 1.15),
    instructions("sequential read", LargeFile, Cold, NATIVE, 1.02),
];

/// The goals that can be judged by `figures`.
pub(super) fn judge(figures: &[Figure]) -> Vec<Target> {
    GOALS
        .iter()
        .filter_map(|goal| {
            let of_goal =
                |f: &&Figure| f.work == goal.work && f.form == goal.form && f.state == goal.state;
            let mut ours = figures.iter().filter(of_goal);
            let ours = ours.find(|f| f.place == SUBJECT)?;
            let theirs = ours.peer(figures, goal.base)?;
            let (unit, ratio) = match goal.unit {
                Unit::Instructions => (
                    "instructions",
                    ours.instructions as f64 / theirs.instructions as f64,
                ),
                Unit::Reads => ("device reads", ours.reads as f64 / theirs.reads as f64),
            };
            let base = if goal.base == NATIVE {
                "native"
            } else {
                goal.base
            };
            Some(Target {
                what: format!(
                    "{}, {}, {}: {unit} to {base}",
                    goal.work, goal.form, goal.state
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
