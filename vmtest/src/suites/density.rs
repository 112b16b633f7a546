// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The command `density`: the memory that many mounted images cost.

use std::time::Duration;

use anyhow::Result;
use vmtest_lab::images::disk;
use vmtest_lab::Setup;
use vmtest_wire::disk::{DiskFs, Journal};
use vmtest_wire::faults::{Density, DensityJob};

use super::faults::image;
use crate::guest_call::GuestSession;

/// Bytes of the disk with the cache.
const DISK: u64 = 1 << 30;
/// Bytes that may be gone when all is unmounted, however many mounts there were: less than one each.
const ROOM: i64 = 4 << 20;

/// Arguments of `density`.
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
/// When the guest could not run the job.
pub fn main(setup: &Setup, args: &DensityArgs) -> Result<bool> {
    let density = match measure(setup, args)? {
        Ok(density) => density,
        Err(why) => {
            println!("FAILED  {why}");
            return Ok(false);
        }
    };
    setup.report(&density)?;
    println!("{}", tried(args, &density));
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
    Ok(leak(&density).is_none())
}

/// Measures, and returns a description of the test and the reason if it failed.
///
/// # Errors
/// When the guest could not run the job.
pub fn check(setup: &Setup, args: &DensityArgs) -> Result<(String, Option<String>)> {
    Ok(match measure(setup, args)? {
        Ok(density) => (tried(args, &density), leak(&density)),
        Err(why) => (format!("{} mounts", args.mounts), Some(why)),
    })
}

fn tried(args: &DensityArgs, density: &Density) -> String {
    format!(
        "{} mounts of {} blobs that all share, {} files compared",
        args.mounts, density.blobs, density.files
    )
}

/// Describes the objects and bytes left after unmounting, if there are too many.
fn leak(density: &Density) -> Option<String> {
    let Density { left, kept, .. } = density;
    (*left >= ROOM || !kept.is_empty()).then(|| {
        format!("when all is unmounted, {left} bytes are gone, and these objects kept: {kept:?}")
    })
}

/// Measures in a guest; the inner error is the reason of a failed test.
fn measure(setup: &Setup, args: &DensityArgs) -> Result<Result<Density, String>> {
    let image = image::image_of_twenty(setup)?;
    let (images, names) = image::parts(&image);
    let session = GuestSession::new(setup.cache())?;
    let disk = session.path().join("disk");
    disk::empty(&disk, DiskFs::Ext4, Journal::Without, DISK)?;
    let job = DensityJob {
        disk: "/dev/vda".into(),
        mounts: args.mounts,
        alone: args.alone,
        images,
        names,
    };
    let boot = setup.boot()?.memory("2G").limit(Duration::from_secs(3600));
    session.judged(boot.drive(&disk, false), &job)
}
