// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Observation of every image by every observer.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result};
use ondine_model::observation::Observation;
use vmtest_wire::image::{Limits, MountOutcome, ObserveJob, Observer, ObserverReport, Row};
use vmtest_wire::paths::IMAGE_DISK;

use super::mounts::Mounted;

/// Observes the images of the job; observations go to files in `out`.
///
/// # Errors
/// A failure outside of the mounts under test: of the drive, a loop device or the shared directory.
pub(super) fn run(job: &ObserveJob, out: &Path) -> Result<Vec<ObserverReport>> {
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

/// Mounts the drive with the images, an ext4, at [`IMAGE_DISK`].
pub(crate) fn attach(device: &str) -> Result<Mounted> {
    Mounted::plain("ext4", Path::new(device), Path::new(IMAGE_DISK), "noload")?
        .map_err(|errno| anyhow::anyhow!("mounting the drive {device}: {errno}"))
}

fn row_sights(row: &Row, job: &ObserveJob, out: &Path) -> Result<Vec<ObserverReport>> {
    let mut desk = Observations::new(out);
    let mut look = |observer| desk.look(row, observer, job.limits, || Ok(()));
    row.observers.iter().map(&mut look).collect()
}

/// Observations of one image. Equal ones, which most are, share a file.
pub(crate) struct Observations<'a> {
    out: &'a Path,
    looks: usize,
    written: Vec<(String, Observation)>,
}

impl<'a> Observations<'a> {
    /// Creates an empty set, to be written to files in the directory `out`.
    pub(crate) fn new(out: &'a Path) -> Self {
        Self {
            out,
            looks: 0,
            written: Vec::new(),
        }
    }

    /// Mounts `row` as `observer` says and observes it; `then` is called before the unmount.
    ///
    /// # Errors
    /// A failure of the harness, or of `then`.
    pub(crate) fn look(
        &mut self,
        row: &Row,
        observer: &Observer,
        limits: Limits,
        then: impl FnOnce() -> Result<()>,
    ) -> Result<ObserverReport> {
        let begin = Instant::now();
        let name = format!("{}-{}", row.name, self.looks);
        self.looks += 1;
        let point = Path::new("/run/ondine/mnt").join(&name);
        let (account, unmounted) = match Mounted::image(row, observer, &point)? {
            Err(errno) => (MountOutcome::Refused(errno), Ok(())),
            Ok(mounted) => {
                let seen = ondine_model::observe::directory(&mounted.point, &limits.options());
                then()?;
                let unmounted = mounted.unmount();
                (MountOutcome::Tree(self.file_of(name, seen)?), unmounted)
            }
        };
        let seconds = begin.elapsed().as_secs_f64();
        eprintln!("  {:<18} {observer} {seconds:.1} s", row.name);
        Ok(ObserverReport {
            row: row.name.clone(),
            observer: observer.clone(),
            seconds,
            account,
            unmount: unmounted.err(),
        })
    }

    fn file_of(&mut self, name: String, seen: Observation) -> Result<String> {
        if let Some((file, _)) = self.written.iter().find(|(_, known)| *known == seen) {
            return Ok(file.clone());
        }
        let file = format!("{name}.json");
        fs::write(self.out.join(&file), seen.to_json()?)?;
        self.written.push((file.clone(), seen));
        Ok(file)
    }
}
