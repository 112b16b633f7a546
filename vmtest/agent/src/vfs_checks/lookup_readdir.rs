// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Checks of directory listings, lookups, symbolic links and execve.

use std::collections::BTreeSet;
use std::fs::File;
use std::mem::MaybeUninit;

use anyhow::{ensure, Result};
use rustix::fs::{openat, readlinkat, seek, Mode, OFlags, RawDir, SeekFrom, CWD};

use super::{gives, Check, Site};

pub(super) const CHECKS: &[Check] = &[
    ("a directory read in tiny pieces is whole", tiny_pieces),
    ("seekdir resumes at every telldir", resume),
    ("a buffer that holds no entry is EINVAL", no_room),
    ("absent, long and too long names", lookups),
    ("O_PATH and O_NOFOLLOW on links", links),
    ("a program runs from it", program),
];

/// Number of entries of the directory `many`, without `.` and `..`.
const MANY: usize = 1500;

/// Lists `dir` with a buffer of `room` bytes: each name, and the position after it.
fn list(dir: &File, room: usize) -> Result<Vec<(Vec<u8>, u64)>> {
    let mut buffer = vec![MaybeUninit::uninit(); room];
    let mut raw = RawDir::new(dir, &mut buffer);
    let mut out = Vec::new();
    while let Some(entry) = raw.next() {
        let entry = entry.map_err(std::io::Error::from)?;
        out.push((
            entry.file_name().to_bytes().to_vec(),
            entry.next_entry_cookie(),
        ));
    }
    Ok(out)
}

fn tiny_pieces(site: &Site<'_>) -> Result<()> {
    let whole = list(&site.open("many")?, 65536)?;
    let names: BTreeSet<_> = whole.iter().map(|(name, _)| name.clone()).collect();
    ensure!(
        whole.len() == MANY + 2,
        "{} entries instead of {}",
        whole.len(),
        MANY + 2
    );
    ensure!(names.len() == whole.len(), "a name is listed twice");
    for room in [120, 300, 1000, 4096] {
        let pieces = list(&site.open("many")?, room)?;
        ensure!(
            pieces == whole,
            "{} entries with a buffer of {room} bytes",
            pieces.len()
        );
    }
    Ok(())
}

fn resume(site: &Site<'_>) -> Result<()> {
    let whole = list(&site.open("many")?, 65536)?;
    let dir = site.open("many")?;
    for at in (0..whole.len()).rev().step_by(97) {
        seek(&dir, SeekFrom::Start(whole[at].1)).map_err(std::io::Error::from)?;
        let rest = list(&dir, 500)?;
        ensure!(
            rest == whole[at + 1..],
            "resumed after entry {at}: {} entries",
            rest.len()
        );
    }
    seek(&dir, SeekFrom::Start(0)).map_err(std::io::Error::from)?;
    ensure!(list(&dir, 4096)? == whole, "rewound");
    Ok(())
}

fn no_room(site: &Site<'_>) -> Result<()> {
    let dir = site.open("names")?;
    let mut buffer = vec![MaybeUninit::uninit(); 20];
    let mut raw = RawDir::new(&dir, &mut buffer);
    match raw.next() {
        Some(Err(error)) => gives::<()>("getdents", libc::EINVAL, Err(error.into())),
        _ => anyhow::bail!("getdents succeeds with a buffer of 20 bytes"),
    }
}

fn lookups(site: &Site<'_>) -> Result<()> {
    for name in [
        "absent",
        "many/entry-",
        "many/entry-9999",
        "many/zzz",
        "many/0",
        "empty-directory/x",
    ] {
        gives(
            name,
            libc::ENOENT,
            std::fs::symlink_metadata(site.path(name)),
        )?;
    }
    let long = |n: usize| site.path(&format!("names/{}", "n".repeat(n)));
    ensure!(long(255).exists(), "the name of 255 bytes is not found");
    gives("a name of 254 bytes", libc::ENOENT, long(254).metadata())?;
    gives(
        "a name of 256 bytes",
        libc::ENAMETOOLONG,
        long(256).metadata(),
    )?;
    gives(
        "a file as a directory",
        libc::ENOTDIR,
        site.path("empty/x").metadata(),
    )?;
    for n in [0, 1, 255, 256, 700, 1499] {
        let name = format!("many/entry-{n:04}-{}", "x".repeat(n % 60));
        let read = std::fs::read_to_string(site.path(&name))?;
        ensure!(read == n.to_string(), "{name} holds {read:?}");
    }
    Ok(())
}

fn links(site: &Site<'_>) -> Result<()> {
    let path = site.path("names/link-255");
    let open = |flags| openat(CWD, &path, flags, Mode::empty()).map_err(std::io::Error::from);
    gives(
        "O_NOFOLLOW",
        libc::ELOOP,
        open(OFlags::RDONLY | OFlags::NOFOLLOW),
    )?;
    gives("following", libc::ENOENT, open(OFlags::RDONLY))?;
    let link = open(OFlags::PATH | OFlags::NOFOLLOW)?;
    let target = readlinkat(&link, c"", Vec::new()).map_err(std::io::Error::from)?;
    ensure!(
        target.to_bytes() == "t".repeat(255).as_bytes(),
        "the target read by descriptor"
    );
    let long = std::fs::read_link(site.path("names/link-3901"))?;
    ensure!(
        long.as_os_str().len() == 3901,
        "a target of {} bytes",
        long.as_os_str().len()
    );
    Ok(())
}

/// Executes a file: execve() reads its beginning through the mount.
fn program(site: &Site<'_>) -> Result<()> {
    let done = std::process::Command::new(site.path("nodes/setuid")).output();
    // The file contains the word "setuid", which is no program: ENOEXEC shows that execve() has
    // read it.
    gives("executing a file of text", libc::ENOEXEC, done)
}
