// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Checks of directories of billions of blocks, in images of a few megabytes, on ondine alone. The
//! mainline driver takes some of their sizes for bogus.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use rustix::mount::MountFlags;
use rustix::process::Signal;
use vmtest_wire::vfs_checks::VfsCheckJob;

use super::handmade::{mount, Handmade, Inode};
use super::{gives, STORE};
use crate::mounts::Mounted;
use crate::process::Process;

type Check = (&'static str, fn(&VfsCheckJob) -> Result<()>);

pub(super) const CHECKS: &[Check] = &[
    ("a directory of more than 2^31 blocks is EUCLEAN", largest),
    (
        "a listing without an end can be killed",
        endless_listing_is_killed,
    ),
];

const BLOCK: usize = 4096;
/// log2 of the blocks in a chunk of the directory.
const CHUNK_BITS: u32 = 8;
const CHUNK: usize = BLOCK << CHUNK_BITS;
/// Offset of the directory's inode.
const BIG: usize = 2560;
/// Offset of its chunk map.
const MAP: usize = BIG + 64;

/// Processor time that shows that a listing is in the kernel's loop: a usual one takes far less.
const BUSY: Duration = Duration::from_secs(3);
/// Time limit for a listing to become busy, under emulation.
const UNTIL_BUSY: Duration = Duration::from_secs(120);
/// Time limit for the end of a killed process, under emulation.
const UNTIL_GONE: Duration = Duration::from_secs(20);

/// Writes an image whose directory `big` has `size` bytes: the same chunk of valid blocks again and
/// again, as far as `chunks` go. Returns its path.
fn image(size: u64, chunks: usize) -> Result<String> {
    let mut image = Handmade::new(12, &[("big", Handmade::nid(BIG))]);
    let first = (MAP + 4 * chunks).div_ceil(BLOCK);
    image.0.resize(first * BLOCK + CHUNK, 0);
    image.inode(
        BIG,
        &Inode {
            layout: Handmade::CHUNKED,
            mode: 0o040_755,
            size,
            start: CHUNK_BITS.into(),
        },
    );
    for chunk in 0..chunks {
        image.put(MAP + 4 * chunk, &(first as u32).to_le_bytes());
    }
    let block = block(&[
        (".", BIG, 2),
        ("..", Handmade::ROOT, 2),
        ("f", Handmade::ROOT, 1),
    ]);
    for at in (first * BLOCK..image.0.len()).step_by(BLOCK) {
        image.put(at, &block);
    }
    let path = format!("{STORE}/huge-directory");
    fs::write(&path, &image.0)?;
    Ok(path)
}

/// A directory block of these names, the offsets of their inodes, and their types.
fn block(entries: &[(&str, usize, u8)]) -> Vec<u8> {
    let mut heads = Vec::new();
    let mut names: Vec<u8> = Vec::new();
    for (name, inode, kind) in entries {
        let at = (entries.len() * 12 + names.len()) as u16;
        heads.extend(Handmade::nid(*inode).to_le_bytes());
        heads.extend(at.to_le_bytes());
        heads.extend([*kind, 0]);
        names.extend(name.as_bytes());
    }
    heads.extend(names);
    heads
}

/// Looks at the largest directory, and at one that has a byte more.
fn largest(_: &VfsCheckJob) -> Result<()> {
    const LARGEST: u64 = (BLOCK as u64) << 31;
    for (size, is_sound) in [(LARGEST, true), (LARGEST + 1, false)] {
        let mounted = mount(&image(size, 1)?, "")?;
        let told = fs::metadata(mounted.point.join("big"));
        let listed = fs::read_dir(mounted.point.join("big"));
        if is_sound {
            let seen = told.context("the largest directory")?.len();
            ensure!(seen == size, "its size is {seen:#x}");
            listed.context("opening the largest directory")?;
        } else {
            gives("stat", libc::EUCLEAN, told)?;
            gives("opening it", libc::EUCLEAN, listed)?;
        }
        ensure!(mounted.unmount().is_ok(), "the image does not unmount");
    }
    Ok(())
}

/// Lists a directory of 2^28 blocks of one name through overlayfs, which reads all of a merged
/// directory before it returns, and drops equal names, so that neither a full buffer nor memory ends
/// the loop. The listing is killed once it is busy.
fn endless_listing_is_killed(_: &VfsCheckJob) -> Result<()> {
    const SIZE: u64 = 1 << 40;
    let path = image(SIZE - BLOCK as u64, (SIZE / CHUNK as u64) as usize)?;
    let lower = mount(&path, "")?;
    let base = Path::new(STORE).join("endless");
    fs::create_dir_all(base.join("upper/big"))?;
    fs::create_dir_all(base.join("work"))?;
    let options = format!(
        "lowerdir={},upperdir={base}/upper,workdir={base}/work",
        lower.point.display(),
        base = base.display()
    );
    let merged = Mounted::needed(
        "overlay",
        Path::new("overlay"),
        Path::new("/run/ondine/endless"),
        &options,
        MountFlags::empty(),
    )?;
    let mut listing = Process::start(
        Command::new("ls")
            .arg(merged.point.join("big"))
            .stdout(Stdio::null()),
    )?;
    let begin = Instant::now();
    while processor_time(listing.id())? < BUSY {
        if let Some(status) = listing.status()? {
            bail!("the listing ended by itself: {status}");
        }
        ensure!(begin.elapsed() < UNTIL_BUSY, "the listing is not busy");
        std::thread::sleep(Duration::from_millis(20));
    }
    listing.signal(Signal::KILL)?;
    let killed = Instant::now();
    while listing.status()?.is_none() {
        if killed.elapsed() > UNTIL_GONE {
            // Its drop would wait for it.
            std::mem::forget(listing);
            bail!("the listing is still there {UNTIL_GONE:?} after SIGKILL");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    ensure!(merged.unmount().is_ok(), "overlayfs does not unmount");
    ensure!(lower.unmount().is_ok(), "the image does not unmount");
    Ok(())
}

/// Time that a process has spent in the kernel.
fn processor_time(pid: u32) -> Result<Duration> {
    /// Ticks a second of `/proc`, on every architecture that the guest has.
    const TICKS: u64 = 100;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Fields behind the command's name: the state is the first, stime the 13th.
    let (_, fields) = stat.rsplit_once(')').context("no name in /proc/PID/stat")?;
    let ticks = fields.split_whitespace().nth(12).context("no stime")?;
    Ok(Duration::from_millis(ticks.parse::<u64>()? * 1000 / TICKS))
}
