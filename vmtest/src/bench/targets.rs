// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The goals: ratios that ondine is to keep.

use serde::{Deserialize, Serialize};

use crate::guest::bench::{Measure, State};

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

/// What of a measure counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Instructions,
    Reads,
}

/// Work, state, unit, base, the most that ondine may need of the base.
const GOALS: &[(&str, State, Unit, &str, f64)] = &[
    (
        "tar to nowhere",
        State::Warm,
        Unit::Instructions,
        "C file",
        1.00,
    ),
    (
        "tar to nowhere",
        State::Names,
        Unit::Instructions,
        "C file",
        1.00,
    ),
    ("find -ls", State::Warm, Unit::Instructions, "C file", 1.00),
    ("find -ls", State::Names, Unit::Instructions, "C file", 1.00),
    (
        "random 4 KiB",
        State::Cold,
        Unit::Instructions,
        "ext4",
        1.15,
    ),
    (
        "sequential 256 MiB",
        State::Cold,
        Unit::Instructions,
        "ext4",
        1.02,
    ),
    ("tar through cat", State::Cold, Unit::Reads, "C file", 1.10),
];

/// Who is measured against the goals.
const SUBJECT: &str = "ondine file";

/// The goals that `measures` can tell of.
pub(super) fn judge(measures: &[Measure]) -> Vec<Target> {
    GOALS
        .iter()
        .filter_map(|(work, state, unit, base, at_most)| {
            let value = |mount: &str| {
                let found = measures
                    .iter()
                    .find(|m| m.work == *work && m.state == *state && m.mount == mount)?;
                Some(match unit {
                    Unit::Instructions => found.best(),
                    Unit::Reads => found.reads,
                } as f64)
            };
            let ratio = value(SUBJECT)? / value(base)?;
            let unit = match unit {
                Unit::Instructions => "instructions",
                Unit::Reads => "device reads",
            };
            let base = if *base == "ext4" { "native" } else { base };
            Some(Target {
                what: format!("{work}, {state:?}: {unit} of {SUBJECT} to {base}"),
                ratio,
                at_most: *at_most,
                // A ratio is told to three digits, and judged so.
                met: (ratio * 1000.0).round() <= at_most * 1000.0,
            })
        })
        .collect()
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = if self.met { "met   " } else { "MISSED" };
        write!(
            f,
            "{word} {:<62} {:.3} (at most {:.2})",
            self.what, self.ratio, self.at_most
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(mount: &str, instructions: u64) -> Measure {
        Measure {
            work: "find -ls".to_owned(),
            mount: mount.to_owned(),
            state: State::Warm,
            instructions: vec![instructions + 5, instructions],
            reads: 0,
            bytes: 0,
        }
    }

    #[test]
    fn the_least_repeat_counts_and_only_what_was_measured() {
        let judged = judge(&[measure("C file", 1000), measure("ondine file", 1000)]);
        assert_eq!(judged.len(), 1);
        assert!(judged[0].met);
        let judged = judge(&[measure("C file", 1000), measure("ondine file", 1001)]);
        assert!(!judged[0].met);
    }
}
