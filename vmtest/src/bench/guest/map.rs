// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Reading a file by touching it: no safe interface exists, since somebody may cut the file short.

#![allow(unsafe_code)]

use std::fs::File;
use std::hint::black_box;
use std::path::Path;
use std::ptr::null_mut;

use anyhow::{ensure, Result};
use rustix::mm::{mmap, munmap, MapFlags, ProtFlags};

const PAGE: usize = 4096;

/// Maps the page at `offset` of `file`, which the file has, and reads one byte of it.
pub(crate) fn touch_page(file: &File, offset: u64) -> Result<()> {
    let end = offset + PAGE as u64;
    ensure!(file.metadata()?.len() >= end, "the file is too short");
    // SAFETY: the kernel chooses an address that nothing else uses.
    let at = unsafe {
        mmap(
            null_mut(),
            PAGE,
            ProtFlags::READ,
            MapFlags::SHARED,
            file,
            offset,
        )?
    };
    // SAFETY: the first byte of the mapping, which is readable; the file has it (checked above).
    black_box(unsafe { at.cast::<u8>().read_volatile() });
    // SAFETY: mapped above with this length, and no reference into it was made.
    unsafe { munmap(at, PAGE)? };
    Ok(())
}

/// [`touch_all`] of the file at `path`.
pub(crate) fn touch(path: &Path, length: usize) -> Result<()> {
    touch_all(&File::open(path)?, length)
}

/// Maps the first `length` bytes of `file`, or nothing if that is 0, and reads one byte of every page in order.
pub(crate) fn touch_all(file: &File, length: usize) -> Result<()> {
    if length == 0 {
        return Ok(());
    }
    ensure!(
        file.metadata()?.len() >= length as u64,
        "the file is too short"
    );
    // SAFETY: the kernel chooses an address that nothing else uses.
    let at = unsafe {
        mmap(
            null_mut(),
            length,
            ProtFlags::READ,
            MapFlags::SHARED,
            file,
            0,
        )?
    };
    for offset in (0..length).step_by(PAGE) {
        // SAFETY: inside of the mapping, which is readable, and the file is long enough (checked
        // above); it is on a read-only mount or in the store, which only this process has in use.
        black_box(unsafe { at.cast::<u8>().add(offset).read_volatile() });
    }
    // SAFETY: mapped above with this length, and no reference into it was made.
    unsafe { munmap(at, length)? };
    Ok(())
}
