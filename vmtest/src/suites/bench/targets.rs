// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The goals: ratios that ondine is to keep.

use std::fmt;

use serde::{Deserialize, Serialize};
use vmtest_wire::bench::{Figure, MountUnderTest, MountedData, State, Workload};

/// A goal that was due, and what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Description of the comparison.
    pub what: String,
    /// The ratio; none when one of the two was not measured.
    pub ratio: Option<f64>,
    /// The most that it may be.
    pub at_most: f64,
    /// True if the ratio was measured and is at most `at_most`.
    pub met: bool,
}

/// Quantity of a figure that a goal compares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Instructions,
    Reads,
    Cached,
}

/// Upper bound of a ratio between two mounts, for one workload on one form of image in one cache state.
struct Goal {
    subject: MountUnderTest,
    work: Workload,
    form: MountedData,
    state: State,
    unit: Unit,
    base: MountUnderTest,
    at_most: f64,
}

use MountedData::{BlobFile, ChunkedTree, LargeFile, Tree};
use State::{Cold, Names, Warm};

const fn instructions(
    work: Workload,
    form: MountedData,
    state: State,
    base: MountUnderTest,
    at_most: f64,
) -> Goal {
    Goal {
        subject: MountUnderTest::OndineFile,
        work,
        form,
        state,
        unit: Unit::Instructions,
        base,
        at_most,
    }
}

const fn reads(work: Workload, form: MountedData, at_most: f64) -> Goal {
    Goal {
        unit: Unit::Reads,
        ..instructions(work, form, Cold, MountUnderTest::CFile, at_most)
    }
}

const fn on_demand(goal: Goal) -> Goal {
    Goal {
        subject: MountUnderTest::OnDemand,
        ..goal
    }
}

/// Bytes that stay in the page cache, to those of a place that keeps each page once; what little is more
/// is metadata and readahead.
const fn cached(work: Workload, form: MountedData, once: MountUnderTest, at_most: f64) -> Goal {
    Goal {
        unit: Unit::Cached,
        ..instructions(work, form, Cold, once, at_most)
    }
}

const GOALS: &[Goal] = &[
    instructions(Workload::TarNames, Tree, Warm, MountUnderTest::CFile, 1.00),
    instructions(Workload::TarNames, Tree, Names, MountUnderTest::CFile, 1.00),
    instructions(
        Workload::TarNames,
        ChunkedTree,
        Warm,
        MountUnderTest::CFile,
        1.00,
    ),
    instructions(Workload::Find, Tree, Warm, MountUnderTest::CFile, 1.00),
    instructions(Workload::Find, Tree, Names, MountUnderTest::CFile, 1.00),
    reads(Workload::TarData, Tree, 1.10),
    reads(Workload::TarData, ChunkedTree, 1.10),
    instructions(
        Workload::Random,
        LargeFile,
        Cold,
        MountUnderTest::Ext4,
        1.15,
    ),
    instructions(
        Workload::Sequential,
        LargeFile,
        Cold,
        MountUnderTest::Ext4,
        1.02,
    ),
    on_demand(instructions(
        Workload::Random,
        BlobFile,
        Cold,
        MountUnderTest::Ext4,
        1.10,
    )),
    on_demand(instructions(
        Workload::Sequential,
        BlobFile,
        Cold,
        MountUnderTest::Ext4,
        1.01,
    )),
    on_demand(instructions(
        Workload::TarData,
        ChunkedTree,
        Cold,
        MountUnderTest::CFscache,
        0.95,
    )),
    on_demand(reads(Workload::TarData, ChunkedTree, 1.10)),
    on_demand(instructions(
        Workload::TarData,
        ChunkedTree,
        Warm,
        MountUnderTest::CFile,
        1.00,
    )),
    // Of what is read in order, waking the daemon is the smaller part: those are shown, not judged.
    on_demand(instructions(
        Workload::Random,
        BlobFile,
        Cold,
        MountUnderTest::CMarked,
        0.33,
    )),
    on_demand(cached(
        Workload::Sequential,
        BlobFile,
        MountUnderTest::Ext4,
        1.02,
    )),
    on_demand(cached(
        Workload::Random,
        BlobFile,
        MountUnderTest::Ext4,
        1.02,
    )),
    on_demand(cached(
        Workload::MapFile,
        BlobFile,
        MountUnderTest::Ext4,
        1.02,
    )),
    on_demand(cached(
        Workload::TarData,
        ChunkedTree,
        MountUnderTest::CDirect,
        1.02,
    )),
    on_demand(cached(
        Workload::MapTree,
        ChunkedTree,
        MountUnderTest::CDirect,
        1.02,
    )),
    on_demand(cached(
        Workload::ReadAndMapTree,
        ChunkedTree,
        MountUnderTest::CDirect,
        1.02,
    )),
];

/// Selection of the goals that a run measures.
#[derive(Clone, Copy)]
pub(super) struct Due<'a> {
    /// Nothing but on-demand loading.
    pub(super) on_demand: bool,
    /// Nothing but workloads whose name contains this.
    pub(super) only: Option<&'a str>,
}

impl Due<'_> {
    fn has(&self, goal: &Goal) -> bool {
        let named = self
            .only
            .is_none_or(|only| goal.work.as_str().contains(only));
        named && (!self.on_demand || goal.subject == MountUnderTest::OnDemand)
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
            MountUnderTest::Ext4 => "native",
            base => base.as_str(),
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
    use vmtest_wire::bench::Set;

    use super::*;
    use crate::suites::bench::tests::figure;

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
        let c = figure(Workload::Find, State::Warm, MountUnderTest::CFile, 100_000);
        let same = figure(
            Workload::Find,
            State::Warm,
            MountUnderTest::OndineFile,
            100_000,
        );
        assert!(warm(&[c.clone(), same]).met);
        let more = figure(
            Workload::Find,
            State::Warm,
            MountUnderTest::OndineFile,
            100_020,
        );
        assert!(!warm(&[c, more]).met);
    }

    #[test]
    fn what_was_due_and_not_measured_is_not_met() {
        let ours = figure(
            Workload::Find,
            State::Warm,
            MountUnderTest::OndineFile,
            100_000,
        );
        let alone = warm(&[ours]);
        assert_eq!((alone.ratio, alone.met), (None, false));
        assert!(alone.to_string().starts_with("MISSED not measured"));
        let due = |on_demand, only| judge(&[], Due { on_demand, only });
        assert_eq!(due(false, None).len(), GOALS.len());
        assert_eq!(due(true, Some(Workload::Random.as_str())).len(), 3);
        let mut demand = due(true, None).into_iter();
        assert!(demand.all(|target| target.what.starts_with(MountUnderTest::OnDemand.as_str())));
    }

    #[test]
    fn reads_are_a_goal_of_their_own() {
        let c = figure(Workload::TarData, State::Cold, MountUnderTest::CFile, 1000);
        let ours = figure(
            Workload::TarData,
            State::Cold,
            MountUnderTest::OndineFile,
            1110,
        );
        let due = Due {
            only: Some(Workload::TarData.as_str()),
            ..FIND
        };
        let judged = judge(&[c, ours], due);
        assert_eq!((judged[0].ratio, judged[0].met), (Some(1.11), false));
    }

    #[test]
    fn every_goal_is_measured() {
        let is_measured = |form, mount, work, state| {
            let sets = [Set::Files, Set::OnDemand, Set::Fscache];
            let mut mounts = sets.into_iter().flat_map(|set| set.mounts());
            let mut works = form_works(form);
            mounts.any(|known| *known == (form, mount))
                && works.any(|(known, states)| known == work && states.contains(&state))
        };
        for goal in GOALS {
            // A tree outside of images is one for each form of image.
            let is_free = goal.base == MountUnderTest::Ext4 && goal.form == ChunkedTree;
            let base_form = if is_free { Tree } else { goal.form };
            for (form, mount) in [(goal.form, goal.subject), (base_form, goal.base)] {
                assert!(
                    is_measured(form, mount, goal.work, goal.state),
                    "{} on {mount}, {form}, {} is a goal and not measured",
                    goal.work,
                    goal.state
                );
            }
        }
    }

    fn form_works(form: MountedData) -> impl Iterator<Item = (Workload, &'static [State])> {
        form.workloads().iter().copied()
    }
}
