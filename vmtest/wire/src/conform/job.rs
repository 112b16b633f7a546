// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The job of the protocol scenarios, and the lines of its results.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::step::Step;
use crate::disk::DiskFs;

/// The job of `vmtest guest conform`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConformJob {
    /// The surroundings of the actors.
    pub place: Surroundings,
    /// The writable drive for the caches.
    pub drive: PathBuf,
    /// The file system on it.
    pub disk: DiskFs,
    /// The file for the results: one [`Line`] of JSON each, written as soon as it is known.
    pub results: PathBuf,
    /// The scenarios to play.
    pub parts: Vec<Part>,
}

/// The device, the file system type and the paths that an actor uses.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Surroundings {
    /// The device of the protocol.
    pub device: PathBuf,
    /// The file system type to mount.
    pub fs: String,
    /// True if the kernel under test is Ondine's, false if it is the oracle.
    pub ours: bool,
    /// The directory of complete blobs, each named by its cookie key.
    pub blobs: PathBuf,
    /// The tree that every image contains.
    pub tree: PathBuf,
    /// The cache directory of the scenario. The executor sets it.
    pub cache: PathBuf,
}

/// A scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    /// The scenario's name.
    pub name: String,
    /// The scenario's steps.
    pub steps: Vec<Step>,
}

/// A line of the results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// The scenario with this name begins.
    Begun(String),
    /// The scenario was played to its end.
    Played {
        /// The result of each step.
        results: Vec<String>,
        /// Seconds of guest time.
        seconds: f64,
    },
    /// The scenario left the guest in a state in which no other can be played, for this reason.
    Spoiled(String),
}
