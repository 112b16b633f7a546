// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Load, mount, use, unmount and unload the module, repeatedly, with a check for leaks.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{ensure, Context, Result};
use rustix::mount::MountFlags;
use vmtest_wire::image::{Backing, Observer};
use vmtest_wire::load_unload::{LeakReport, LoadUnloadJob};

use super::leak_counters::{grown, Count, UNREST};
use super::mounts::Mounted;
use super::observe;

/// Number of rounds before the first count, in which slab caches of the kernel fill.
const WARM_UP: u32 = 20;

/// A growth by one object in this number of rounds, or more, is a leak.
const ROUNDS_PER_OBJECT: u32 = 8;

/// Runs the rounds of the job and counts objects.
///
/// # Errors
/// A step of a round fails: loading, mounting, reading, unmounting or unloading.
pub(super) fn run(job: &LoadUnloadJob) -> Result<LeakReport> {
    let _drive = observe::attach(&job.drive)?;
    let half = job.rounds.div_ceil(2);
    let mut round = 0;
    let mut files = 0;
    let mut turn = |rounds| -> Result<Count> {
        for _ in 0..rounds {
            files += self::round(job).with_context(|| format!("round {round}"))?;
            if round % 20 == 0 {
                eprintln!("  round {round}");
            }
            round += 1;
        }
        Count::now()
    };
    let counts = [turn(WARM_UP)?, turn(half)?, turn(half)?];
    let [before, between, after] = &counts;
    let room = u64::from(half / ROUNDS_PER_OBJECT).max(UNREST);
    let more = |then: &Count, now: &Count| -> Result<i64> {
        Ok(i64::try_from(then.free)? - i64::try_from(now.free)?)
    };
    Ok(LeakReport {
        rounds: 2 * half,
        files,
        grown: grown(&counts, room),
        bytes: [more(before, between)?, more(between, after)?],
    })
}

fn round(job: &LoadUnloadJob) -> Result<u64> {
    let module = File::open(&job.module)?;
    rustix::system::finit_module(&module, c"", 0).context("loading the module")?;
    let mut files = 0;
    let mut mounts = Vec::new();
    for (n, row) in job.rows.iter().enumerate() {
        for backing in [Backing::File, Backing::Loop] {
            let point = format!("/run/ondine/cycle/{n}-{backing:?}");
            let observer = Observer::new("ondine", backing);
            let mounted = Mounted::image(row, &observer, Path::new(&point))?
                .map_err(|errno| anyhow::anyhow!("{} {observer}: {errno}", row.name))?;
            files += read_tree(&mounted.point)?;
            mounts.push(mounted);
        }
    }
    files += above(&mounts[0])?;
    ensure!(
        unload().is_err(),
        "the module is unloaded although it is in use"
    );
    while let Some(mounted) = mounts.pop() {
        let point = mounted.point.clone();
        let left = mounted.unmount();
        ensure!(left.is_ok(), "unmounting {}: {left:?}", point.display());
    }
    // The last inode is freed after a grace period; the module's exit waits for that.
    unload().context("unloading the module")?;
    Ok(files)
}

fn unload() -> std::io::Result<()> {
    Ok(rustix::system::delete_module(c"ondine", libc::O_NONBLOCK)?)
}

/// Uses a bind mount and an overlay on top of `below`, and unmounts them.
fn above(below: &Mounted) -> Result<u64> {
    let bind = Mounted::needed(
        "none",
        &below.point,
        Path::new("/run/ondine/cycle/bind"),
        "",
        MountFlags::BIND,
    )?;
    let upper = Mounted::needed(
        "tmpfs",
        Path::new("tmpfs"),
        Path::new("/run/ondine/cycle/upper"),
        "",
        MountFlags::empty(),
    )?;
    for dir in ["upper", "work"] {
        fs::create_dir(upper.point.join(dir))?;
    }
    let options = format!(
        "lowerdir={},upperdir={up}/upper,workdir={up}/work",
        below.point.display(),
        up = upper.point.display()
    );
    let point = Path::new("/run/ondine/cycle/overlay");
    let merged = Mounted::needed(
        "overlay",
        Path::new("overlay"),
        point,
        &options,
        MountFlags::empty(),
    )?;
    let files = read_tree(&merged.point)?;
    fs::write(merged.point.join("written"), b"above")?;
    for mounted in [merged, upper, bind] {
        let left = mounted.unmount();
        ensure!(left.is_ok(), "unmounting a mount on top: {left:?}");
    }
    Ok(files)
}

/// Lists the tree below `dir` and reads its files. Returns the number of files.
fn read_tree(dir: &Path) -> Result<u64> {
    let mut files = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.path().symlink_metadata()?;
        if meta.is_dir() {
            // Only list the directory of 1500 files, to keep a round short.
            if entry.file_name() == "many" {
                files += fs::read_dir(entry.path())?.count() as u64;
            } else {
                files += read_tree(&entry.path())?;
            }
        } else if meta.is_file() && meta.len() < 1 << 20 {
            fs::read(entry.path())?;
            files += 1;
        }
    }
    Ok(files)
}
