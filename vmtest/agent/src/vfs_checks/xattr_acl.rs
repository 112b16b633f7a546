// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Checks of extended attributes, ACLs and mode bits.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Result};
use rustix::fs::{lgetxattr, llistxattr};
use vmtest_wire::fixtures::pattern;

use super::{gives, same, Check, Site};
use crate::sys;

pub(super) const CHECKS: &[Check] = &[
    ("getxattr tells the size, and refuses a small buffer", sizes),
    ("absent and foreign attributes", absent),
    (
        "listxattr tells the size, and refuses a small buffer",
        listing,
    ),
    ("trusted attributes are root's alone", trusted),
    ("an ACL lets one user in and no other", acl),
    ("mode bits hold for ordinary users", modes),
];

fn get(path: &Path, name: &str, room: usize) -> io::Result<Vec<u8>> {
    let mut value = vec![0; room];
    let used = lgetxattr(path, name, value.as_mut_slice())?;
    value.truncate(used);
    Ok(value)
}

fn list(path: &Path, room: usize) -> io::Result<Vec<u8>> {
    let mut names = vec![0; room];
    let used = llistxattr(path, names.as_mut_slice())?;
    names.truncate(used);
    Ok(names)
}

fn sizes(site: &Site<'_>) -> Result<()> {
    let large = pattern(11, 3000);
    for (file, name, wanted) in [
        ("user", "user.comment", b"a word".as_slice()),
        ("user", "user.empty", b""),
        ("large", "user.large", &large),
        ("shared-3", "user.same", b"the value that eight files share"),
        ("overlay-2", "trusted.overlay.redirect", b"/elsewhere/2"),
    ] {
        let path = site.path("attributes").join(file);
        ensure!(
            sys::xattr_size(&path, Some(name))? == wanted.len(),
            "{name}: wrong size from a call with an empty buffer"
        );
        same(name, &get(&path, name, wanted.len().max(1))?, wanted)?;
        same(name, &get(&path, name, 5000)?, wanted)?;
        if wanted.len() > 1 {
            gives(name, libc::ERANGE, get(&path, name, wanted.len() - 1))?;
        }
    }
    Ok(())
}

fn absent(site: &Site<'_>) -> Result<()> {
    let path = site.path("attributes/user");
    for name in [
        "user.absent",
        "user.commen",
        "user.comment2",
        "trusted.x",
        "security.capability",
    ] {
        gives(name, libc::ENODATA, get(&path, name, 100))?;
    }
    gives(
        "an unknown class",
        libc::EOPNOTSUPP,
        get(&path, "nobody.knows", 100),
    )?;
    gives(
        "user. on a link",
        libc::ENODATA,
        get(&site.path("names/link-root"), "user.x", 9),
    )
}

fn listing(site: &Site<'_>) -> Result<()> {
    let path = site.path("attributes/crowd");
    let names = list(&path, 65536)?;
    let found = names
        .split(|b| *b == 0)
        .filter(|n| n.starts_with(b"user.number."))
        .count();
    ensure!(found == 30, "{found} attributes listed instead of 30");
    ensure!(
        sys::xattr_size(&path, None)? == names.len(),
        "wrong size from a call with an empty buffer"
    );
    ensure!(
        list(&path, names.len())? == names,
        "wrong list with a buffer of exactly its size"
    );
    gives(
        "a buffer too small",
        libc::ERANGE,
        list(&path, names.len() - 1),
    )
}

/// Runs `work` as an ordinary user, in a separate thread.
fn as_user<T: Send>(uid: u32, work: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || -> io::Result<T> {
            sys::become_user(uid, uid)?;
            Ok(work())
        });
        let done = thread
            .join()
            .map_err(|_| anyhow::anyhow!("the user's thread panicked"))?;
        Ok(done?)
    })
}

fn trusted(site: &Site<'_>) -> Result<()> {
    let path = site.path("attributes/overlay-1");
    ensure!(
        contains(&list(&path, 65536)?, b"trusted.overlay.redirect"),
        "root does not see the trusted attribute"
    );
    let (names, value) = as_user(1000, || {
        (
            list(&path, 65536),
            get(&path, "trusted.overlay.redirect", 100),
        )
    })?;
    ensure!(
        !contains(&names?, b"trusted."),
        "user 1000 sees trusted attributes"
    );
    gives("reading it as user 1000", libc::ENODATA, value)
}

fn contains(list: &[u8], name: &[u8]) -> bool {
    list.split(|b| *b == 0).any(|n| n.starts_with(name))
}

fn read_as(uid: u32, path: PathBuf) -> Result<io::Result<Vec<u8>>> {
    as_user(uid, move || {
        let mut text = Vec::new();
        io::Read::read_to_end(&mut File::open(path)?, &mut text)?;
        Ok(text)
    })
}

fn acl(site: &Site<'_>) -> Result<()> {
    let path = site.path("attributes/acl");
    same(
        "read by user 1000",
        &read_as(1000, path.clone())??,
        b"for user 1000 only",
    )?;
    gives("user 1001", libc::EACCES, read_as(1001, path.clone())?)?;
    // Again, now with the ACL cached in the inode.
    gives(
        "user 1001 again",
        libc::EACCES,
        read_as(1001, path.clone())?,
    )?;
    ensure!(
        get(&path, "system.posix_acl_access", 200)?.len() == 44,
        "the access ACL does not have 44 bytes"
    );
    let dir = site.path("attributes/acl-directory");
    ensure!(
        get(&dir, "system.posix_acl_default", 200)?.len() == 44,
        "the default ACL does not have 44 bytes"
    );
    gives(
        "the access ACL of a directory that has none",
        libc::ENODATA,
        get(&dir, "system.posix_acl_access", 200),
    )
}

fn modes(site: &Site<'_>) -> Result<()> {
    let none = site.path("nodes/none");
    gives(
        "a file of mode 0",
        libc::EACCES,
        read_as(1000, none.clone())?,
    )?;
    same("read by root", &std::fs::read(none)?, b"none")?;
    same(
        "a file for all",
        &read_as(1000, site.path("nodes/setuid"))??,
        b"setuid",
    )
}
