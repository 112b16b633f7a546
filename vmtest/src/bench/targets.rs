// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The goals: ratios that ondine is to keep.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::figure::{
    Figure, Form, State, C_DIRECT, C_FILE, C_FSCACHE, C_MARKED, MAPPED, MAPPED_FILE, NATIVE,
    ON_DEMAND, RANDOM, READ_AND_MAPPED, SEQUENTIAL, SUBJECT, TAR_DATA,
};

/// A goal that was due, and what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// What is compared, in words.
    pub what: String,
    /// The ratio; none when one of the two was not measured.
    pub ratio: Option<f64>,
    /// The most that it may be.
    pub at_most: f64,
    /// Whether it was measured and is.
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

/// Bytes that stay in the page cache, to those of a place that keeps each page once; what little is more
/// is metadata and readahead.
const fn cached(work: &'static str, form: Form, once: &'static str, at_most: f64) -> Goal {
    Goal {
        unit: Unit::Cached,
        ..instructions(work, form, Cold, once, at_most)
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
    // Of what is read in order, waking the daemon is the smaller part: those are shown, not judged.
    on_demand(instructions(RANDOM, BlobFile, Cold, C_MARKED, 0.33)),
    on_demand(cached(SEQUENTIAL, BlobFile, NATIVE, 1.02)),
    on_demand(cached(RANDOM, BlobFile, NATIVE, 1.02)),
    on_demand(cached(MAPPED_FILE, BlobFile, NATIVE, 1.02)),
    on_demand(cached(TAR_DATA, ChunkedTree, C_DIRECT, 1.02)),
    on_demand(cached(MAPPED, ChunkedTree, C_DIRECT, 1.02)),
    on_demand(cached(READ_AND_MAPPED, ChunkedTree, C_DIRECT, 1.02)),
];

/// What was to be measured.
#[derive(Clone, Copy)]
pub(super) struct Due<'a> {
    /// Nothing but on-demand loading.
    pub(super) on_demand: bool,
    /// Nothing but workloads whose name contains this.
    pub(super) only: Option<&'a str>,
}

impl Due<'_> {
    fn has(&self, goal: &Goal) -> bool {
        let named = self.only.is_none_or(|only| goal.work.contains(only));
        named && (!self.on_demand || goal.subject == ON_DEMAND)
    }
}

/// The goals that are due. What a kernel refused to mount has no figures: the goals that need them are
/// not met.
pub(super) fn judge(figures: &[Figure], due: Due<'_>) -> Vec<Target> {
    let due = GOALS.iter().filter(|goal| due.has(goal));
    due.map(|goal| goal.held_against(figures)).collect()
}

impl Goal {
    fn held_against(&self, figures: &[Figure]) -> Target {
        let ratio = self.ratio(figures);
        let unit = match self.unit {
            Unit::Instructions => "instructions",
            Unit::Reads => "device reads",
            Unit::Cached => "page cache",
        };
        let base = match self.base {
            NATIVE => "native",
            base => base,
        };
        Target {
            what: format!(
                "{}: {}, {}, {}: {unit} to {base}",
                self.subject, self.work, self.form, self.state
            ),
            ratio,
            at_most: self.at_most,
            met: ratio.is_some_and(|ratio| ratio <= self.at_most),
        }
    }

    fn ratio(&self, figures: &[Figure]) -> Option<f64> {
        let of_goal =
            |f: &&Figure| f.work == self.work && f.form == self.form && f.state == self.state;
        let mut ours = figures.iter().filter(of_goal);
        let ours = ours.find(|f| f.place == self.subject)?;
        let theirs = ours.peer(figures, self.base)?;
        let count = |f: &Figure| match self.unit {
            Unit::Instructions => f.instructions,
            Unit::Reads => f.reads,
            Unit::Cached => f.cached_bytes,
        };
        Some(count(ours) as f64 / count(theirs) as f64)
    }
}

impl Target {
    /// The ratio as a table shows it.
    pub(super) fn measured(&self) -> String {
        match self.ratio {
            Some(ratio) => format!("{ratio:.4}"),
            None => "not measured".to_owned(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.met { "met   " } else { "MISSED" };
        let measured = self.measured();
        write!(
            f,
            "{word} {measured} of at most {:.2}  {}",
            self.at_most, self.what
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::figure::tests::figure;
    use super::*;

    const FIND: Due<'_> = Due {
        on_demand: false,
        only: Some("find"),
    };

    /// Of the two goals of find, the one for warm caches.
    fn warm(figures: &[Figure]) -> Target {
        let judged = judge(figures, FIND);
        assert_eq!(judged.len(), 2);
        assert_eq!(
            (judged[1].ratio, judged[1].met),
            (None, false),
            "nothing was measured there"
        );
        judged[0].clone()
    }

    #[test]
    fn what_was_measured_is_judged_exactly() {
        let c = figure("find -ls", State::Warm, C_FILE, 100_000);
        let same = figure("find -ls", State::Warm, SUBJECT, 100_000);
        assert!(warm(&[c.clone(), same]).met);
        let more = figure("find -ls", State::Warm, SUBJECT, 100_020);
        assert!(!warm(&[c, more]).met);
    }

    #[test]
    fn what_was_due_and_not_measured_is_not_met() {
        let ours = figure("find -ls", State::Warm, SUBJECT, 100_000);
        let alone = warm(&[ours]);
        assert_eq!((alone.ratio, alone.met), (None, false));
        assert!(alone.to_string().starts_with("MISSED not measured"));
        let due = |on_demand, only| judge(&[], Due { on_demand, only });
        assert_eq!(due(false, None).len(), GOALS.len());
        assert_eq!(due(true, Some(RANDOM)).len(), 3);
        let mut demand = due(true, None).into_iter();
        assert!(demand.all(|target| target.what.starts_with(ON_DEMAND)));
    }

    #[test]
    fn reads_are_a_goal_of_their_own() {
        let c = figure(TAR_DATA, State::Cold, C_FILE, 1000);
        let ours = figure(TAR_DATA, State::Cold, SUBJECT, 1110);
        let due = Due {
            only: Some(TAR_DATA),
            ..FIND
        };
        let judged = judge(&[c, ours], due);
        assert_eq!((judged[0].ratio, judged[0].met), (Some(1.11), false));
    }
}
