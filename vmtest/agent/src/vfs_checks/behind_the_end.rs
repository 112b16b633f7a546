// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Checks of what is behind the end of a file in its last block, on ondine alone: mkfs.erofs leaves
//! zeros there, which would hide that they are shown.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use anyhow::{ensure, Result};
use rustix::fs::{memfd_create, MemfdFlags};
use vmtest_wire::fixtures::pattern;
use vmtest_wire::vfs_checks::VfsCheckJob;

use super::handmade::{mount, Handmade};
use super::{same, STORE};
use crate::mounts::drop_caches;
use crate::sys::Map;

type Check = (&'static str, fn(&VfsCheckJob) -> Result<()>);

pub(super) const CHECKS: &[Check] = &[(
    "a mapping shows zeros behind the end, whatever the image has there",
    mapping,
)];

const PAGE: usize = 4096;
/// A part of a page, a page and a part, and more than a direct read needs.
const SIZES: &[usize] = &[100, 4097, 70_001];

fn mapping(_: &VfsCheckJob) -> Result<()> {
    for size in SIZES {
        let mut image = Handmade::one_file("file", *size as u64);
        let mut wanted = pattern(*size as u64, size.next_multiple_of(PAGE));
        image.0.extend(&wanted);
        wanted[*size..].fill(0);
        let path = format!("{STORE}/behind-the-end");
        fs::write(&path, &image.0)?;
        for options in ["", "directio"] {
            let mounted = mount(&path, options)?;
            drop_caches()?;
            let file = File::open(mounted.point.join("file"))?;
            let map = Map::private(&file, wanted.len())?;
            let copy = File::from(memfd_create("copy", MemfdFlags::CLOEXEC)?);
            let mut seen = vec![0; map.copy_through(&copy, 0, wanted.len())?];
            copy.read_exact_at(&mut seen, 0)?;
            same(
                &format!("a file of {size} bytes, {options:?}"),
                &seen,
                &wanted,
            )?;
            drop((map, file));
            ensure!(mounted.unmount().is_ok(), "the image does not unmount");
        }
    }
    Ok(())
}
