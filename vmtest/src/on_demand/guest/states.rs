// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Images from a server over HTTP, with an empty cache, a full one and half of one.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{symlink, FileExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use ondine_model::observation::Errno;
use ondine_origin::{Options, Origin};
use ondined::session::Statistics;
use rustix::mount::MountFlags;
use serde::{Deserialize, Serialize};

use super::cache;
use super::counters::{self, Counters, State};
use super::daemon::{Blobs, Daemon};
use crate::guest::job::{Backing, Fill, Limits, Observer, Row, Sight};
use crate::guest::mounts::Mounted;
use crate::guest::{observe, sys};
use crate::images::drive;
use crate::vm::SCRATCH;

/// The order of `vmtest guest on-demand`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The drive with the images.
    pub images: String,
    /// The drive for the cache, writable.
    pub cache: String,
    /// `ondined`.
    pub daemon: PathBuf,
    /// Where each look ends.
    pub limits: Limits,
    /// The images to look at; their observers say with which caches.
    pub rows: Vec<Row>,
    /// Images whose mount is to be refused.
    pub refused: Vec<Row>,
    /// The image whose file `large` is read for [`Answer::counts`] and [`Answer::lost`], and another one.
    pub counted: [Row; 2],
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Each look.
    pub served: Vec<Served>,
    /// What the mounts of [`Job::refused`] gave.
    pub refused: Vec<(String, Option<Errno>)>,
    /// Why the counters of known reads and of two mounts do not add up.
    pub counts: Option<String>,
    /// Why a reader does not get the backend's errno.
    pub lost: Option<String>,
}

/// One image, looked at through one cache.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Served {
    /// What was seen.
    pub sight: Sight,
    /// Bytes of the image and its blobs.
    pub bytes: u64,
    /// Bytes that the cache missed before, in whole pages.
    pub missing: u64,
    /// What the daemon did.
    pub daemon: Statistics,
    /// What the mount counted.
    pub counters: Counters,
}

const CACHES: &str = "/run/ondine/caches";
const POINT: &str = "/run/ondine/served";
/// How long a daemon may take to fetch an image whole.
const WHOLE: Duration = Duration::from_secs(120);

/// Does the job.
///
/// # Errors
/// When something fails that is not an answer of the mount under test.
pub(crate) fn run(job: &Job, out: &Path) -> Result<Answer> {
    let _images = observe::attach(&job.images)?;
    let (drive, caches) = (Path::new(&job.cache), Path::new(CACHES));
    let _caches = Mounted::with("ext4", drive, caches, "", MountFlags::empty())?
        .map_err(|errno| anyhow::anyhow!("the drive {} does not mount: {errno}", job.cache))?;
    sys::loopback_up().context("the loopback network")?;
    let place = Place::new(&job.daemon, Path::new(drive::MOUNT_POINT))?;
    let mut served = Vec::new();
    for row in &job.rows {
        let seen = place.row(row, job.limits, out);
        served.extend(seen.with_context(|| format!("image {}", row.name))?);
    }
    let refuse = |row: &Row| Ok((row.name.clone(), place.refused(row)?));
    Ok(Answer {
        served,
        refused: job.refused.iter().map(refuse).collect::<Result<_>>()?,
        counts: counts(&job.daemon, &job.counted)
            .err()
            .map(|why| format!("{why:#}")),
        lost: lost(&job.daemon, &job.counted[0])
            .err()
            .map(|why| format!("{why:#}")),
    })
}

struct Place<'a> {
    root: &'a Path,
    origin: Origin,
    program: &'a Path,
}

impl<'a> Place<'a> {
    /// What is below `root`, served by `program`.
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

    /// A daemon for the blobs of `row`, with the cache in `dir`.
    fn daemon(&self, row: &Row, dir: &Path, more: &[&str]) -> Result<Daemon> {
        let place = Path::new(&row.primary).parent().context("a bare name")?;
        let below = place.strip_prefix(self.root)?;
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
                    cache::halve(&dir)?;
                }
                other => anyhow::bail!("{other:?} is no cache"),
            }
            let missing = if dir.exists() {
                cache::contents(&dir)?.1
            } else {
                pages(row)?
            };
            let daemon = self.daemon(row, &dir, &[])?;
            let mut counters = None;
            let sight = observations.look(row, observer, limits, || {
                counters = Some(Counters::sum()?);
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

    /// Has a daemon bring all that the cache in `dir` misses of `row`.
    fn fill(&self, row: &Row, dir: &Path) -> Result<()> {
        let whole = pages(row)?;
        // A mount of a whole cache waits for nothing, and would be gone before the daemon answers.
        if dir.exists() && cache::contents(dir)? == (whole, 0) {
            return Ok(());
        }
        let daemon = self.daemon(row, dir, &["--prefetch"])?;
        let mounted = mount(row, POINT)?;
        let begin = Instant::now();
        while cache::contents(dir)? != (whole, 0) {
            ensure!(
                begin.elapsed() < WHOLE,
                "the cache is not whole: it has and misses {:?} of {whole} bytes",
                cache::contents(dir)?
            );
            thread::sleep(Duration::from_millis(20));
        }
        unmount(mounted)?;
        daemon.stop().map(drop)
    }

    /// What mounting `row` gives.
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

/// Known reads on one mount, and a second mount beside it: what both count is what the daemon did.
fn counts(program: &Path, rows: &[Row; 2]) -> Result<()> {
    // One daemon serves both: their files get names of their own in one directory.
    let root = Path::new(SCRATCH).join("counted");
    fs::create_dir_all(&root)?;
    let place = Place::new(program, &root)?;
    let [first, second] = [renamed(&rows[0], &root)?, renamed(&rows[1], &root)?];
    let daemon = place.daemon(&first, &Path::new(CACHES).join("counted"), &[])?;
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
    let counted = Counters::sum()?;
    State::now()?.adds_up(&before, &counted)?;
    unmount(two)?;
    unmount(one)?;
    // What mounts counted outlives them.
    State::now()?.adds_up(&before, &counted)?;
    agree(&counted, &daemon.stop()?)
}

/// A server that has lost the blobs of a mounted image: readers get ENOENT, which is the errno of its 404.
fn lost(program: &Path, row: &Row) -> Result<()> {
    let root = Path::new(SCRATCH).join("lost");
    fs::create_dir_all(&root)?;
    let place = Place::new(program, &root)?;
    let row = renamed(row, &root)?;
    let daemon = place.daemon(&row, &Path::new(CACHES).join("lost"), &[])?;
    let mounted = mount(&row, POINT)?;
    let file = File::open(mounted.point.join("large"))?;
    // By then the blob is open: one that is not there then would be refused.
    file.read_exact_at(&mut [0], 0)?;
    row.devices.iter().try_for_each(fs::remove_file)?;
    let got = file.read_at(&mut [0; 4096], 1 << 20);
    let errno = got.as_ref().err().and_then(io::Error::raw_os_error);
    ensure!(
        errno == Some(libc::ENOENT),
        "reading what the server has lost gives {got:?}"
    );
    drop(file);
    unmount(mounted)?;
    // It has failed a READ, as it was to.
    drop(daemon);
    Ok(())
}

/// The same image by other names, in the directory `root`.
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

/// Whether a daemon did what its mounts count.
///
/// # Errors
/// Where they differ.
pub(crate) fn agree(counted: &Counters, done: &Statistics) -> Result<()> {
    ensure!(
        counted.bytes_filled == done.bytes_written,
        "mounts count {} bytes filled, the daemon wrote {}",
        counted.bytes_filled,
        done.bytes_written
    );
    ensure!(
        counted.requests == done.reads,
        "mounts count {} requests, the daemon read {} READ messages",
        counted.requests,
        done.reads
    );
    Ok(())
}

/// The observer of a mount that nobody looks at.
fn observer() -> Observer {
    Observer::new("ondine", Backing::Cache(Fill::Empty))
}

pub(super) fn mount(row: &Row, point: &str) -> Result<Mounted> {
    Mounted::image(row, &observer(), Path::new(point))?
        .map_err(|errno| anyhow::anyhow!("{} does not mount: {errno}", row.name))
}

pub(super) fn unmount(mounted: Mounted) -> Result<()> {
    let point = mounted.point.clone();
    let left = mounted.unmount();
    ensure!(left.is_ok(), "unmounting {}: {left:?}", point.display());
    Ok(())
}

fn lengths(row: &Row) -> impl Iterator<Item = Result<u64>> + '_ {
    let len = |path| Ok(fs::metadata(path)?.len());
    std::iter::once(&row.primary).chain(&row.devices).map(len)
}

/// Bytes of the image and its blobs.
fn size(row: &Row) -> Result<u64> {
    lengths(row).sum()
}

/// The same in whole pages.
fn pages(row: &Row) -> Result<u64> {
    lengths(row)
        .map(|len| Ok(len?.next_multiple_of(4096)))
        .sum()
}
