// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Detection of a working KVM.
//!
//! On some machines `/dev/kvm` can be opened but a guest hangs at its first instruction. So a probe
//! guest is run once, and the result is stored in the cache.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::boot::Boot;

/// Time limit of the probe guest, which takes about two seconds under KVM.
const PROBE_LIMIT: Duration = Duration::from_secs(15);

/// Returns true if `boot`'s kernel can run a command under KVM. The result is stored in the
/// directory `answers`, for each release of the host's kernel.
///
/// # Errors
/// When the result cannot be written.
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
