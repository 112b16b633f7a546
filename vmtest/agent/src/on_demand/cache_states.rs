// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Images fetched over HTTP, observed with an empty, a full and a half-full cache, and while the server
//! loses or replaces their blobs.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{symlink, FileExt as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use ondine_model::observation::Errno;
use ondine_origin::{Options, Origin};
use vmtest_wire::counters::agree;
use vmtest_wire::disk::DiskFs;
use vmtest_wire::image::{Backing, Fill, Limits, Observer, Row};
use vmtest_wire::on_demand::{Answer, Job, Served};
use vmtest_wire::paths::{IMAGE_DISK, SCRATCH};

use super::cache_files;
use super::counters::{self, State};
use super::ondined::{Blobs, Daemon};
use crate::mounts::Mounted;
use crate::{observe, sys};

const CACHES: &str = "/run/ondine/caches";
const POINT: &str = "/run/ondine/served";
/// Time limit for a daemon to prefetch an image.
const WHOLE: Duration = Duration::from_secs(120);

/// Observes each image in each cache state, and checks the counters.
///
/// # Errors
/// A failure other than an errno of the mount under test, which is part of the answer.
pub(crate) fn run(job: &Job, out: &Path) -> Result<Answer> {
    let _images = observe::attach(&job.images)?;
    let (drive, caches) = (Path::new(&job.cache), Path::new(CACHES));
    let _caches = Mounted::disk(DiskFs::Ext4, drive, caches)?;
    sys::loopback_up().context("the loopback network")?;
    let server = Server::new(&job.daemon, Path::new(IMAGE_DISK))?;
    let mut served = Vec::new();
    for row in &job.rows {
        let seen = server.row(row, job.limits, out);
        served.extend(seen.with_context(|| format!("image {}", row.name))?);
    }
    let refuse = |row: &Row| Ok((row.name.clone(), server.refused(row)?));
    Ok(Answer {
        served,
        refused: job.refused.iter().map(refuse).collect::<Result<_>>()?,
        counts: counts(&job.daemon, &job.counted)
            .err()
            .map(|why| format!("{why:#}")),
        lost: lost(&job.daemon, &job.counted[0])
            .err()
            .map(|why| format!("{why:#}")),
        replaced: replaced(&job.daemon, &job.counted[0])
            .err()
            .map(|why| format!("{why:#}")),
    })
}

/// Offsets of pages in the file `large`: too far from each other for readahead.
const FIRST: u64 = 1 << 20;
const SECOND: u64 = 9 << 20;
const THIRD: u64 = 17 << 20;

struct Server<'a> {
    root: &'a Path,
    origin: Origin,
    program: &'a Path,
}

impl<'a> Server<'a> {
    /// Serves the files below `root` over HTTP, to daemons started from `program`.
    fn new(program: &'a Path, root: &'a Path) -> Result<Self> {
        let options = Options {
            root: root.to_owned(),
            latency: Duration::ZERO,
            ranges: true,
        };
        Ok(Self {
            root,
            origin: Origin::listen("127.0.0.1:0", options)?,
            program,
        })
    }

    /// Starts a daemon for the blobs of `row`, with the cache in `dir`.
    fn daemon(&self, row: &Row, dir: &Path, more: &[&str]) -> Result<Daemon> {
        let dir_of_image = Path::new(&row.primary).parent().context("a bare name")?;
        let below = dir_of_image.strip_prefix(self.root)?;
        let url = format!("{}/{}", self.origin.url(), below.display());
        Daemon::serve(self.program, dir, Blobs::Http(&url), more)
    }

    fn row(&self, row: &Row, limits: Limits, out: &Path) -> Result<Vec<Served>> {
        let mut observations = observe::Observations::new(out);
        let dir = Path::new(CACHES).join(&row.name);
        let bytes = size(row)?;
        let mut served = Vec::new();
        for observer in &row.observers {
            match observer.backing {
                Backing::Cache(Fill::Empty) => drop(fs::remove_dir_all(&dir)),
                Backing::Cache(Fill::Full) => self.fill(row, &dir)?,
                Backing::Cache(Fill::Half) => {
                    self.fill(row, &dir)?;
                    cache_files::halve(&dir)?;
                }
                other => anyhow::bail!("{other:?} is no cache"),
            }
            let missing = if dir.exists() {
                cache_files::contents(&dir)?.1
            } else {
                pages(row)?
            };
            let daemon = self.daemon(row, &dir, &[])?;
            let mut counters = None;
            let sight = observations.look(row, observer, limits, || {
                counters = Some(counters::sum()?);
                Ok(())
            })?;
            served.push(Served {
                sight,
                bytes,
                missing,
                daemon: daemon.stop()?,
                counters: counters.unwrap_or_default(),
            });
        }
        fs::remove_dir_all(&dir)?;
        Ok(served)
    }

    /// Prefetches all data of `row` that the cache in `dir` misses.
    fn fill(&self, row: &Row, dir: &Path) -> Result<()> {
        let whole = pages(row)?;
        // Skip a full cache: a mount of it waits for nothing, and would be gone before the daemon
        // answers.
        if dir.exists() && cache_files::contents(dir)? == (whole, 0) {
            return Ok(());
        }
        let daemon = self.daemon(row, dir, &["--prefetch"])?;
        let mounted = mount(row, POINT)?;
        let begin = Instant::now();
        while cache_files::contents(dir)? != (whole, 0) {
            ensure!(
                begin.elapsed() < WHOLE,
                "the cache is not full after {WHOLE:?}: (present, missing) = {:?} of {whole} bytes",
                cache_files::contents(dir)?
            );
            thread::sleep(Duration::from_millis(20));
        }
        unmount(mounted)?;
        daemon.stop().map(drop)
    }

    /// Mounts `row`, and returns the errno if that fails.
    fn refused(&self, row: &Row) -> Result<Option<Errno>> {
        let dir = Path::new(CACHES).join(&row.name);
        let daemon = self.daemon(row, &dir, &[])?;
        let mounted = Mounted::image(row, &observer(), Path::new(POINT))?;
        let errno = mounted.as_ref().err().copied();
        drop(mounted);
        daemon.stop()?;
        Ok(errno)
    }
}

/// Does known reads on two mounts, and compares the counters of mounts and module with the
/// statistics of the daemon.
fn counts(program: &Path, rows: &[Row; 2]) -> Result<()> {
    // One daemon serves both images: their files need distinct names in one directory.
    let root = Path::new(SCRATCH).join("counted");
    fs::create_dir_all(&root)?;
    let server = Server::new(program, &root)?;
    let [first, second] = [renamed(&rows[0], &root)?, renamed(&rows[1], &root)?];
    let daemon = server.daemon(&first, &Path::new(CACHES).join("counted"), &[])?;
    let before = State::now()?;
    let (one, two) = (mount(&first, POINT)?, mount(&second, "/run/ondine/second")?);
    let file = one.point.join("large");
    counters::known_reads(&file)?;
    fs::read(&file)?;
    for entry in fs::read_dir(&two.point)? {
        let path = entry?.path();
        if path.is_file() {
            fs::read(path)?;
        }
    }
    let counted = counters::sum()?;
    State::now()?.adds_up(&before, &counted)?;
    unmount(two)?;
    unmount(one)?;
    // The module keeps the counts of mounts that are gone.
    State::now()?.adds_up(&before, &counted)?;
    agree(&counted, &daemon.stop()?)
}

/// Reads from a mounted image whose blobs the server has lost: HTTP status 404 becomes ENOENT.
fn lost(program: &Path, row: &Row) -> Result<()> {
    let root = Path::new(SCRATCH).join("lost");
    fs::create_dir_all(&root)?;
    let server = Server::new(program, &root)?;
    let row = renamed(row, &root)?;
    let daemon = server.daemon(&row, &Path::new(CACHES).join("lost"), &[])?;
    let mounted = mount(&row, POINT)?;
    let file = File::open(mounted.point.join("large"))?;
    // The blob is open from here on; a blob missing at its open would be refused.
    file.read_exact_at(&mut [0], 0)?;
    row.devices.iter().try_for_each(fs::remove_file)?;
    let got = file.read_at(&mut [0; 4096], 1 << 20);
    let errno = got.as_ref().err().and_then(io::Error::raw_os_error);
    ensure!(
        errno == Some(libc::ENOENT),
        "reading data that the server has lost gives {got:?}, not ENOENT"
    );
    drop(file);
    unmount(mounted)?;
    // Not stop(): that would report the failed READ, which is intended here.
    drop(daemon);
    Ok(())
}

/// Replaces the data blobs of an image by others of the same size while it is mounted, between two
/// mounts, and while a mount is without a daemon. A reader gets old bytes, new bytes or an errno, and
/// never both kinds of bytes from one mount.
fn replaced(program: &Path, row: &Row) -> Result<()> {
    let root = Path::new(SCRATCH).join("replaced");
    fs::create_dir_all(&root)?;
    let server = Server::new(program, &root)?;
    let row = renamed(row, &root)?;
    let cache = Path::new(CACHES).join("replaced");
    let daemon = server.daemon(&row, &cache, &[])?;

    let mounted = mount(&row, POINT)?;
    let old = page(&mounted, FIRST)?;
    ensure!(old != [0; 4096], "the page at {FIRST} is zeros");
    zero(&row)?;
    fails(&mounted, SECOND, libc::ESTALE, "a blob that was replaced")?;
    ensure!(page(&mounted, FIRST)? == old, "a cached page has changed");
    unmount(mounted)?;
    // Not stop(): that would report the failed READ, which is intended here.
    drop(daemon);

    let daemon = server.daemon(&row, &cache, &[])?;
    let mounted = mount(&row, POINT)?;
    for at in [SECOND, FIRST] {
        let new = page(&mounted, at)?;
        ensure!(new == [0; 4096], "old bytes at {at} after a new mount");
    }
    drop(daemon);

    zero(&row)?;
    let daemon = server.daemon(&row, &cache, &[])?;
    let what = "a blob that was replaced while there was no daemon";
    fails(&mounted, THIRD, libc::EIO, what)?;
    ensure!(page(&mounted, FIRST)? == [0; 4096], "a page was lost");
    unmount(mounted)?;
    drop(daemon);
    Ok(())
}

fn page(mounted: &Mounted, at: u64) -> Result<[u8; 4096]> {
    let mut page = [0; 4096];
    File::open(mounted.point.join("large"))?.read_exact_at(&mut page, at)?;
    Ok(page)
}

fn fails(mounted: &Mounted, at: u64, errno: i32, what: &str) -> Result<()> {
    let got = File::open(mounted.point.join("large"))?.read_at(&mut [0; 4096], at);
    let told = got.as_ref().err().and_then(io::Error::raw_os_error);
    ensure!(told == Some(errno), "reading {what} gives {got:?}");
    Ok(())
}

/// Replaces each data blob by another file of the same size, of zeros.
fn zero(row: &Row) -> Result<()> {
    for blob in &row.devices {
        let len = fs::metadata(blob)?.len();
        let new = format!("{blob}.new");
        File::create(&new)?.set_len(len)?;
        fs::rename(new, blob)?;
    }
    Ok(())
}

/// Links the files of the image under distinct names into the directory `root`.
fn renamed(row: &Row, root: &Path) -> Result<Row> {
    let rename = |(n, path): (usize, &String)| -> Result<String> {
        let name = root.join(format!("{}-{n}", row.name));
        symlink(path, &name)?;
        Ok(name.display().to_string())
    };
    let files = std::iter::once(&row.primary).chain(&row.devices);
    let mut names = files.enumerate().map(rename).collect::<Result<Vec<_>>>()?;
    Ok(Row {
        primary: names.remove(0),
        devices: names,
        ..row.clone()
    })
}

/// Observer of a mount that is not observed.
fn observer() -> Observer {
    Observer::new("ondine", Backing::Cache(Fill::Empty))
}

/// Mounts `row` on demand at `point`, with default options.
pub(crate) fn mount(row: &Row, point: &str) -> Result<Mounted> {
    Mounted::image(row, &observer(), Path::new(point))?
        .map_err(|errno| anyhow::anyhow!("{} does not mount: {errno}", row.name))
}

/// Unmounts, and fails if that is refused.
pub(crate) fn unmount(mounted: Mounted) -> Result<()> {
    let point = mounted.point.clone();
    let left = mounted.unmount();
    ensure!(left.is_ok(), "unmounting {}: {left:?}", point.display());
    Ok(())
}

fn lengths(row: &Row) -> impl Iterator<Item = Result<u64>> + '_ {
    let len = |path| Ok(fs::metadata(path)?.len());
    std::iter::once(&row.primary).chain(&row.devices).map(len)
}

/// Size of the image and its blobs in bytes.
fn size(row: &Row) -> Result<u64> {
    lengths(row).sum()
}

/// Size of the image and its blobs in bytes, each file rounded up to whole pages.
fn pages(row: &Row) -> Result<u64> {
    lengths(row)
        .map(|len| Ok(len?.next_multiple_of(4096)))
        .sum()
}
