// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `density`: how many images one machine holds, and what each costs.

use std::time::Duration;

use anyhow::{bail, Result};

use super::guest::{Density, DensityJob};
use super::sample;
use crate::compare::look::Desk;
use crate::images::drive;
use crate::Setup;

/// Bytes of the disk with the cache.
const DISK: u64 = 1 << 30;
/// Bytes that may be gone when all is unmounted, however many mounts there were: less than one each.
const ROOM: i64 = 4 << 20;

/// What `density` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct DensityArgs {
    /// Mounts that share their blobs
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub mounts: u32,

    /// Further mounts with blobs of their own
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub alone: u32,
}

/// `cargo vmtest density`: whether all could be mounted and read, and nothing is left of them.
///
/// # Errors
/// When it could not be tried.
pub fn main(setup: &Setup, args: &DensityArgs) -> Result<bool> {
    let image = sample::image_of_twenty(setup)?;
    let (images, names) = sample::parts(&image);
    let desk = Desk::new(setup.cache())?;
    let disk = desk.path().join("disk");
    drive::format(setup.cache(), &disk, None, DISK)?;
    let job = DensityJob {
        disk: "/dev/vda".into(),
        mounts: args.mounts,
        alone: args.alone,
        images,
        names,
    };
    let boot = setup.boot()?.memory("2G").limit(Duration::from_secs(3600));
    let (answer, run) = desk.ask(boot.drive(&disk, false), "density", &job)?;
    let density: Density = match answer {
        Some(density) => density,
        None if run.exit_code.is_some() || !run.problems.is_empty() => {
            println!("FAILED  {}", run.complaint());
            return Ok(false);
        }
        None => bail!("{}", run.complaint()),
    };
    setup.report(&density)?;
    let (mounts, blobs) = (args.mounts, density.blobs);
    println!(
        "{mounts} mounts of {blobs} blobs that all share, {} files compared",
        density.files
    );
    println!("{:>10} us for each mount(2)", density.mount_us);
    println!("{:>10} bytes for each mount", density.per_mount);
    println!("{:>10} bytes for each further blob", density.per_blob);
    println!("{:>10} bytes gone when all is unmounted", density.left);
    for (name, objects) in &density.slabs {
        println!("{objects:>10} objects of {name}");
    }
    for (name, objects) in &density.kept {
        println!("{objects:>10} objects of {name} KEPT when all is unmounted");
    }
    Ok(density.left < ROOM && density.kept.is_empty())
}
