// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The table that `run` prints.

use std::fmt::Write as _;

use super::verdict::Verdict;

/// Differences shown for one image.
const SHOWN: usize = 5;

/// All verdicts as a table, each image's first differences below it.
pub fn render(verdicts: &[Verdict]) -> String {
    let mut out = format!(
        "{:<18} {:>9} {:>8} {:>14} {:>11} {:>8}\n",
        "image", "observers", "paths", "bytes", "differences", "seconds"
    );
    for v in verdicts {
        let _ = writeln!(
            out,
            "{:<18} {:>9} {:>8} {:>14} {:>11} {:>8.1}",
            v.image,
            v.observers.len(),
            v.paths,
            v.bytes,
            v.differences.len(),
            v.seconds
        );
        for note in &v.notes {
            let _ = writeln!(out, "    note: {note}");
        }
        out.push_str(&differences(v, SHOWN));
    }
    let found: usize = verdicts.iter().map(|v| v.differences.len()).sum();
    let _ = writeln!(
        out,
        "{} images, {} accounts compared with the model, {found} differences",
        verdicts.len(),
        verdicts.iter().map(|v| v.observers.len()).sum::<usize>(),
    );
    out
}

/// The first `count` differences of one image, a line each.
pub fn differences(verdict: &Verdict, count: usize) -> String {
    let mut out = String::new();
    for finding in verdict.differences.iter().take(count) {
        let path = &finding.difference.path;
        let _ = writeln!(out, "    /{path}: {}", finding.difference.sentence);
    }
    let more = verdict.differences.len().saturating_sub(count);
    if more > 0 {
        let _ = writeln!(out, "    and {more} more");
    }
    out
}
