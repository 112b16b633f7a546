// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The table of on-demand loading: ondine, what mainline had, and what it has instead.

use std::fmt::Write as _;

use vmtest_wire::bench::{Figure, MountUnderTest, MountedData, State, Workload};

use super::Report;

const ROWS: &[MountUnderTest] = &[
    MountUnderTest::Ext4,
    MountUnderTest::FscacheExt4,
    MountUnderTest::CFscache,
    MountUnderTest::CDirect,
    MountUnderTest::CFile,
    MountUnderTest::CMarked,
    MountUnderTest::OnDemand,
];

/// MiB of the file.
const SIZE: f64 = 64.0;
/// Reads of one run of [`Workload::Random`] on it.
const READS: f64 = vmtest_wire::bench::BLOB_READS as f64;

/// Renders a line for each mount; an empty string if nothing was measured.
pub(super) fn render(report: &Report) -> String {
    let all = &report.figures;
    let find = |place: MountUnderTest, work: Workload, form: MountedData, state: State| {
        let same = |f: &&Figure| f.work == work && f.form == form && f.state == state;
        all.iter().filter(same).find(|f| f.place == place)
    };
    let to = |figure: Option<&Figure>, base: MountUnderTest| {
        let figure = figure?;
        let base = figure.peer(all, base)?;
        Some(figure.instructions as f64 / base.instructions as f64)
    };
    let mut lines = String::new();
    for place in ROWS.iter().copied() {
        let random = find(place, Workload::Random, MountedData::BlobFile, State::Cold);
        let sequential = find(
            place,
            Workload::Sequential,
            MountedData::BlobFile,
            State::Cold,
        );
        let cold = find(
            place,
            Workload::TarData,
            MountedData::ChunkedTree,
            State::Cold,
        );
        let warm = find(
            place,
            Workload::TarData,
            MountedData::ChunkedTree,
            State::Warm,
        );
        if [random, sequential, cold, warm].iter().all(Option::is_none) {
            continue;
        }
        let cells = [
            cell(to(random, MountUnderTest::Ext4), 3),
            cell(random.map(|f| f.instructions as f64 / READS / 1e3), 1),
            cell(to(sequential, MountUnderTest::Ext4), 3),
            cell(sequential.map(|f| f.instructions as f64 / SIZE / 1e6), 2),
            cell(
                sequential.map(|f| f.cached_bytes as f64 / f64::from(1 << 20)),
                1,
            ),
            cell(cold.map(|f| f.instructions as f64 / 1e6), 1),
            cell(to(cold, MountUnderTest::CFscache), 3),
            cell(cold.map(|f| f.reads as f64), 0),
            cell(warm.map(|f| f.instructions as f64 / 1e6), 1),
        ];
        let _ = writeln!(lines, "  {place:<18}{}", cells.concat());
    }
    if lines.is_empty() {
        return lines;
    }
    let heads = [
        "random", "k/read", "seq.", "M/MiB", "MiB kept", "cold tar", "fscache", "reads", "warm tar",
    ];
    let heads: String = heads.iter().map(|head| format!("{head:>10}")).collect();
    format!(
        "on demand, the cache full, the page cache dropped (random, seq.: to native; fscache: cold tar \
         to C fscache's, on Linux {})\n  {:<18}{heads}\n{lines}\n",
        report.oracle, ""
    )
}

fn cell(value: Option<f64>, digits: usize) -> String {
    match value {
        Some(value) => format!("{value:>10.digits$}"),
        None => format!("{:>10}", "-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suites::bench::tests::figure;

    fn report(figures: Vec<Figure>) -> Report {
        Report {
            schema: 1,
            kernel: "k".to_owned(),
            oracle: "6.12.1".to_owned(),
            commit: "c".to_owned(),
            figures,
            refused: Vec::new(),
            targets: Vec::new(),
            misses: None,
        }
    }

    #[test]
    fn a_place_is_one_line_and_what_was_not_measured_is_a_dash() {
        let on_blob = |place, n| Figure {
            form: MountedData::BlobFile,
            ..figure(Workload::Random, State::Cold, place, n)
        };
        let text = render(&report(vec![
            on_blob(MountUnderTest::Ext4, 80_000_000),
            on_blob(MountUnderTest::OnDemand, 84_000_000),
        ]));
        let ours = text
            .lines()
            .find(|l| l.contains(MountUnderTest::OnDemand.as_str()))
            .unwrap();
        let cells: Vec<&str> = ours.split_whitespace().skip(3).collect();
        assert_eq!(cells, ["1.050", "21.0", "-", "-", "-", "-", "-", "-", "-"]);
        assert!(text.contains("6.12.1") && !text.contains(MountUnderTest::CMarked.as_str()));
    }

    #[test]
    fn without_figures_there_is_no_table() {
        assert_eq!(render(&report(Vec::new())), "");
    }
}
