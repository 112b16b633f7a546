// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Observation of images by the drivers of a guest.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use vmtest_lab::cache::Cache;
use vmtest_lab::images::image_drive::Drive;
use vmtest_lab::images::ImageSpec;
use vmtest_lab::vm::Boot;
use vmtest_wire::image::{Limits, ObserveJob, Observer, ObserverReport, Outcome};

use crate::guest_call::GuestSession;

/// Time limit of a guest for a matrix: several times what emulation on two cores needs.
const LIMIT: Duration = Duration::from_secs(1800);

/// Observation of one image by one observer.
pub struct Seen {
    /// Position of the image among those asked for.
    pub image: usize,
    /// The observer.
    pub observer: Observer,
    /// The observed tree, or the errno of the mount.
    pub outcome: Outcome,
    /// Errno of the unmount, if it failed.
    pub unmount: Option<ondine_model::observation::Errno>,
    /// Seconds of guest time.
    pub seconds: f64,
}

/// Boots once and has each image, which `drive` holds, looked at by the observers that `who` names for it.
///
/// # Errors
/// When the guest could not run the job, and also when the guest's kernel complained: its lines are in the
/// error.
pub fn in_guest(
    cache: &Cache,
    boot: Boot,
    images: &[ImageSpec],
    drive: &Drive,
    limits: Limits,
    who: impl Fn(&ImageSpec) -> Vec<Observer>,
) -> Result<Vec<Seen>> {
    let session = GuestSession::new(cache)?;
    let job = ObserveJob {
        drive: Some("/dev/vda".to_owned()),
        limits,
        rows: drive.numbered_rows(images, who),
    };
    let boot = boot.memory("2G").limit(LIMIT).drive(&drive.file, true);
    let sights = session.call(boot, &job)?;
    for row in &job.rows {
        for observer in &row.observers {
            let seen =
                |sight: &ObserverReport| sight.row == row.name && sight.observer == *observer;
            ensure!(
                sights.iter().any(seen),
                "the guest has no account of {} by {observer}",
                row.name
            );
        }
    }
    sights
        .into_iter()
        .map(|sight| {
            let image = job.rows.iter().position(|row| row.name == sight.row);
            Ok(Seen {
                image: image.context("the guest answered for an image that is not in the job")?,
                outcome: sight.outcome(session.path())?,
                observer: sight.observer,
                unmount: sight.unmount,
                seconds: sight.seconds,
            })
        })
        .collect()
}
