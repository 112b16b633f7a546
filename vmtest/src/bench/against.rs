// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Holding a result against an earlier one.

use std::fmt::Write as _;

use super::figure::Figure;
use super::Report;

/// The same minimum differs by less than this between two boots.
const NOISE: f64 = 0.02;

/// What became of one figure of ondine's.
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
    let ours = |f: &&Figure| f.place.starts_with("ondine");
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

/// What changed, the worst first.
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
    use super::super::figure::tests::figure;
    use super::super::figure::State;
    use super::*;

    fn report(ours: u64, theirs: u64) -> Report {
        Report {
            schema: 1,
            kernel: "k".to_owned(),
            oracle: String::new(),
            commit: "c".to_owned(),
            figures: vec![
                figure("walk", State::Warm, "ondine file", ours),
                figure("walk", State::Warm, "C file", theirs),
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
