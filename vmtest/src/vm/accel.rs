// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Whether KVM can be trusted on this machine.
//!
//! `/dev/kvm` may open and a guest hang at its first instruction all the same, so the only answer
//! that counts is a guest that ran to its end. It is asked once and remembered.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::boot::Boot;

/// A guest under KVM is through in two seconds; one that hangs never says a word.
const PROBE_LIMIT: Duration = Duration::from_secs(15);

/// Whether `boot`'s kernel comes up under KVM; the answer is kept in `answers`.
pub fn kvm_works(boot: &Boot, answers: &Path) -> Result<bool> {
    if OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_err()
    {
        return Ok(false);
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let file = answers.join(format!("kvm-{}", release.trim().replace('/', "_")));
    if let Ok(answer) = fs::read_to_string(&file) {
        return Ok(answer.trim() == "yes");
    }
    let probe = boot
        .clone()
        .module(None)
        .kvm(true)
        .limit(PROBE_LIMIT)
        .run(["true"]);
    let works = probe.is_ok_and(|run| run.passed());
    fs::create_dir_all(answers)?;
    fs::write(&file, if works { "yes\n" } else { "no\n" })?;
    Ok(works)
}
