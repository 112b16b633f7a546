// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Images that an unmodified nydusd serves over /dev/cachefiles, mounted and looked at.

mod daemon;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{bail, Result};
use ondine_model::observation::Errno;
use rustix::mount::MountFlags;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::job::{Account, Limits};
use super::mounts::{drop_caches, Mounted};
use daemon::Daemon;

/// The order of `vmtest guest nydus`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NydusJob {
    /// nydusd.
    pub program: PathBuf,
    /// The block device with an empty ext4, for the cache.
    pub drive: PathBuf,
    /// The file system type to mount with.
    pub fs: String,
    /// Each of them is mounted alone. Then the first one is mounted twice in one domain, and the
    /// last one over a daemon that is killed.
    pub images: Vec<Image>,
    /// Files of the last image that are read before its daemon is killed.
    pub before: Vec<PathBuf>,
    /// A file of it that is not.
    pub beyond: PathBuf,
}

/// An image as nydusd needs it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// Its bootstrap.
    pub bootstrap: PathBuf,
    /// The directory of its stored blobs.
    pub blobs: PathBuf,
    /// Their names.
    pub names: Vec<String>,
    /// sha256 of regular files, by path.
    pub sums: BTreeMap<String, String>,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Served {
    /// The images, alone.
    pub alone: Vec<Sight>,
    /// Two mounts of the first one in one domain.
    pub shared: Vec<Sight>,
    /// The last one with a daemon that is killed.
    pub restart: Restart,
    /// The end of what nydusd said.
    pub log: String,
}

/// What was seen of one mount.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sight {
    /// The tree.
    pub account: Account,
    /// Files whose sha256 is not the one of the list, and what was found.
    pub wrong: Vec<String>,
    /// What the unmount gave, when it failed.
    pub unmount: Option<Errno>,
    /// Bytes of stored blobs that nydusd read for it.
    pub fetched: u64,
    /// Bytes of the cache's files that are there because of it.
    pub filled: u64,
    /// Seconds of guest time.
    pub seconds: f64,
}

/// What was seen around the death of a daemon.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Restart {
    /// Reading again, without a daemon, what was read before: the first errno.
    pub known: Result<(), Errno>,
    /// Reading, without a daemon, what was not.
    pub unknown: Result<(), Errno>,
    /// Reading that over the next daemon, through the old mount.
    pub then: Result<(), Errno>,
    /// The tree through the old mount, if that went well.
    pub old: Option<Sight>,
    /// The tree through a new mount otherwise.
    pub new: Option<Sight>,
}

/// Where the cache's drive is mounted.
const DRIVE: &str = "/run/ondine/cache";
/// nydusd's own words, in the guest.
const LOG: &str = "/run/ondine/nydusd.log";
/// So much of them is told.
const LOG_LINES: usize = 60;

/// Does the job; accounts go to files in `out`.
///
/// # Errors
/// When something other than a driver fails; what nydusd said last is in the error.
pub(super) fn run(job: &NydusJob, out: &Path) -> Result<Served> {
    fs::create_dir_all("/run/ondine")?;
    let served = Guest { job, out }.served();
    served.map_err(|why| anyhow::anyhow!("{why:#}; nydusd said:\n{}", log()))
}

fn log() -> String {
    let text = fs::read(LOG).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

struct Guest<'a> {
    job: &'a NydusJob,
    out: &'a Path,
}

impl Guest<'_> {
    fn served(&self) -> Result<Served> {
        let _drive = Mounted::with(
            "ext4",
            &self.job.drive,
            Path::new(DRIVE),
            "",
            MountFlags::empty(),
        )?
        .map_err(|errno| anyhow::anyhow!("the cache's drive does not mount: {errno}"))?;
        let [first, .., last] = self.job.images.as_slice() else {
            bail!("two images are needed");
        };
        let daemon = self.daemon()?;
        let mut alone = Vec::new();
        for image in &self.job.images {
            alone.push(self.alone(&daemon, image)?);
        }
        let shared = self.shared(&daemon, first)?;
        let restart = self.restart(daemon, last)?;
        Ok(Served {
            alone,
            shared,
            restart,
            log: log(),
        })
    }

    fn daemon(&self) -> Result<Daemon> {
        Daemon::start(&self.job.program, Path::new(DRIVE), Path::new(LOG))
    }

    /// `image` in a domain of its own.
    fn alone(&self, daemon: &Daemon, image: &Image) -> Result<Sight> {
        let id = &image.name;
        daemon.bind(image, id, id)?;
        let was = filled()?;
        match self.mount(id, &format!("fsid={id}"))? {
            Ok(mounted) => self.look(daemon, image, id, mounted, was),
            Err(errno) => Ok(Sight::refused(errno)),
        }
    }

    /// Two mounts of `image` in one domain: the second finds the blob that the first one fetched.
    fn shared(&self, daemon: &Daemon, image: &Image) -> Result<Vec<Sight>> {
        let ids = ["first", "second"];
        let mut mounts = Vec::new();
        for id in ids {
            daemon.bind(image, id, "both")?;
            mounts.push(self.mount(id, &format!("fsid={id},domain_id=both"))?);
        }
        let mut sights = Vec::new();
        for (id, mounted) in ids.into_iter().zip(mounts) {
            sights.push(match mounted {
                Ok(mounted) => self.look(daemon, image, id, mounted, filled()?)?,
                Err(errno) => Sight::refused(errno),
            });
        }
        Ok(sights)
    }

    /// A daemon is killed under a mount of `image`, and another one started.
    fn restart(&self, daemon: Daemon, image: &Image) -> Result<Restart> {
        let id = "restarted";
        let options = format!("fsid={id},domain_id={id}");
        daemon.bind(image, id, id)?;
        let was = filled()?;
        let mounted = self
            .mount(id, &options)?
            .map_err(|errno| anyhow::anyhow!("{}: {errno}", image.name))?;
        let before = || self.job.before.iter().try_for_each(|f| read(&mounted, f));
        before().map_err(|errno| anyhow::anyhow!("reading {}: {errno}", image.name))?;
        daemon.kill()?;
        drop_caches()?;
        let (known, unknown) = (before(), read(&mounted, &self.job.beyond));
        let daemon = self.daemon()?;
        daemon.bind(image, id, id)?;
        drop_caches()?;
        let then = read(&mounted, &self.job.beyond);
        let (mut old, mut new) = (None, None);
        if then.is_ok() {
            old = Some(self.look(&daemon, image, id, mounted, was)?);
        } else {
            drop(mounted);
            new = Some(match self.mount(id, &options)? {
                Ok(mounted) => self.look(&daemon, image, id, mounted, was)?,
                Err(errno) => Sight::refused(errno),
            });
        }
        Ok(Restart {
            known,
            unknown,
            then,
            old,
            new,
        })
    }

    fn mount(&self, id: &str, options: &str) -> Result<Result<Mounted, Errno>> {
        let point = Path::new("/run/ondine/mnt").join(id);
        Mounted::plain(&self.job.fs, Path::new("none"), &point, options)
    }

    /// Looks at the whole of a mount, and ends it.
    fn look(
        &self,
        daemon: &Daemon,
        image: &Image,
        id: &str,
        mounted: Mounted,
        was: u64,
    ) -> Result<Sight> {
        let begin = Instant::now();
        let seen = ondine_model::observe::directory(&mounted.point, &Limits::default().options());
        let file = format!("{id}-{}.json", begin.elapsed().as_nanos());
        fs::write(self.out.join(&file), seen.to_json()?)?;
        let mut wrong = Vec::new();
        for (path, sum) in &image.sums {
            let found = digest(&mounted.point.join(path));
            if found.as_ref().ok() != Some(sum) {
                wrong.push(format!("{path}: {found:?}"));
            }
        }
        // The counts go with the last mount.
        let fetched = daemon.fetched(&image.names)?;
        let unmount = mounted.unmount().err();
        let sight = Sight {
            account: Account::Tree(file),
            wrong,
            unmount,
            fetched,
            filled: filled()?.saturating_sub(was),
            seconds: begin.elapsed().as_secs_f64(),
        };
        eprintln!("  {id:<18} {:.1} s", sight.seconds);
        Ok(sight)
    }
}

impl Sight {
    fn refused(errno: Errno) -> Self {
        Self {
            account: Account::Refused(errno),
            wrong: Vec::new(),
            unmount: None,
            fetched: 0,
            filled: 0,
            seconds: 0.0,
        }
    }
}

/// Reads a whole file of a mount.
fn read(mounted: &Mounted, file: &Path) -> Result<(), Errno> {
    fs::read(mounted.point.join(file))?;
    Ok(())
}

fn digest(file: &Path) -> Result<String, Errno> {
    let mut state = Sha256::new();
    std::io::copy(&mut File::open(file)?, &mut state)?;
    Ok(format!("{:x}", state.finalize()))
}

/// Bytes that the files of the cache take.
fn filled() -> Result<u64> {
    rustix::fs::sync();
    fn below(dir: &Path) -> Result<u64> {
        let mut bytes = 0;
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            bytes += if meta.is_dir() {
                below(&entry.path())?
            } else {
                meta.blocks() * 512
            };
        }
        Ok(bytes)
    }
    let cache = Path::new(DRIVE).join("cache");
    // It is made for the first object at the latest.
    if cache.exists() {
        below(&cache)
    } else {
        Ok(0)
    }
}
