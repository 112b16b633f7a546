// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Checks of mounts that must fail, and of images that are truncated while mounted.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure, Context, Result};
use ondine_model::observation::{Content, Digester, Errno};
use rustix::mount::{mount_remount, MountFlags};
use vmtest_wire::image::Backing;
use vmtest_wire::vfs_checks::VfsCheckJob;

use super::{gives, statfs_fiemap_handles, Observer, Row, STORE};
use crate::mounts::{drop_caches, LoopDevice, Mounted};
use crate::sys;

type Check = (&'static str, fn(&VfsCheckJob, &Observer) -> Result<()>);

pub(super) const CHECKS: &[Check] = &[
    ("too many or too few devices are EINVAL", device_count),
    ("a file and a block device together are EINVAL", mixed),
    ("a source or device that is not there is ENOENT", not_there),
    ("a source that is no image is EINVAL", no_image),
    (
        "a source that is neither file nor device is refused",
        odd_source,
    ),
    ("an unknown option or value is EINVAL", unknown_option),
    (
        "a remount with the options of the mount succeeds",
        remount_own,
    ),
    ("an image cut short gives EIO and does not hang", cut_short),
    (
        "a blob cut short gives EIO and does not hang",
        blob_cut_short,
    ),
    (
        "an image on a file-backed mount or on overlayfs is ENOTBLK",
        stacked,
    ),
    (
        "an image inside a mount works by loop device",
        stacked_by_loop,
    ),
];

const POINT: &str = "/run/ondine/refused";
const PAGE: u64 = 4096;

fn mount(driver: &Observer, source: &str, options: &str) -> Result<Result<Mounted, Errno>> {
    Mounted::plain(&driver.fs, Path::new(source), Path::new(POINT), options)
}

fn refused(what: &str, wanted: Errno, result: Result<Mounted, Errno>) -> Result<()> {
    match result {
        Ok(_) => bail!("{what}: the mount succeeds instead of failing with {wanted}"),
        Err(errno) => {
            ensure!(
                errno == wanted,
                "{what}: the mount fails with {errno}, not {wanted}"
            );
            Ok(())
        }
    }
}

/// Returns the first image of the job that has a blob.
pub(super) fn with_blob(job: &VfsCheckJob) -> Result<&Row> {
    job.rows
        .iter()
        .find(|row| !row.devices.is_empty())
        .context("no image with a blob")
}

pub(super) fn plain(job: &VfsCheckJob) -> Result<&Row> {
    job.rows
        .iter()
        .find(|row| row.devices.is_empty())
        .context("no image without a blob")
}

fn device_count(job: &VfsCheckJob, driver: &Observer) -> Result<()> {
    let row = with_blob(job)?;
    let device = format!("device={}", row.devices[0]);
    let two = format!("{device},{device}");
    refused(
        "two for one slot",
        Errno::EINVAL,
        mount(driver, &row.primary, &two)?,
    )?;
    refused(
        "one for no slot",
        Errno::EINVAL,
        mount(driver, &plain(job)?.primary, &device)?,
    )
}

fn mixed(job: &VfsCheckJob, driver: &Observer) -> Result<()> {
    let row = with_blob(job)?;
    let blob = LoopDevice::on(Path::new(&row.devices[0]))?;
    let options = format!("device={}", blob.path);
    refused(
        "file, then device",
        Errno::EINVAL,
        mount(driver, &row.primary, &options)?,
    )?;
    let primary = LoopDevice::on(Path::new(&row.primary))?;
    let options = format!("device={}", row.devices[0]);
    refused(
        "device, then file",
        Errno::EINVAL,
        mount(driver, &primary.path, &options)?,
    )
}

fn not_there(job: &VfsCheckJob, driver: &Observer) -> Result<()> {
    refused(
        "the source",
        Errno::ENOENT,
        mount(driver, "/run/ondine/absent", "")?,
    )?;
    let options = "device=/run/ondine/absent";
    refused(
        "a device",
        Errno::ENOENT,
        mount(driver, &with_blob(job)?.primary, options)?,
    )
}

fn no_image(_: &VfsCheckJob, driver: &Observer) -> Result<()> {
    let zeros = format!("{STORE}/zeros");
    File::create(&zeros)?.set_len(1 << 20)?;
    refused("a file of zeros", Errno::EINVAL, mount(driver, &zeros, "")?)?;
    let device = LoopDevice::on(Path::new(&zeros))?;
    refused(
        "a device of zeros",
        Errno::EINVAL,
        mount(driver, &device.path, "")?,
    )
}

fn odd_source(_: &VfsCheckJob, driver: &Observer) -> Result<()> {
    let empty = format!("{STORE}/nothing");
    File::create(&empty)?;
    // The mainline driver takes regular files and block devices only, and returns ENOTBLK for all
    // else.
    let odd = if driver.fs == "erofs" {
        Errno::ENOTBLK
    } else {
        Errno::EINVAL
    };
    for (source, wanted) in [
        ("/run", odd),
        ("/dev/null", odd),
        ("none", Errno::ENOENT),
        ("", Errno::EINVAL),
        // Its superblock lies behind the end of the file.
        (&empty, Errno::EIO),
    ] {
        refused(&format!("{source:?}"), wanted, mount(driver, source, "")?)?;
    }
    Ok(())
}

fn unknown_option(job: &VfsCheckJob, driver: &Observer) -> Result<()> {
    let primary = &plain(job)?.primary;
    refused(
        "an unknown option",
        Errno::EINVAL,
        mount(driver, primary, "fsid_of_nobody=1")?,
    )?;
    refused(
        "an unknown strategy",
        Errno::EINVAL,
        mount(driver, primary, "cache_strategy=nonsense")?,
    )?;
    for word in ["disabled", "readahead", "readaround"] {
        let option = format!("cache_strategy={word}");
        let mounted = mount(driver, primary, &option)?;
        mounted.map_err(|errno| anyhow::anyhow!("{option}: {errno}"))?;
    }
    Ok(())
}

/// Remounts with all options of the mount and a change, as mount(8) does for a line of fstab.
fn remount_own(job: &VfsCheckJob, driver: &Observer) -> Result<()> {
    let row = with_blob(job)?;
    let mut options = row.options.clone();
    options.extend(row.devices.iter().map(|path| format!("device={path}")));
    let mounted = mount(driver, &row.primary, &options.join(","))?
        .map_err(|errno| anyhow::anyhow!("mount: {errno}"))?;
    options.push("nouser_xattr".to_owned());
    let data = CString::new(options.join(","))?;
    mount_remount(&mounted.point, MountFlags::RDONLY, data).map_err(std::io::Error::from)?;
    let (_, _, shown) = statfs_fiemap_handles::mount_line(&mounted.point)?;
    ensure!(
        shown.iter().any(|option| option == "nouser_xattr")
            || !shown.iter().any(|option| option == "user_xattr"),
        "the options are {shown:?}"
    );
    ensure!(mounted.unmount().is_ok(), "the mount does not unmount");
    Ok(())
}

/// Copies `file` to the file `name` in the writable store, and returns its path.
pub(super) fn copy(file: &str, name: &str) -> Result<String> {
    let to = format!("{STORE}/{name}");
    fs::copy(file, &to)?;
    Ok(to)
}

/// Observed tree by path: the content of a regular file, None for other types, or the errno of
/// reading it.
type Tree = BTreeMap<PathBuf, Result<Option<Content>, i32>>;

/// Reads the whole tree below `dir` into `tree`.
fn read_all(dir: &Path, tree: &mut Tree) {
    let errno = |error: std::io::Error| error.raw_os_error().unwrap_or(0);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            tree.insert(dir.to_owned(), Err(errno(error)));
            return;
        }
    };
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => {
                tree.insert(dir.to_owned(), Err(errno(error)));
                return;
            }
        };
        match path.symlink_metadata() {
            Ok(meta) if meta.is_dir() => {
                tree.insert(path.clone(), Ok(None));
                read_all(&path, tree);
            }
            Ok(meta) if meta.is_file() => {
                let content = digest(&path).map(Some).map_err(errno);
                tree.insert(path, content);
            }
            Ok(_) => drop(tree.insert(path, Ok(None))),
            Err(error) => drop(tree.insert(path, Err(errno(error)))),
        }
    }
}

fn digest(path: &Path) -> std::io::Result<Content> {
    let mut digester = Digester::default();
    digester.update(&fs::read(path)?);
    Ok(digester.finish())
}

/// Truncates `victim`, a file of `row`'s image, within the data of a file. Data before the cut must
/// be readable as before; reads of data after it, and of files that need any of it, must fail with
/// EIO.
fn shortened(driver: &Observer, row: &Row, victim: &str) -> Result<()> {
    let mounted = Mounted::image(row, driver, Path::new(POINT))?
        .map_err(|errno| anyhow::anyhow!("mount: {errno}"))?;
    let mut before = Tree::new();
    read_all(&mounted.point, &mut before);
    let bad = before.iter().find(|(_, content)| content.is_err());
    ensure!(bad.is_none(), "before the cut: {bad:?}");
    let (name, bytes) = super::Site::sized(1_048_577);
    let file = File::open(mounted.point.join(name))?;
    let pages = bytes.len() as u64 / PAGE;
    let extents = sys::fiemap(&file, 0, pages * PAGE)?;
    let address = |page: u64| {
        let at = page * PAGE;
        let of = |e: &&sys::Extent| (e.logical..e.logical + e.length).contains(&at);
        let extent = extents.iter().find(of)?;
        Some(extent.physical + (at - extent.logical))
    };
    let keep = address(pages / 2).context("the middle of the file has no extent")?;
    ensure!(
        keep % PAGE == 0,
        "the cut at {keep} is not at a page boundary"
    );
    OpenOptions::new().write(true).open(victim)?.set_len(keep)?;
    drop_caches()?;

    let mut gone = 0;
    for page in 0..pages {
        let at = address(page).with_context(|| format!("page {page} has no extent"))?;
        let wanted = &bytes[usize::try_from(page * PAGE)?..][..PAGE as usize];
        let mut seen = vec![0; PAGE as usize];
        let result = file.read_at(&mut seen, page * PAGE);
        if at < keep {
            let count = result.with_context(|| format!("page {page}, before the cut"))?;
            super::same(&format!("page {page}"), &seen[..count], wanted)?;
        } else {
            gives(&format!("page {page}, after the cut"), libc::EIO, result)?;
            gone += 1;
        }
    }
    ensure!(
        (1..pages).contains(&gone),
        "{gone} of {pages} pages are after the cut"
    );
    drop(file);
    drop_caches()?;

    let mut after = Tree::new();
    read_all(&mounted.point, &mut after);
    let mut failed = 0;
    for (path, seen) in &after {
        match seen {
            Err(errno) => {
                ensure!(*errno == libc::EIO, "{}: errno {errno}", path.display());
                failed += 1;
            }
            seen => ensure!(
                before.get(path) == Some(seen),
                "{} differs from before the cut, without an error",
                path.display()
            ),
        }
    }
    let is_listed = |path: &Path| {
        let unread = |above: &Path| after.get(above).is_some_and(Result::is_err);
        after.contains_key(path) || path.ancestors().any(unread)
    };
    let lost = before.keys().find(|path| !is_listed(path));
    ensure!(lost.is_none(), "{lost:?} is missing without an error");
    ensure!(failed > 0, "no file fails although data is missing");
    ensure!(mounted.unmount().is_ok(), "the mount does not unmount");
    Ok(())
}

fn cut_short(job: &VfsCheckJob, driver: &Observer) -> Result<()> {
    let row = plain(job)?;
    let primary = copy(&row.primary, "cut")?;
    let row = Row {
        primary: primary.clone(),
        ..row.clone()
    };
    shortened(driver, &row, &primary)
}

fn blob_cut_short(job: &VfsCheckJob, driver: &Observer) -> Result<()> {
    let row = with_blob(job)?;
    let blob = copy(&row.devices[0], "cut-blob")?;
    let row = Row {
        devices: vec![blob.clone()],
        ..row.clone()
    };
    shortened(driver, &row, &blob)
}

/// Mounts the image that contains another image, in its file `inner`.
fn outer(job: &VfsCheckJob, driver: &Observer) -> Result<Mounted> {
    let row = job.rows.last().context("no images")?;
    Mounted::image(row, driver, Path::new("/run/ondine/outer"))?
        .map_err(|errno| anyhow::anyhow!("the outer mount: {errno}"))
}

fn stacked(job: &VfsCheckJob, driver: &Observer) -> Result<()> {
    let outer = outer(job, driver)?;
    let inner = outer.point.join("inner").display().to_string();
    refused(
        "an image on a file-backed mount",
        Errno::ENOTBLK,
        mount(driver, &inner, "")?,
    )?;
    let merged = overlay(&outer.point)?;
    let inner = merged.point.join("inner").display().to_string();
    refused(
        "an image on overlayfs",
        Errno::ENOTBLK,
        mount(driver, &inner, "")?,
    )?;
    ensure!(merged.unmount().is_ok(), "overlayfs does not unmount");
    ensure!(
        outer.unmount().is_ok(),
        "the refused mount still holds the outer one"
    );
    Ok(())
}

/// Mounts an overlayfs on `lower` without an upper directory.
fn overlay(lower: &Path) -> Result<Mounted> {
    let more = format!("{STORE}/lower");
    fs::create_dir_all(&more)?;
    let options = format!("lowerdir={}:{more}", lower.display());
    let point = Path::new("/run/ondine/merged");
    Mounted::plain("overlay", Path::new("overlay"), point, &options)?
        .map_err(|errno| anyhow::anyhow!("mounting overlayfs: {errno}"))
}

fn stacked_by_loop(job: &VfsCheckJob, driver: &Observer) -> Result<()> {
    let outer = outer(job, driver)?;
    let row = Row {
        name: "inner".to_owned(),
        primary: outer.point.join("inner").display().to_string(),
        devices: Vec::new(),
        options: Vec::new(),
        observers: Vec::new(),
    };
    let by_loop = Observer::new(&driver.fs, Backing::Loop);
    let inner = Mounted::image(&row, &by_loop, Path::new(POINT))?
        .map_err(|errno| anyhow::anyhow!("mount: {errno}"))?;
    let (name, wanted) = super::Site::sized(65537);
    super::same(
        "the inner file",
        &fs::read(inner.point.join(name))?,
        &wanted,
    )?;
    let result = rustix::mount::unmount(&outer.point, rustix::mount::UnmountFlags::empty());
    gives(
        "unmounting below it",
        libc::EBUSY,
        result.map_err(std::io::Error::from),
    )?;
    ensure!(inner.unmount().is_ok(), "the inner mount does not unmount");
    Ok(())
}
