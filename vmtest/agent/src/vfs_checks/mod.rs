// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Checks of VFS semantics beyond file contents, one for each behaviour, run on ondine and on the
//! mainline driver alike.
//!
//! The trees are those of `vmtest_lab::images::special_files`, so every check knows what it must find.

mod behind_the_end;
mod format_limits;
pub(crate) mod handmade;
mod huge_directories;
mod lookup_readdir;
mod mount_errors;
mod page_cache;
mod read_only;
mod read_paths;
mod refusals;
mod scattered_reads;
mod sources;
mod stacking;
mod statfs_fiemap_handles;
mod xattr_acl;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{ensure, Context, Result};
use vmtest_wire::disk::DiskFs;
use vmtest_wire::image::{Backing, Observer, Row};
use vmtest_wire::vfs_checks::{CheckResult, VfsCheckJob};

use super::mounts::Mounted;
use super::observe;

/// Mount point of the writable drive.
const STORE: &str = "/run/ondine/store";

/// A mounted image under test.
struct Site<'a> {
    row: &'a Row,
    observer: &'a Observer,
    root: &'a Path,
}

impl Site<'_> {
    fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    fn open(&self, relative: &str) -> Result<File> {
        let path = self.path(relative);
        File::open(&path).with_context(|| path.display().to_string())
    }

    /// Name and contents of the file `sizes/SIZE`.
    fn sized(size: usize) -> (String, Vec<u8>) {
        (
            format!("sizes/{size}"),
            vmtest_wire::fixtures::pattern(size as u64, size),
        )
    }
}

type Check = (&'static str, fn(&Site<'_>) -> Result<()>);

/// Runs all checks on all images with all observers.
///
/// # Errors
/// A failure outside of the checks.
pub(super) fn run(job: &VfsCheckJob) -> Result<Vec<CheckResult>> {
    let _drive = observe::attach(&job.drive)?;
    let _store = Mounted::disk(job.disk, Path::new(&job.store), Path::new(STORE))?;
    let on_disk;
    let job = if job.disk == DiskFs::Ext4 {
        job
    } else {
        let rows = job.rows.iter().enumerate();
        let rows = rows.map(|(n, row)| sources::copied(row, &Path::new(STORE).join(n.to_string())));
        on_disk = VfsCheckJob {
            rows: rows.collect::<Result<_>>()?,
            ..job.clone()
        };
        &on_disk
    };
    let lists: [&[Check]; 6] = [
        read_paths::CHECKS,
        lookup_readdir::CHECKS,
        xattr_acl::CHECKS,
        statfs_fiemap_handles::CHECKS,
        read_only::CHECKS,
        stacking::CHECKS,
    ];
    let mut done = Vec::new();
    let specimens = &job.rows[..job.rows.len().saturating_sub(1)];
    for row in specimens {
        for observer in &row.observers {
            let on = format!("{} {observer}", row.name);
            for (name, check) in lists.iter().copied().flatten() {
                done.push(timed(name, &on, || on_mount(row, observer, check)));
            }
        }
    }
    let mut drivers: Vec<&Observer> = job.rows.iter().flat_map(|r| &r.observers).collect();
    drivers.retain(|o| o.backing == Backing::File);
    drivers.sort();
    drivers.dedup();
    for driver in drivers {
        for (name, check) in mount_errors::CHECKS {
            done.push(timed(name, &driver.to_string(), || check(job, driver)));
        }
        if driver.fs == handmade::DRIVER {
            let alone = [
                behind_the_end::CHECKS,
                format_limits::CHECKS,
                huge_directories::CHECKS,
                refusals::CHECKS,
                scattered_reads::CHECKS,
            ];
            for (name, check) in alone.into_iter().flatten() {
                done.push(timed(name, handmade::DRIVER, || check(job)));
            }
            for row in specimens {
                let on = format!("{} {driver}", row.name);
                for (name, check) in page_cache::CHECKS {
                    done.push(timed(name, &on, || on_mount(row, driver, check)));
                }
                for (name, check) in sources::CHECKS {
                    done.push(timed(name, &on, || check(job, row)));
                }
            }
        }
    }
    Ok(done)
}

fn timed(name: &str, on: &str, check: impl FnOnce() -> Result<()>) -> CheckResult {
    let begin = Instant::now();
    let failed = check().err().map(|error| format!("{error:#}"));
    if let Some(why) = &failed {
        eprintln!("  FAILED {name}, {on}: {why}");
    }
    CheckResult {
        name: name.to_owned(),
        on: on.to_owned(),
        failed,
        seconds: begin.elapsed().as_secs_f64(),
    }
}

/// Mounts the image, runs the check, and checks that a plain unmount succeeds afterwards.
fn on_mount(row: &Row, observer: &Observer, check: &dyn Fn(&Site<'_>) -> Result<()>) -> Result<()> {
    let point = Path::new("/run/ondine/behave");
    let mounted =
        Mounted::image(row, observer, point)?.map_err(|errno| anyhow::anyhow!("mount: {errno}"))?;
    let site = Site {
        row,
        observer,
        root: &mounted.point,
    };
    check(&site)?;
    let left = mounted.unmount();
    ensure!(
        left.is_ok(),
        "unmount: {}",
        left.err().map_or_else(String::new, |e| e.to_string())
    );
    Ok(())
}

/// Checks that a call failed with exactly the errno `wanted`.
fn gives<T>(what: &str, wanted: i32, result: std::io::Result<T>) -> Result<()> {
    match result {
        Ok(_) => anyhow::bail!("{what} succeeds instead of failing with errno {wanted}"),
        Err(error) => {
            ensure!(
                error.raw_os_error() == Some(wanted),
                "{what} fails with {error}, not errno {wanted}"
            );
            Ok(())
        }
    }
}

/// Checks that two byte strings are equal; the error names the first difference.
fn same(what: &str, seen: &[u8], wanted: &[u8]) -> Result<()> {
    ensure!(
        seen.len() == wanted.len(),
        "{what}: {} bytes instead of {}",
        seen.len(),
        wanted.len()
    );
    if let Some(at) = seen.iter().zip(wanted).position(|(a, b)| a != b) {
        anyhow::bail!(
            "{what}: byte {at} is {:#04x}, not {:#04x}",
            seen[at],
            wanted[at]
        );
    }
    Ok(())
}
