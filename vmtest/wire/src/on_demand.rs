// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The job of the suite that mounts images on demand with empty, half full and full caches, and its
//! answer.

use std::path::PathBuf;

use ondine_model::observation::Errno;
use ondined::session::Statistics;
use serde::{Deserialize, Serialize};

use super::counters::Counters;
use super::image::{Limits, ObserverReport, Row};

/// The job of `vmtest guest on-demand`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The drive with the images.
    pub images: String,
    /// The writable drive for the cache.
    pub cache: String,
    /// The path of `ondined`.
    pub daemon: PathBuf,
    /// Limits of each observation.
    pub limits: Limits,
    /// The images to observe. Each observer of a row has its state of the cache.
    pub rows: Vec<Row>,
    /// Images whose mount must fail.
    pub refused: Vec<Row>,
    /// The image whose file `large` is read for [`Answer::counts`], [`Answer::lost`] and
    /// [`Answer::replaced`], and a second image.
    pub counted: [Row; 2],
}

/// The answer to a [`Job`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The results of [`Job::rows`].
    pub served: Vec<Served>,
    /// The errno of each mount of [`Job::refused`]; `None` if it succeeded.
    pub refused: Vec<(String, Option<Errno>)>,
    /// The failure of the check that the counters match the reads made, if it failed.
    pub counts: Option<String>,
    /// The failure of the check that a reader gets the backend's errno, if it failed.
    pub lost: Option<String>,
    /// The failure of the check that bytes of two versions of a blob are never mixed, if it failed.
    pub replaced: Option<String>,
}

/// The result for one image with one state of the cache.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Served {
    /// The observation.
    pub sight: ObserverReport,
    /// Bytes of the image and its blobs.
    pub bytes: u64,
    /// Bytes that were missing in the cache before the mount, in whole pages.
    pub missing: u64,
    /// The daemon's counters.
    pub daemon: Statistics,
    /// The mount's counters.
    pub counters: Counters,
}
