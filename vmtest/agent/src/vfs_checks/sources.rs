// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Checks of images on other file systems than ext4, and of image files that others use while they are
//! mounted. On ondine over files alone.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{anyhow, ensure, Context, Result};
use rustix::fs::{fadvise, memfd_create, Advice, MemfdFlags};
use rustix::mount::MountFlags;
use vmtest_wire::image::{Backing, Observer, Row};
use vmtest_wire::paths::SCRATCH;
use vmtest_wire::vfs_checks::VfsCheckJob;

use super::handmade::DRIVER;
use super::{same, Site, STORE};
use crate::fanotify_handler::Handling;
use crate::mounts::{drop_caches, LoopDevice, Mounted};
use crate::read_path::{PathReader, ReadPath};
use crate::sys::Map;

type SourceCheck = fn(&VfsCheckJob, &Row) -> Result<()>;

pub(super) const CHECKS: &[(&str, SourceCheck)] = &[
    ("an image on tmpfs reads the same", |_, row| {
        reads(&moved(row, Path::new(SCRATCH))?)
    }),
    ("an image on 9p reads the same", |job, row| {
        reads(&moved(row, &job.shared)?)
    }),
    ("an image in a squashfs reads the same", in_squashfs),
    (
        "a read into a mapping of the same image ends",
        into_own_image,
    ),
    ("an image that a listener fills reads the same", filled),
];

/// Number of reads into a mapping; without the fix one of the first ten does not return.
const ROUNDS: usize = 50;
const SIZES: &[usize] = &[4095, 4096, 65_537, 1_048_577];

/// Copies the image and its devices to the directory `moved` in `parent`, in the place of earlier
/// ones.
fn moved(row: &Row, parent: &Path) -> Result<Row> {
    let dir = parent.join("moved");
    let _ = fs::remove_dir_all(&dir);
    copied(row, &dir)
}

/// Copies the image and its devices to the new directory `dir`.
pub(super) fn copied(row: &Row, dir: &Path) -> Result<Row> {
    fs::create_dir_all(dir)?;
    let copy = |from: &String| -> Result<String> {
        let name = Path::new(from).file_name().context("a file name")?;
        let to = dir.join(name);
        fs::copy(from, &to).with_context(|| format!("copying {from} to {}", to.display()))?;
        Ok(to.to_str().context("a path in UTF-8")?.to_owned())
    };
    Ok(Row {
        primary: copy(&row.primary)?,
        devices: row.devices.iter().map(copy).collect::<Result<_>>()?,
        ..row.clone()
    })
}

fn mount(row: &Row) -> Result<Mounted> {
    let observer = Observer::new(DRIVER, Backing::File);
    let point = Path::new("/run/ondine/sources");
    Mounted::image(row, &observer, point)?.map_err(|errno| anyhow!("mount: {errno}"))
}

/// Checks the bytes of files on a mount of `row` by each path, each time with empty caches.
fn reads(row: &Row) -> Result<()> {
    let mounted = mount(row)?;
    for path in [ReadPath::Read, ReadPath::Mmap, ReadPath::Sendfile] {
        drop_caches()?;
        contents(&mounted, path)?;
    }
    mounted.unmount()?;
    Ok(())
}

/// Packs the image into a squashfs, which has no direct I/O, and mounts it from there.
fn in_squashfs(_: &VfsCheckJob, row: &Row) -> Result<()> {
    let dir = Path::new(STORE).join("squashed");
    let _ = fs::remove_dir_all(&dir);
    copied(row, &dir)?;
    let file = dir.with_extension("squashfs");
    let mut pack = Command::new("mksquashfs");
    pack.args([&dir, &file])
        .args(["-quiet", "-no-progress", "-noappend"]);
    let packed = pack.status().context("mksquashfs")?;
    ensure!(packed.success(), "{pack:?} ended with {packed}");
    let device = LoopDevice::on(&file)?;
    let point = Path::new("/run/ondine/squashfs");
    let below = Mounted::needed(
        "squashfs",
        Path::new(&device.path),
        point,
        "",
        MountFlags::RDONLY,
    )?;
    let there = |path: &String| -> Result<String> {
        let name = Path::new(path).file_name().context("a file name")?;
        let path = point.join(name);
        Ok(path.to_str().context("a path in UTF-8")?.to_owned())
    };
    reads(&Row {
        primary: there(&row.primary)?,
        devices: row.devices.iter().map(there).collect::<Result<_>>()?,
        ..row.clone()
    })?;
    below.unmount()?;
    Ok(())
}

fn contents(mounted: &Mounted, path: ReadPath) -> Result<()> {
    let reader = PathReader::new()?;
    for size in SIZES {
        let (name, wanted) = Site::sized(*size);
        let file = File::open(mounted.point.join(&name))?;
        let mut seen = vec![0; *size];
        let mut at = 0;
        while at < *size {
            let count = reader
                .read(path, &file, at, &mut seen[at..])
                .with_context(|| format!("{name} by {path:?} at {at}"))?;
            ensure!(count > 0, "{name} by {path:?} ends at {at}");
            at += count;
        }
        same(&format!("{name} by {path:?}"), &seen, &wanted)?;
    }
    Ok(())
}

/// Reads a file into a mapping of another file of the image, while a writer queues for the image's
/// inode lock: if the read held that lock shared, the page fault inside of it would wait for the
/// writer, and the writer for the read.
fn into_own_image(_: &VfsCheckJob, row: &Row) -> Result<()> {
    let row = moved(row, Path::new(STORE))?;
    let blob = row.devices.first().unwrap_or(&row.primary);
    let image = OpenOptions::new().read(true).write(true).open(blob)?;
    let mounted = mount(&row)?;
    let (from, wanted) = Site::sized(1_048_577);
    let (into, _) = Site::sized(1_048_576);
    let len = 1 << 20;
    let mut direct = OpenOptions::new();
    direct.read(true).custom_flags(libc::O_DIRECT);
    let path = mounted.point.join(from);
    let files = [File::open(&path)?, direct.open(&path)?];
    let done = AtomicBool::new(false);
    thread::scope(|scope| -> Result<()> {
        let writer = scope.spawn(|| -> Result<()> {
            let mut byte = [0];
            let last = image.metadata()?.len() - 1;
            image.read_exact_at(&mut byte, last)?;
            while !done.load(Ordering::Relaxed) {
                image.write_all_at(&byte, last)?;
            }
            Ok(())
        });
        let read = || -> Result<()> {
            for round in 0..ROUNDS {
                let target = File::open(mounted.point.join(&into))?;
                for file in [&target, &files[0], &image] {
                    fadvise(file, 0, None, Advice::DontNeed)?;
                }
                let map = Map::private(&target, len)?;
                let count = map.read_into(&files[round % 2], 0, len)?;
                ensure!(count == len, "round {round} read {count} of {len} bytes");
                let through = File::from(memfd_create("through", MemfdFlags::CLOEXEC)?);
                let copied = map.copy_through(&through, 0, len)?;
                let mut seen = vec![0; copied];
                through.read_exact_at(&mut seen, 0)?;
                same("the mapping", &seen, &wanted[..len])?;
            }
            Ok(())
        };
        let read = read();
        done.store(true, Ordering::Relaxed);
        let written = writer.join().map_err(|_| anyhow!("the writer panicked"))?;
        read.and(written)
    })?;
    drop(files);
    mounted.unmount()?;
    Ok(())
}

/// Mounts sparse files that a fanotify handler fills as they are read.
fn filled(_: &VfsCheckJob, row: &Row) -> Result<()> {
    let row = moved(row, Path::new(STORE))?;
    let mut handlers = Vec::new();
    for file in std::iter::once(&row.primary).chain(&row.devices) {
        let source = PathBuf::from(format!("{file}.source"));
        fs::rename(file, &source)?;
        File::create(file)?.set_len(fs::metadata(&source)?.len())?;
        let handling = Handling {
            file: file.into(),
            source,
        };
        handlers.push(handling.start(&std::env::current_exe()?)?);
    }
    let mounted = mount(&row)?;
    for path in [ReadPath::Read, ReadPath::Mmap, ReadPath::Sendfile] {
        contents(&mounted, path)?;
    }
    mounted.unmount()?;
    for handler in handlers {
        handler.kill()?;
    }
    Ok(())
}
