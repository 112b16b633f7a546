// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The rounds of [`vmtest_agent::load_unload`] in a guest.

use anyhow::Result;
use vmtest_lab::images::image_drive;
use vmtest_lab::Setup;
use vmtest_wire::load_unload::{LeakReport, LoadUnloadJob};

use super::vfs_checks;
use crate::guest_call::GuestSession;

/// Bytes that may be gone a round, in each half of the rounds: less than a page.
const ROOM: i64 = 3 << 10;
/// Bytes that come and go, however few rounds there are.
const UNREST: i64 = 256 << 10;

/// Objects are counted exactly under this parameter alone (it is the default of `san`): without a debug flag the slab
/// allocator keeps free objects in "sheaves", 60 and more a processor and cache, and counts them as in use.
const EXACT: &str = "slab_debug=FZPU";

/// Loads, mounts, uses, unmounts and unloads `rounds` times.
///
/// # Errors
/// When the guest could not run the job.
pub fn run(setup: &Setup, rounds: u32) -> Result<Result<LeakReport, String>> {
    let specs = vfs_checks::specs(setup)?;
    let drive = image_drive::pack(setup.cache(), &specs)?;
    let job = LoadUnloadJob {
        drive: "/dev/vda".to_owned(),
        module: setup.module()?.canonicalize()?.display().to_string(),
        rows: drive.rows(&specs, |_| Vec::new()),
        rounds,
    };
    let limit = std::time::Duration::from_secs(3600);
    let boot = setup.boot_without_module()?.append(EXACT);
    let boot = boot.memory("2G").limit(limit);
    let session = GuestSession::new(setup.cache())?;
    let answer = session.judged(boot.drive(&drive.file, true), &job)?;
    Ok(answer.and_then(judge))
}

fn judge(cycled: LeakReport) -> Result<LeakReport, String> {
    let mut grown: Vec<String> = cycled
        .grown
        .iter()
        .map(|(name, [before, between, after])| {
            format!("{name}: {before} before, {between} between, {after} after")
        })
        .collect();
    let room = (ROOM * i64::from(cycled.rounds / 2)).max(UNREST);
    if cycled.bytes.iter().all(|more| *more > room) {
        let [first, second] = cycled.bytes.map(|more| more / 1024);
        grown.push(format!(
            "{first} KiB of memory are gone, then {second} KiB more"
        ));
    }
    if cycled.files == 0 {
        grown.push("no file was read".to_owned());
    }
    if grown.is_empty() {
        Ok(cycled)
    } else {
        Err(format!(
            "after {} rounds\n{}",
            cycled.rounds,
            grown.join("\n")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_a_failure() {
        let fine = LeakReport {
            rounds: 100,
            files: 9,
            grown: Vec::new(),
            bytes: [300 << 10, 0],
        };
        assert!(judge(fine.clone()).is_ok());
        let slab = LeakReport {
            grown: vec![("slab x".to_owned(), [1, 51, 101])],
            ..fine.clone()
        };
        assert!(judge(slab).unwrap_err().contains("slab x"));
        let bytes = LeakReport {
            bytes: [300 << 10; 2],
            ..fine
        };
        assert!(judge(bytes).unwrap_err().contains("300 KiB"));
    }
}
