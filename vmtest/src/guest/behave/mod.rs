// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What programs may expect of a mounted file system beyond its contents: one small named check
//! for each behaviour, run on ondine and on the C driver alike.
//!
//! The trees are those of [`crate::images::extras`], so every check knows what it must find.

mod attributes;
mod edges;
mod layers;
mod memory;
mod names;
mod numbers;
mod reading;
mod refusing;
mod writing;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{ensure, Context, Result};
use serde::{Deserialize, Serialize};

use super::job::{Backing, Observer, Row};
use super::mounts::Mounted;
use super::observe;

/// Where the writable drive is mounted.
const STORE: &str = "/run/ondine/store";

/// The order of `vmtest guest behave`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BehaveJob {
    /// The drive with the images.
    pub drive: String,
    /// A writable ext4 drive.
    pub store: String,
    /// Images of the specimens; the last one holds another image in its file `inner`.
    pub rows: Vec<Row>,
}

/// One check's result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checked {
    /// The behaviour.
    pub name: String,
    /// On which image, with which observer.
    pub on: String,
    /// Why it failed.
    pub failed: Option<String>,
    /// Seconds of guest time.
    pub seconds: f64,
}

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

    /// The contents of the file `sizes/SIZE`.
    fn sized(size: usize) -> (String, Vec<u8>) {
        (
            format!("sizes/{size}"),
            crate::images::extras::pattern(size as u64, size),
        )
    }
}

type Check = (&'static str, fn(&Site<'_>) -> Result<()>);

/// Does all checks on all images with all observers.
///
/// # Errors
/// When something other than a check fails.
pub(super) fn run(job: &BehaveJob) -> Result<Vec<Checked>> {
    let _drive = observe::attach(&job.drive)?;
    let _store = Mounted::with(
        "ext4",
        Path::new(&job.store),
        Path::new(STORE),
        "",
        rustix::mount::MountFlags::empty(),
    )?
    .map_err(|errno| anyhow::anyhow!("the writable drive does not mount: {errno}"))?;
    let lists: [&[Check]; 6] = [
        reading::CHECKS,
        names::CHECKS,
        attributes::CHECKS,
        numbers::CHECKS,
        writing::CHECKS,
        layers::CHECKS,
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
        for (name, check) in refusing::CHECKS {
            done.push(timed(name, &driver.to_string(), || check(job, driver)));
        }
        if driver.fs == edges::DRIVER {
            for (name, check) in edges::CHECKS {
                done.push(timed(name, edges::DRIVER, || check(job)));
            }
            for row in specimens.iter().filter(|row| row.devices.is_empty()) {
                let on = format!("{} {driver}", row.name);
                for (name, check) in memory::CHECKS {
                    done.push(timed(name, &on, || on_mount(row, driver, check)));
                }
            }
        }
    }
    Ok(done)
}

fn timed(name: &str, on: &str, check: impl FnOnce() -> Result<()>) -> Checked {
    let begin = Instant::now();
    let failed = check().err().map(|error| format!("{error:#}"));
    if let Some(why) = &failed {
        eprintln!("  FAILED {name}, {on}: {why}");
    }
    Checked {
        name: name.to_owned(),
        on: on.to_owned(),
        failed,
        seconds: begin.elapsed().as_secs_f64(),
    }
}

/// A fresh mount for the check, and an unmount that finds nothing left behind.
fn on_mount(row: &Row, observer: &Observer, check: &dyn Fn(&Site<'_>) -> Result<()>) -> Result<()> {
    let point = Path::new("/run/ondine/behave");
    let mounted = Mounted::image(row, observer, point)?
        .map_err(|errno| anyhow::anyhow!("mount gives {errno}"))?;
    let site = Site {
        row,
        observer,
        root: &mounted.point,
    };
    check(&site)?;
    let left = mounted.unmount();
    ensure!(
        left.is_ok(),
        "unmount gives {}",
        left.err().map_or_else(String::new, |e| e.to_string())
    );
    Ok(())
}

/// That a call gave exactly this errno.
fn gives<T>(what: &str, wanted: i32, result: std::io::Result<T>) -> Result<()> {
    match result {
        Ok(_) => anyhow::bail!("{what} succeeds, where errno {wanted} is due"),
        Err(error) => {
            ensure!(
                error.raw_os_error() == Some(wanted),
                "{what} gives {error}, not errno {wanted}"
            );
            Ok(())
        }
    }
}

/// The two byte strings are equal, or the first place where they are not.
fn same(what: &str, seen: &[u8], wanted: &[u8]) -> Result<()> {
    ensure!(
        seen.len() == wanted.len(),
        "{what}: {} bytes, {} are due",
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
