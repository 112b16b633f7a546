// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Having every observer in a guest look at every image.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::Serialize;

use crate::guest::job::{Limits, ObserveJob, Observer, Outcome, Row, Sight};
use crate::images::{drive::Drive, ImageSpec};
use crate::provision::Cache;
use crate::vm::{program, Boot, GuestRun, Stdio};

/// How long a guest may take for a matrix: several times what emulation on two cores needs.
const LIMIT: Duration = Duration::from_secs(1800);

/// A directory that host and guest share for one job.
pub struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    /// A new one, in the cache.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(cache: &Cache) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("job-")
            .tempdir_in(cache.dir("tmp")?)?;
        Ok(Self { dir })
    }

    /// Where it is, on both sides.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Has the guest program `what` do `job`; its answer, and how the run went.
    ///
    /// The answer is missing when the guest did not come so far: the run says why.
    ///
    /// # Errors
    /// When the guest could not be started, or answered nonsense.
    pub fn ask<J: Serialize, A: DeserializeOwned>(
        &self,
        boot: Boot,
        what: &str,
        job: &J,
    ) -> Result<(Option<A>, GuestRun)> {
        let (ask, answer) = (
            self.path().join("job.json"),
            self.path().join("answer.json"),
        );
        std::fs::write(&ask, serde_json::to_vec(job)?)?;
        let words: [PathBuf; 5] = [
            program()?.into(),
            "guest".into(),
            what.into(),
            ask,
            answer.clone(),
        ];
        let run = boot.rw(self.path()).stdio(Stdio::Passed).run(words)?;
        if !run.passed() || !answer.exists() {
            return Ok((None, run));
        }
        let text = std::fs::read(&answer)?;
        let read = serde_json::from_slice(&text).context("the guest's answer is not readable")?;
        Ok((Some(read), run))
    }
}

/// What one observer saw, ready to be compared.
pub struct Seen {
    /// Position of the image among those asked for.
    pub image: usize,
    /// The observer.
    pub observer: Observer,
    /// What it saw.
    pub outcome: Outcome,
    /// What the unmount gave, when it failed.
    pub unmount: Option<ondine_model::observation::Errno>,
    /// Seconds of guest time.
    pub seconds: f64,
}

/// Boots once and has each image, which `drive` holds, looked at by the observers that `who` names for it.
///
/// # Errors
/// When it could not be tried, and also when the guest's kernel complained: its lines are in the
/// error.
pub fn in_guest(
    cache: &Cache,
    boot: Boot,
    images: &[ImageSpec],
    drive: &Drive,
    limits: Limits,
    who: impl Fn(&ImageSpec) -> Vec<Observer>,
) -> Result<Vec<Seen>> {
    let desk = Desk::new(cache)?;
    let rows = images.iter().zip(&drive.paths).enumerate();
    let job = ObserveJob {
        drive: Some("/dev/vda".to_owned()),
        limits,
        rows: rows
            .map(|(n, (spec, (primary, devices)))| Row {
                name: format!("{n:03}-{}", spec.name),
                primary: primary.clone(),
                devices: devices.clone(),
                options: spec.options.clone(),
                observers: who(spec),
            })
            .collect(),
    };
    let boot = boot.memory("2G").limit(LIMIT).drive(&drive.file, true);
    let (sights, run): (Option<Vec<Sight>>, _) = desk.ask(boot, "observe", &job)?;
    let sights = match sights {
        Some(sights) => sights,
        None => {
            run.require()?;
            anyhow::bail!("the guest gave no answer");
        }
    };
    sights
        .into_iter()
        .map(|sight| {
            let image = job.rows.iter().position(|row| row.name == sight.row);
            Ok(Seen {
                image: image.context("the guest answered for an image nobody asked for")?,
                outcome: sight.outcome(desk.path())?,
                observer: sight.observer,
                unmount: sight.unmount,
                seconds: sight.seconds,
            })
        })
        .collect()
}
