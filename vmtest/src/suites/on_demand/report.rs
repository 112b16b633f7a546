// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The table that `run --on-demand` prints.

use std::fmt::Write as _;

use super::Report;
use crate::suites::compare::report::differences;

/// Differences shown for one image.
const SHOWN: usize = 5;
const MIB: f64 = (1 << 20) as f64;

/// Every image with a line for each cache, what was left out, and whether the counters add up.
pub fn render(report: &Report) -> String {
    let mut out = format!(
        "{:<18} {:<24} {:>8} {:>8} {:>9} {:>7} {:>7} {:>8}\n",
        "image", "through", "MiB", "missing", "fetched", "of all", "READs", "seconds"
    );
    for image in &report.images {
        for one in &image.served {
            let fetched = one.daemon.bytes_fetched as f64;
            let _ = writeln!(
                out,
                "{:<18} {:<24} {:>8.1} {:>8.1} {:>9.1} {:>7.3} {:>7} {:>8.1}",
                image.verdict.image,
                one.sight.observer.to_string(),
                one.bytes as f64 / MIB,
                one.missing as f64 / MIB,
                fetched / MIB,
                fetched / one.bytes.max(1) as f64,
                one.daemon.reads,
                one.sight.seconds,
            );
        }
        for line in &image.wrong {
            let _ = writeln!(out, "    {line}");
        }
        out.push_str(&differences(&image.verdict, SHOWN));
    }
    for image in &report.left_out {
        let answer = match image.mount {
            Some(errno) => format!("its mount gives {errno}"),
            None => "and yet it mounts".to_owned(),
        };
        let _ = writeln!(
            out,
            "left out: {}, since its blocks have {} bytes and a page 4096: {answer}",
            image.image, image.block_size,
        );
    }
    match &report.counts {
        None => out.push_str("counters: those of known reads and of two mounts add up\n"),
        Some(why) => {
            let _ = writeln!(out, "counters: {why}");
        }
    }
    match &report.lost {
        None => out.push_str("a blob that the server has lost: readers get ENOENT\n"),
        Some(why) => {
            let _ = writeln!(out, "a blob that the server has lost: {why}");
        }
    }
    match &report.replaced {
        None => out.push_str("a blob that the server has replaced: no mixed bytes\n"),
        Some(why) => {
            let _ = writeln!(out, "a blob that the server has replaced: {why}");
        }
    }
    let found = report.images.iter().map(|i| i.verdict.differences.len());
    let _ = writeln!(
        out,
        "{} images through {} caches, {} differences from the model",
        report.images.len(),
        report.images.iter().map(|i| i.served.len()).sum::<usize>(),
        found.sum::<usize>(),
    );
    out
}
