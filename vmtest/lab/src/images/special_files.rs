// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Special files that a Debian tree lacks: odd sizes and names, device nodes, extended attributes,
//! ACLs, time stamps. They are in `/ondine` of the tree.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{symlink, FileExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{
    chownat, lsetxattr, makedev, mknodat, utimensat, AtFlags, FileType, Gid, Mode, Timespec,
    Timestamps, Uid, XattrFlags, CWD,
};
use vmtest_wire::fixtures::pattern;

/// A part of the tree's cache key. Change it together with the files below.
pub(super) const VERSION: &[u8] = b"extras 2";

/// Adds the special files to the tree at `root`.
///
/// # Errors
/// When a file cannot be created: not root, or no extended attributes in the file system.
pub(super) fn add(root: &Path) -> Result<()> {
    let home = root.join("ondine");
    fs::create_dir(&home)?;
    contents(&home).context("files of odd sizes")?;
    names(&home).context("odd names")?;
    nodes(&home).context("special files")?;
    attributes(&home).context("extended attributes")?;
    times(&home).context("time stamps")
}

fn contents(home: &Path) -> Result<()> {
    let sizes = home.join("sizes");
    fs::create_dir(&sizes)?;
    for near in [512, 1024, 4096, 65536, 1 << 20] {
        for size in [near - 1, near, near + 1] {
            fs::write(sizes.join(size.to_string()), pattern(size as u64, size))?;
        }
    }
    fs::write(home.join("empty"), b"")?;
    fs::create_dir(home.join("empty-directory"))?;
    let sparse = File::create(home.join("sparse"))?;
    sparse.set_len(9 << 20)?;
    sparse.write_all_at(&pattern(7, 5000), (3 << 20) + 100)?;
    sparse.write_all_at(&pattern(8, 70_000), 6 << 20)?;
    File::create(home.join("all-hole"))?.set_len((2 << 20) + 5)?;
    // Equal chunks, which mkfs.erofs may store once.
    let mut repeated = File::create(home.join("repeated"))?;
    for _ in 0..40 {
        repeated.write_all(&pattern(9, 65536))?;
    }
    Ok(())
}

fn names(home: &Path) -> Result<()> {
    let names = home.join("names");
    fs::create_dir(&names)?;
    fs::write(names.join("n".repeat(255)), b"a name of 255 bytes")?;
    fs::write(
        names.join("\u{e9}t\u{e9} \u{1f30a} \\ \" 'tab\there'"),
        b"odd letters",
    )?;
    fs::write(names.join("line\nbreak"), b"a line break")?;
    symlink("t".repeat(255), names.join("link-255"))?;
    symlink("../".repeat(1300) + "x", names.join("link-3901"))?;
    symlink("/", names.join("link-root"))?;
    symlink("nowhere", names.join("link-dangling"))?;
    fs::write(names.join("linked"), b"three names")?;
    fs::hard_link(names.join("linked"), names.join("linked-too"))?;
    fs::hard_link(names.join("linked"), home.join("linked-elsewhere"))?;
    let many = home.join("many");
    fs::create_dir(&many)?;
    for n in 0..1500 {
        fs::write(
            many.join(format!("entry-{n:04}-{}", "x".repeat(n % 60))),
            n.to_string(),
        )?;
    }
    let mut deep = home.join("deep");
    for n in 0..40 {
        deep = deep.join(format!("level-{n}"));
    }
    fs::create_dir_all(&deep)?;
    Ok(fs::write(deep.join("bottom"), b"forty levels down")?)
}

fn nodes(home: &Path) -> Result<()> {
    let nodes = home.join("nodes");
    fs::create_dir(&nodes)?;
    let mode = Mode::from_raw_mode(0o640);
    for (name, kind, device) in [
        ("fifo", FileType::Fifo, 0),
        ("socket", FileType::Socket, 0),
        ("null", FileType::CharacterDevice, makedev(1, 3)),
        ("minor", FileType::CharacterDevice, makedev(4095, 0xf_ffff)),
        ("block", FileType::BlockDevice, makedev(259, 300)),
    ] {
        mknodat(CWD, nodes.join(name), kind, mode, device)?;
    }
    for (name, bits) in [
        ("setuid", 0o4755),
        ("setgid", 0o2711),
        ("none", 0),
        ("sticky", 0o1777),
    ] {
        fs::write(nodes.join(name), name)?;
        fs::set_permissions(nodes.join(name), fs::Permissions::from_mode(bits))?;
    }
    for (name, uid, gid) in [
        ("owned-16", 65535, 65535),
        ("owned-32", 70_000, 4_000_000_000),
    ] {
        let path = nodes.join(name);
        fs::write(&path, name)?;
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        chownat(CWD, &path, Some(uid), Some(gid), AtFlags::empty())?;
    }
    Ok(())
}

fn attributes(home: &Path) -> Result<()> {
    let dir = home.join("attributes");
    fs::create_dir(&dir)?;
    let set = |name: &str, key: &str, value: &[u8]| -> Result<()> {
        let path = dir.join(name);
        if !path.exists() {
            fs::write(&path, name)?;
        }
        lsetxattr(&path, key, value, XattrFlags::empty())
            .with_context(|| format!("{key} on {}", path.display()))
    };
    set("user", "user.comment", b"a word")?;
    set("user", "user.empty", b"")?;
    set("user", "user.mime_type", b"text/plain")?;
    set("large", "user.large", &pattern(11, 3000))?;
    for n in 0..30 {
        set(
            "crowd",
            &format!("user.number.{n}"),
            n.to_string().as_bytes(),
        )?;
    }
    // Equal attributes of several files, which mkfs.erofs shares.
    for n in 0..8 {
        set(
            &format!("shared-{n}"),
            "user.same",
            b"the value that eight files share",
        )?;
        set(&format!("shared-{n}"), "security.ondine", b"also shared")?;
    }
    for n in 0..4 {
        let name = format!("overlay-{n}");
        set(&name, "trusted.overlay.origin", b"not a real handle")?;
        set(
            &name,
            "trusted.overlay.redirect",
            format!("/elsewhere/{n}").as_bytes(),
        )?;
    }
    set("capable", "security.capability", &capability())?;
    acls(&dir)
}

/// The xattr value of cap_net_bind_service, permitted and effective (VFS_CAP_REVISION_2).
fn capability() -> Vec<u8> {
    let words: [u32; 5] = [0x0200_0001, 1 << 10, 0, 0, 0];
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

/// Adds a file that user 1000 can read only by an ACL entry, and a directory with a default ACL.
fn acls(dir: &Path) -> Result<()> {
    // Tags: owner 1, user 2, owning group 4, mask 0x10, others 0x20.
    let acl = |named: u32| -> Vec<u8> {
        let none = u32::MAX;
        let entries: [(u16, u16, u32); 5] = [
            (1, 6, none),
            (2, 4, named),
            (4, 0, none),
            (0x10, 4, none),
            (0x20, 0, none),
        ];
        let mut out = 2u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            out.extend(tag.to_le_bytes());
            out.extend(permissions.to_le_bytes());
            out.extend(id.to_le_bytes());
        }
        out
    };
    let file = dir.join("acl");
    fs::write(&file, b"for user 1000 only")?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    lsetxattr(
        &file,
        "system.posix_acl_access",
        &acl(1000),
        XattrFlags::empty(),
    )
    .context("system.posix_acl_access")?;
    let sub = dir.join("acl-directory");
    fs::create_dir(&sub)?;
    lsetxattr(
        &sub,
        "system.posix_acl_default",
        &acl(1001),
        XattrFlags::empty(),
    )
    .context("system.posix_acl_default")
}

/// Sets the same time stamp on all special files, then times before 1970 and after 2038 on two.
fn times(home: &Path) -> Result<()> {
    settle(home)?;
    for (name, sec, nsec) in [
        ("empty", -1_000_000, 1),
        ("sparse", 5_000_000_000, 999_999_999),
    ] {
        stamp(&home.join(name), sec, nsec)?;
    }
    Ok(())
}

fn settle(path: &Path) -> Result<()> {
    if path.symlink_metadata()?.is_dir() {
        for entry in fs::read_dir(path)? {
            settle(&entry?.path())?;
        }
    }
    stamp(path, 1_700_000_000, 123_456_789)
}

fn stamp(path: &Path, tv_sec: i64, tv_nsec: i64) -> Result<()> {
    let at = Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: at,
        last_modification: at,
    };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
