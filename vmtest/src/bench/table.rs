// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The measurements as a table.

use std::fmt::Write as _;

use crate::guest::bench::{Measure, State};

/// All measures, grouped by workload and state, with ratios to the C driver's file-backed mount and
/// to ext4 (for the large file: the blob itself), and the change since `before`.
pub(super) fn render(measures: &[Measure], before: Option<&[Measure]>) -> String {
    let mut out = String::new();
    let mut groups: Vec<(&str, State)> = Vec::new();
    for measure in measures {
        let group = (measure.work.as_str(), measure.state);
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    for (work, state) in groups {
        let dropped = match state {
            State::Warm => "everything cached",
            State::Names => "dentries and inodes dropped",
            State::Cold => "everything dropped",
        };
        let _ = writeln!(out, "\n{work}, {dropped}");
        let _ = writeln!(
            out,
            "  {:<16} {:>12} {:>7} {:>8} {:>8} {:>9}{}",
            "mount",
            "Minstr.",
            "to C",
            "native",
            "reads",
            "MiB",
            if before.is_some() { "   before" } else { "" }
        );
        let of = |list: &[Measure], mount: &str| -> Option<u64> {
            let same = |m: &&Measure| m.work == work && m.state == state && m.mount == mount;
            list.iter().find(same).map(Measure::best)
        };
        for m in measures
            .iter()
            .filter(|m| m.work == work && m.state == state)
        {
            let ratio = |base: Option<u64>| match base {
                Some(base) if base > 0 => format!("{:.3}", m.best() as f64 / base as f64),
                _ => "-".to_owned(),
            };
            let _ = write!(
                out,
                "  {:<16} {:>12.2} {:>7} {:>8} {:>8} {:>9.1}",
                m.mount,
                m.best() as f64 / 1e6,
                ratio(of(measures, "C file")),
                ratio(of(measures, "ext4")),
                m.reads,
                m.bytes as f64 / f64::from(1 << 20),
            );
            if let Some(before) = before {
                let _ = write!(out, " {:>8}", ratio(of(before, &m.mount)));
            }
            out.push('\n');
        }
    }
    out.push('\n');
    out
}
