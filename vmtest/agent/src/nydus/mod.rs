// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Images served by an unmodified nydusd over /dev/cachefiles, mounted and observed.

mod daemon;

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use anyhow::{bail, Result};
use ondine_model::observation::Errno;
use sha2::{Digest, Sha256};
use vmtest_wire::disk::DiskFs;
use vmtest_wire::image::{Limits, MountOutcome};
use vmtest_wire::nydus::{Image, MountReport, NydusJob, Restart, Served};

use super::mounts::{drop_caches, Mounted};
use daemon::Daemon;

/// Mount point of the cache's drive.
const DRIVE: &str = "/run/ondine/cache";
/// Log of nydusd, in the guest.
const LOG: &str = "/run/ondine/nydusd.log";
/// Number of last lines of the log that are reported.
const LOG_LINES: usize = 60;

/// Serves and observes the images of the job; observations go to files in `out`.
///
/// # Errors
/// A failure outside of the drivers. The error contains the end of nydusd's log.
pub(super) fn run(job: &NydusJob, out: &Path) -> Result<Served> {
    fs::create_dir_all("/run/ondine")?;
    let served = Guest { job, out }.served();
    served.map_err(|why| anyhow::anyhow!("{why:#}; nydusd's log:\n{}", log()))
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
        let _drive = Mounted::disk(DiskFs::Ext4, &self.job.drive, Path::new(DRIVE))?;
        let [first, .., last] = self.job.images.as_slice() else {
            bail!("the job needs at least two images");
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

    /// Observes a mount of `image` in a domain of its own.
    fn alone(&self, daemon: &Daemon, image: &Image) -> Result<MountReport> {
        let id = &image.name;
        daemon.bind(image, id, id)?;
        let was = filled()?;
        match self.mount(id, &format!("fsid={id}"))? {
            Ok(mounted) => self.look(daemon, image, id, mounted, was),
            Err(errno) => Ok(refused(errno)),
        }
    }

    /// Observes two mounts of `image` in one domain: the second uses the blob that the first one
    /// fetched.
    fn shared(&self, daemon: &Daemon, image: &Image) -> Result<Vec<MountReport>> {
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
                Err(errno) => refused(errno),
            });
        }
        Ok(sights)
    }

    /// Kills the daemon under a mount of `image`, starts another one, and observes the mount.
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
                Err(errno) => refused(errno),
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

    /// Observes a mount as a whole, and unmounts it.
    fn look(
        &self,
        daemon: &Daemon,
        image: &Image,
        id: &str,
        mounted: Mounted,
        was: u64,
    ) -> Result<MountReport> {
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
        // Read before the unmount: nydusd drops its metrics with the last mount.
        let fetched = daemon.fetched(&image.names)?;
        let unmount = mounted.unmount().err();
        let report = MountReport {
            account: MountOutcome::Tree(file),
            wrong,
            unmount,
            fetched,
            filled: filled()?.saturating_sub(was),
            seconds: begin.elapsed().as_secs_f64(),
        };
        eprintln!("  {id:<18} {:.1} s", report.seconds);
        Ok(report)
    }
}

fn refused(errno: Errno) -> MountReport {
    MountReport {
        account: MountOutcome::Refused(errno),
        wrong: Vec::new(),
        unmount: None,
        fetched: 0,
        filled: 0,
        seconds: 0.0,
    }
}

/// Reads a file of a mount as a whole.
fn read(mounted: &Mounted, file: &Path) -> Result<(), Errno> {
    fs::read(mounted.point.join(file))?;
    Ok(())
}

fn digest(file: &Path) -> Result<String, Errno> {
    let mut state = Sha256::new();
    std::io::copy(&mut File::open(file)?, &mut state)?;
    Ok(format!("{:x}", state.finalize()))
}

/// Returns the number of used bytes on the cache's drive. The sizes of the cache files do not
/// suffice: the mainline driver links a new cache file only when the last mount releases it.
fn filled() -> Result<u64> {
    rustix::fs::sync();
    let drive = rustix::fs::statvfs(DRIVE)?;
    Ok((drive.f_blocks - drive.f_bfree) * drive.f_frsize)
}
