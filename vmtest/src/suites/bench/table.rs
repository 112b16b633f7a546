// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The table that `bench` prints.

use std::fmt::Write as _;

use vmtest_wire::bench::{Figure, MountUnderTest};

use super::Report;

/// Every workload with its places below it, then what was refused.
pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    for group in groups(&report.figures) {
        let first = group[0];
        let _ = writeln!(out, "\n{}, {}, {}", first.work, first.form, first.state);
        let _ = writeln!(
            out,
            "  {:<20}{:>12}{:>9}{:>9}{:>9}{:>8}{:>9}",
            "", "M instr.", "to C", "to ext4", "to tmpfs", "reads", "MiB"
        );
        for figure in group {
            let _ = writeln!(
                out,
                "  {:<20}{:>12.2}{:>9}{:>9}{:>9}{:>8}{:>9.1}",
                figure.place,
                figure.instructions as f64 / 1e6,
                ratio(figure, &report.figures, MountUnderTest::CFile),
                ratio(figure, &report.figures, MountUnderTest::Ext4),
                ratio(figure, &report.figures, MountUnderTest::Tmpfs),
                figure.reads,
                figure.read_bytes as f64 / f64::from(1 << 20),
            );
        }
    }
    out.push('\n');
    for refused in &report.refused {
        let _ = writeln!(
            out,
            "not measured: {} on {} (the mount gives {})",
            refused.place, refused.form, refused.errno
        );
    }
    out
}

/// The figures of each workload, in the order in which they first occur.
pub(super) fn groups(figures: &[Figure]) -> Vec<Vec<&Figure>> {
    let mut groups: Vec<Vec<&Figure>> = Vec::new();
    for figure in figures {
        match groups.iter_mut().find(|group| group[0].same_row(figure)) {
            Some(group) => group.push(figure),
            None => groups.push(vec![figure]),
        }
    }
    groups
}

fn ratio(figure: &Figure, all: &[Figure], place: MountUnderTest) -> String {
    match figure.peer(all, place) {
        Some(base) if base.instructions > 0 => {
            format!(
                "{:.3}",
                figure.instructions as f64 / base.instructions as f64
            )
        }
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suites::bench::tests::figure;
    use vmtest_wire::bench::{State, Workload};

    #[test]
    fn a_workload_is_one_block_with_ratios() {
        let report = Report {
            schema: 1,
            kernel: "7.3".to_owned(),
            oracle: String::new(),
            commit: "c".to_owned(),
            figures: vec![
                figure(
                    Workload::Find,
                    State::Warm,
                    MountUnderTest::CFile,
                    2_000_000,
                ),
                figure(
                    Workload::Find,
                    State::Cold,
                    MountUnderTest::CFile,
                    5_000_000,
                ),
                figure(
                    Workload::Find,
                    State::Warm,
                    MountUnderTest::OndineFile,
                    1_000_000,
                ),
            ],
            refused: Vec::new(),
            targets: Vec::new(),
            misses: None,
        };
        let text = render(&report);
        let rows: Vec<&str> = text.lines().filter(|l| l.contains("file")).collect();
        assert_eq!(rows.len(), 3);
        assert!(rows[0].contains("2.00") && rows[0].contains("1.000"));
        assert!(rows[1].contains("ondine") && rows[1].contains("0.500"));
    }
}
