// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What runs inside the virtual machine: `vmtest guest WHAT JOB OUT`, a hidden command.
//!
//! JOB is a JSON file that the host wrote; OUT is the JSON file that answers it. Both lie in a
//! directory that host and guest share.

pub mod behave;
pub(crate) mod conform;
pub mod cycle;
pub mod job;
pub mod mounts;
pub mod nydus;
pub(crate) mod observe;
pub(crate) mod sys;

use std::fs;
use std::path::Path;

use anyhow::{bail, Context, Result};
use serde::de::DeserializeOwned;
use serde::Serialize;

use crate::faults::guest as faults;
use crate::on_demand::guest as on_demand;

/// Does `what` as the job says.
///
/// # Errors
/// When the job could not be done; what a driver answered is in OUT instead.
pub fn run(what: &str, job: &Path, out: &Path) -> Result<()> {
    match what {
        "observe" => {
            let dir = out.parent().context("OUT has no directory")?;
            answer(out, &observe::run(&read(job)?, dir)?)
        }
        "behave" => answer(out, &behave::run(&read(job)?)?),
        "nydus" => {
            let dir = out.parent().context("OUT has no directory")?;
            answer(out, &nydus::run(&read(job)?, dir)?)
        }
        "cycle" => answer(out, &cycle::run(&read(job)?)?),
        "on-demand" => {
            let dir = out.parent().context("OUT has no directory")?;
            answer(out, &on_demand::states::run(&read(job)?, dir)?)
        }
        "miss" => answer(out, &on_demand::miss::run(&read(job)?)?),
        "miss-work" => answer(out, &on_demand::miss::work(&read(job)?)?),
        "conform" => answer(out, &conform::run(&read(job)?)?),
        "act" => conform::act(),
        "bench" => answer(out, &crate::bench::guest::run(&read(job)?)?),
        "faults" => answer(out, &faults::run(&read(job)?)?),
        "density" => answer(out, &faults::density(&read(job)?)?),
        "fill" => faults::fill(&read(job)?),
        "handle" => faults::handle(&read(job)?),
        "serve" => faults::serve(&read(job)?),
        _ => bail!("no guest program is called {what:?}"),
    }
}

fn read<T: DeserializeOwned>(job: &Path) -> Result<T> {
    let text = fs::read(job).with_context(|| format!("cannot read {}", job.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no job", job.display()))
}

fn answer<T: Serialize>(out: &Path, value: &T) -> Result<()> {
    fs::write(out, serde_json::to_vec(value)?)
        .with_context(|| format!("cannot write {}", out.display()))
}
