// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Mounts that must be refused, and images that break while mounted.

use std::fs::{self, File, OpenOptions};
use std::path::Path;

use anyhow::{bail, ensure, Context, Result};
use ondine_model::observation::Errno;

use super::{gives, BehaveJob, Observer, Row, STORE};
use crate::guest::job::Backing;
use crate::guest::mounts::{drop_caches, LoopDevice, Mounted};

type Check = (&'static str, fn(&BehaveJob, &Observer) -> Result<()>);

pub(super) const CHECKS: &[Check] = &[
    ("too many or too few devices are EINVAL", device_count),
    ("a file and a block device together are EINVAL", mixed),
    ("a source or device that is not there is ENOENT", not_there),
    ("a source that is no image is EINVAL", no_image),
    (
        "a source that is neither file nor device is refused",
        odd_source,
    ),
    ("an unknown option is EINVAL", unknown_option),
    ("an image cut short gives EIO and does not hang", cut_short),
    (
        "a blob cut short gives EIO and does not hang",
        blob_cut_short,
    ),
    (
        "an image on the same driver's file-backed mount is refused",
        stacked,
    ),
    (
        "an image inside a mount works by loop device",
        stacked_by_loop,
    ),
];

const POINT: &str = "/run/ondine/refused";

fn mount(driver: &Observer, source: &str, options: &str) -> Result<Result<Mounted, Errno>> {
    Mounted::plain(&driver.fs, Path::new(source), Path::new(POINT), options)
}

fn refused(what: &str, wanted: Errno, result: Result<Mounted, Errno>) -> Result<()> {
    match result {
        Ok(_) => bail!("{what}: the mount succeeds"),
        Err(errno) => {
            ensure!(
                errno == wanted,
                "{what}: the mount gives {errno}, not {wanted}"
            );
            Ok(())
        }
    }
}

/// The first image of the job that has a blob.
pub(super) fn with_blob(job: &BehaveJob) -> Result<&Row> {
    job.rows
        .iter()
        .find(|row| !row.devices.is_empty())
        .context("no image with a blob")
}

pub(super) fn plain(job: &BehaveJob) -> Result<&Row> {
    job.rows
        .iter()
        .find(|row| row.devices.is_empty())
        .context("no image without a blob")
}

fn device_count(job: &BehaveJob, driver: &Observer) -> Result<()> {
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

fn mixed(job: &BehaveJob, driver: &Observer) -> Result<()> {
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

fn not_there(job: &BehaveJob, driver: &Observer) -> Result<()> {
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

fn no_image(_: &BehaveJob, driver: &Observer) -> Result<()> {
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

fn odd_source(_: &BehaveJob, driver: &Observer) -> Result<()> {
    for source in ["/run", "/dev/null", "none", ""] {
        if mount(driver, source, "")?.is_ok() {
            bail!("{source:?} is mounted");
        }
    }
    let empty = format!("{STORE}/nothing");
    File::create(&empty)?;
    ensure!(
        mount(driver, &empty, "")?.is_err(),
        "an empty file is mounted"
    );
    Ok(())
}

fn unknown_option(job: &BehaveJob, driver: &Observer) -> Result<()> {
    let primary = &plain(job)?.primary;
    refused(
        "an unknown option",
        Errno::EINVAL,
        mount(driver, primary, "fsid_of_nobody=1")?,
    )
}

/// A copy of `file` in the writable store.
pub(super) fn copy(file: &str, name: &str) -> Result<String> {
    let to = format!("{STORE}/{name}");
    fs::copy(file, &to)?;
    Ok(to)
}

/// Reads the whole tree; how many files gave EIO, and how many gave anything else but bytes.
fn read_all(dir: &Path, failed: &mut usize) -> Result<()> {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let Ok(entry) = entry else {
            *failed += 1;
            break;
        };
        match entry.path().symlink_metadata() {
            Ok(meta) if meta.is_dir() => read_all(&entry.path(), failed)?,
            Ok(meta) if meta.is_file() => {
                if let Err(error) = fs::read(entry.path()) {
                    let errno = error.raw_os_error();
                    ensure!(
                        errno == Some(libc::EIO),
                        "{}: {error}",
                        entry.path().display()
                    );
                    *failed += 1;
                }
            }
            Ok(_) => {}
            Err(error) => {
                let errno = error.raw_os_error();
                ensure!(
                    errno == Some(libc::EIO),
                    "{}: {error}",
                    entry.path().display()
                );
                *failed += 1;
            }
        }
    }
    Ok(())
}

fn shortened(driver: &Observer, row: &Row, victim: &str, keep: u64) -> Result<()> {
    let mounted = Mounted::image(row, driver, Path::new(POINT))?
        .map_err(|errno| anyhow::anyhow!("mount gives {errno}"))?;
    OpenOptions::new().write(true).open(victim)?.set_len(keep)?;
    drop_caches()?;
    let mut failed = 0;
    read_all(&mounted.point, &mut failed)?;
    ensure!(failed > 0, "no read fails although the bytes are gone");
    ensure!(mounted.unmount().is_ok(), "the mount does not unmount");
    Ok(())
}

fn cut_short(job: &BehaveJob, driver: &Observer) -> Result<()> {
    let row = plain(job)?;
    let primary = copy(&row.primary, "cut")?;
    let keep = (fs::metadata(&primary)?.len() / 2) & !0xfff;
    let row = Row {
        primary: primary.clone(),
        ..row.clone()
    };
    shortened(driver, &row, &primary, keep)
}

fn blob_cut_short(job: &BehaveJob, driver: &Observer) -> Result<()> {
    let row = with_blob(job)?;
    let blob = copy(&row.devices[0], "cut-blob")?;
    let keep = (fs::metadata(&blob)?.len() / 2) & !0xfff;
    let row = Row {
        devices: vec![blob.clone()],
        ..row.clone()
    };
    shortened(driver, &row, &blob, keep)
}

/// The mount that holds an image in its file `inner`.
fn outer(job: &BehaveJob, driver: &Observer) -> Result<Mounted> {
    let row = job.rows.last().context("no images")?;
    Mounted::image(row, driver, Path::new("/run/ondine/outer"))?
        .map_err(|errno| anyhow::anyhow!("the outer mount gives {errno}"))
}

fn stacked(job: &BehaveJob, driver: &Observer) -> Result<()> {
    let outer = outer(job, driver)?;
    let inner = outer.point.join("inner").display().to_string();
    let result = mount(driver, &inner, "")?;
    ensure!(
        result.is_err(),
        "an image on a file-backed mount of the same kind is mounted"
    );
    drop(result);
    ensure!(
        outer.unmount().is_ok(),
        "the refused mount left something behind"
    );
    Ok(())
}

fn stacked_by_loop(job: &BehaveJob, driver: &Observer) -> Result<()> {
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
        .map_err(|errno| anyhow::anyhow!("mount gives {errno}"))?;
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
