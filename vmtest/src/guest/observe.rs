// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Looking at every image with every observer.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result};
use ondine_model::observation::{Errno, Observation};

use super::job::{Account, ObserveJob, Row, Sight};
use super::mounts::Mounted;
use crate::images::drive;

/// Does the job; accounts go to files in `out`.
///
/// # Errors
/// When something other than a mount fails: the drive, a loop device, the shared directory.
pub(super) fn run(job: &ObserveJob, out: &Path) -> Result<Vec<Sight>> {
    let _drive = match &job.drive {
        Some(device) => Some(attach(device)?),
        None => None,
    };
    let next = AtomicUsize::new(0);
    let sights = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| -> Result<()> {
        let work = || -> Result<()> {
            while let Some(row) = job.rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                let seen =
                    row_sights(row, job, out).with_context(|| format!("image {}", row.name))?;
                sights
                    .lock()
                    .unwrap_or_else(|e| e.into_inner())
                    .push((row.name.clone(), seen));
            }
            Ok(())
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("an observer panicked"))??;
        }
        Ok(())
    })?;
    let mut seen = sights.into_inner().unwrap_or_else(|e| e.into_inner());
    let place = |name: &str| job.rows.iter().position(|row| row.name == name);
    seen.sort_by_key(|(name, _)| place(name));
    Ok(seen.into_iter().flat_map(|(_, sights)| sights).collect())
}

/// Mounts the drive with the images.
pub(super) fn attach(device: &str) -> Result<Mounted> {
    Mounted::plain(
        "ext4",
        Path::new(device),
        Path::new(drive::MOUNT_POINT),
        "noload",
    )?
    .map_err(|errno| anyhow::anyhow!("the drive {device} does not mount: {errno}"))
}

fn row_sights(row: &Row, job: &ObserveJob, out: &Path) -> Result<Vec<Sight>> {
    let mut sights: Vec<Sight> = Vec::new();
    // Most accounts of an image are equal: each one is written once.
    let mut written: Vec<(String, Observation)> = Vec::new();
    for (n, observer) in row.observers.iter().enumerate() {
        let begin = Instant::now();
        let point = Path::new("/run/ondine/mnt").join(format!("{}-{n}", row.name));
        let (account, unmounted) = match Mounted::image(row, observer, &point)? {
            Err(errno) => (Account::Refused(errno), Ok(())),
            Ok(mounted) => {
                let seen = ondine_model::observe::directory(&mounted.point, &job.limits.options());
                let unmounted = mounted.unmount();
                let known = written.iter().find(|(_, known)| *known == seen);
                let file = match known {
                    Some((file, _)) => file.clone(),
                    None => {
                        let file = format!("{}-{n}.json", row.name);
                        fs::write(out.join(&file), seen.to_json()?)?;
                        written.push((file.clone(), seen));
                        file
                    }
                };
                (Account::Tree(file), unmounted)
            }
        };
        let seconds = begin.elapsed().as_secs_f64();
        eprintln!("  {:<18} {observer} {seconds:.1} s", row.name);
        sights.push(Sight {
            row: row.name.clone(),
            observer: observer.clone(),
            seconds,
            account,
            unmount: unmounted.err(),
        });
    }
    Ok(sights)
}

impl Sight {
    /// Reads the account back, on the host.
    ///
    /// # Errors
    /// When the file is not there or not one of ours.
    pub fn outcome(&self, dir: &Path) -> Result<Result<Observation, Errno>> {
        Ok(match &self.account {
            Account::Refused(errno) => Err(*errno),
            Account::Tree(file) => Ok(Observation::from_json(&fs::read_to_string(
                dir.join(file),
            )?)?),
        })
    }
}
