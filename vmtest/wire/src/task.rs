// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The link between a guest program's name, its job and its answer.

use serde::de::DeserializeOwned;
use serde::Serialize;

use crate::bench::Job as BenchJob;
use crate::conform::job::ConformJob;
use crate::faults::{DensityJob, FaultJob, PowerJob};
use crate::flood::FloodJob;
use crate::image::ObserveJob;
use crate::load_unload::LoadUnloadJob;
use crate::misses::Job as MissJob;
use crate::nydus::NydusJob;
use crate::on_demand::Job as OnDemandJob;
use crate::vfs_checks::VfsCheckJob;

/// The job of a guest program. The host passes it to the guest as a JSON file and gets the answer as
/// another: `vmtest guest NAME JOB ANSWER`.
pub trait Task: Serialize + DeserializeOwned {
    /// The program's name on that command line.
    const NAME: &'static str;
    /// The program's answer.
    type Answer: Serialize + DeserializeOwned;
}

macro_rules! tasks {
    ($($job:ty => $name:literal -> $answer:ty),+ $(,)?) => {
        $(impl Task for $job {
            const NAME: &'static str = $name;
            type Answer = $answer;
        })+

        /// The names of all guest programs.
        pub const NAMES: &[&str] = &[$(<$job>::NAME),+];
    };
}

tasks! {
    ObserveJob => "observe" -> Vec<crate::image::ObserverReport>,
    VfsCheckJob => "vfs-checks" -> Vec<crate::vfs_checks::CheckResult>,
    LoadUnloadJob => "load-unload" -> crate::load_unload::LeakReport,
    NydusJob => "nydus" -> crate::nydus::Served,
    OnDemandJob => "on-demand" -> crate::on_demand::Answer,
    MissJob => "misses" -> crate::misses::Answer,
    ConformJob => "conform" -> (),
    BenchJob => "bench" -> crate::bench::Findings,
    FaultJob => "faults" -> crate::faults::FaultAnswer,
    PowerJob => "power-cut" -> (),
    DensityJob => "density" -> crate::faults::Density,
    FloodJob => "flood" -> crate::flood::Flood,
}
