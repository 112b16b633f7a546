// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Comparison of a result with an earlier one.

use std::fmt::Write as _;

use vmtest_wire::bench::Figure;

use super::Report;

/// The same minimum differs by less than this between two boots.
const NOISE: f64 = 0.02;

/// Change of one of ondine's figures.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    what: String,
    before: u64,
    after: u64,
}

impl Change {
    fn ratio(&self) -> f64 {
        self.after as f64 / self.before.max(1) as f64
    }

    /// Worse by more than noise.
    pub(super) fn is_worse(&self) -> bool {
        self.ratio() > 1.0 + NOISE
    }

    fn is_better(&self) -> bool {
        self.ratio() < 1.0 - NOISE
    }
}

/// Each figure of ondine's that both results have.
pub(super) fn compare(before: &Report, after: &Report) -> Vec<Change> {
    let ours = |f: &&Figure| f.place.is_ondine();
    let change = |now: &Figure| {
        let same = |f: &&Figure| f.place == now.place && f.same_row(now);
        let then = before.figures.iter().find(same)?;
        Some(Change {
            what: format!("{}: {}, {}, {}", now.place, now.work, now.form, now.state),
            before: then.instructions,
            after: now.instructions,
        })
    };
    after
        .figures
        .iter()
        .filter(ours)
        .filter_map(change)
        .collect()
}

/// Renders the changes beyond noise, the worst first.
pub(super) fn render(before: &Report, changes: &[Change]) -> String {
    let mut out = format!(
        "\nagainst Linux {}, ondine {}\n",
        before.kernel, before.commit
    );
    let mut changed: Vec<&Change> = changes
        .iter()
        .filter(|c| c.is_worse() || c.is_better())
        .collect();
    changed.sort_by(|a, b| b.ratio().total_cmp(&a.ratio()));
    for change in &changed {
        let word = if change.is_worse() {
            "WORSE "
        } else {
            "better"
        };
        let _ = writeln!(
            out,
            "{word} {:.3}  {} ({:.2} M, was {:.2} M)",
            change.ratio(),
            change.what,
            change.after as f64 / 1e6,
            change.before as f64 / 1e6,
        );
    }
    let _ = writeln!(
        out,
        "{} figures of ondine compared, {} within {:.0} %",
        changes.len(),
        changes.len() - changed.len(),
        NOISE * 100.0
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suites::bench::tests::figure;
    use vmtest_wire::bench::{MountUnderTest, State, Workload};

    fn report(ours: u64, theirs: u64) -> Report {
        Report {
            schema: 1,
            kernel: "k".to_owned(),
            oracle: String::new(),
            commit: "c".to_owned(),
            figures: vec![
                figure(
                    Workload::Walk,
                    State::Warm,
                    MountUnderTest::OndineFile,
                    ours,
                ),
                figure(Workload::Walk, State::Warm, MountUnderTest::CFile, theirs),
            ],
            refused: Vec::new(),
            targets: Vec::new(),
            misses: None,
        }
    }

    #[test]
    fn only_ondine_counts_and_only_beyond_noise() {
        let worse = |ours, theirs| {
            let changes = compare(&report(1000, 1000), &report(ours, theirs));
            assert_eq!(changes.len(), 1);
            changes[0].is_worse()
        };
        assert!(!worse(1020, 5000));
        assert!(worse(1021, 1000));
        assert!(!worse(500, 500));
    }
}
