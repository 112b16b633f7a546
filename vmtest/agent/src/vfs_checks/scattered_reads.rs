// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Checks of direct reads into several pieces of memory, on ondine alone.

use std::fs::{self, OpenOptions};
use std::io::IoSliceMut;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{ensure, Context, Result};
use rustix::io::preadv;
use vmtest_wire::disk::{DiskFs, Journal};
use vmtest_wire::fixtures::pattern;
use vmtest_wire::vfs_checks::VfsCheckJob;

use super::handmade::{mount, Handmade};
use super::same;
use crate::mounts::{drop_caches, Mounted};

type Check = (&'static str, fn(&VfsCheckJob) -> Result<()>);

pub(super) const CHECKS: &[Check] = &[(
    "a direct read into misaligned pieces of memory is right",
    misaligned,
)];

/// A disk that splits no request, so that the block layer checks the first piece of it alone: from
/// misaligned memory on, brd goes on at a wrong sector.
const DISK: &str = "/dev/ram0";
/// Mount point of its file system.
const STORE: &str = "/run/ondine/ram";

const PAGE: usize = 4096;
const LEN: usize = 16 * PAGE;

/// Reads a file of an image on [`DISK`] into two pieces of memory, the second of which is
/// misaligned. A direct read can have the first piece if that is a whole page, else nothing.
fn misaligned(_: &VfsCheckJob) -> Result<()> {
    let (device, point) = (Path::new(DISK), Path::new(STORE));
    let store = Mounted::new_disk(DiskFs::Ext4, Journal::Without, device, point)
        .with_context(|| format!("{DISK} (CONFIG_BLK_DEV_RAM)"))?;
    let mut image = Handmade::one_file("file", LEN as u64);
    let wanted = pattern(1, LEN);
    image.0.extend(&wanted);
    let path = format!("{STORE}/image");
    fs::write(&path, &image.0)?;
    let mounted = mount(&path, "")?;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_DIRECT);
    let file = options.open(mounted.point.join("file"))?;
    for first in [512, PAGE, PAGE + 512] {
        for shift in [0, 1, 4] {
            let what = format!("{first} bytes, then {} shifted by {shift}", LEN - first);
            drop_caches()?;
            let mut memory = vec![0; LEN + 4 * PAGE];
            let skip = memory.as_ptr().align_offset(PAGE);
            let (head, tail) = memory[skip..].split_at_mut(2 * PAGE);
            let (head, tail) = (&mut head[..first], &mut tail[shift..][..LEN - first]);
            let mut pieces = [IoSliceMut::new(head), IoSliceMut::new(tail)];
            let count = preadv(&file, &mut pieces, 0).with_context(|| what.clone())?;
            ensure!(count == LEN, "{what}: {count} bytes");
            same(&what, &[head, tail].concat(), &wanted)?;
        }
    }
    drop(file);
    ensure!(mounted.unmount().is_ok(), "the image does not unmount");
    ensure!(store.unmount().is_ok(), "the image's file is still in use");
    Ok(())
}
