// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Images on demand: a daemon brings what is read, from a server in the guest.
//!
//! [`run`] compares what is seen through empty, half and full caches with the model; [`misses`](super::misses) counts
//! what a miss costs.

mod report;
pub(crate) mod rows;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{bail, Context, Result};
use ondine_model::observation::Errno;
use serde::Serialize;
use vmtest_lab::images::one_file::one_file;
use vmtest_lab::images::{debian_root, disk, image_drive, ImageSpec};
use vmtest_lab::provision::daemon;
use vmtest_lab::Setup;
use vmtest_wire::counters::agree;
use vmtest_wire::disk::{DiskFs, Journal};
use vmtest_wire::image::{Backing, Fill, Limits, Row};
use vmtest_wire::misses::SIZE;
use vmtest_wire::on_demand::{Job, Served};

use super::compare::guest_observers::Seen;
use super::compare::verdict::{self, Verdict};
use super::compare::{host_observers, matrix};
use crate::guest_call::GuestSession;

pub use report::render;

/// Time limit of a guest for the whole matrix.
const LIMIT: Duration = Duration::from_secs(3600);
/// Bytes of the drive for caches; of what is not written it takes no room.
const CACHES: u64 = 2 << 30;
/// The page size of guests, which is the only block size that images on demand may have.
const PAGE: u32 = 4096;

/// Result of all images.
#[derive(Debug, Serialize)]
pub struct Report {
    /// True if every check passed.
    pub holds: bool,
    /// Each image, through all caches.
    pub images: Vec<Image>,
    /// Images that were not mounted, and why.
    pub left_out: Vec<LeftOut>,
    /// Why the counters do not add up.
    pub counts: Option<String>,
    /// Why a reader does not get the backend's errno.
    pub lost: Option<String>,
    /// Why bytes of two versions of a blob are mixed.
    pub replaced: Option<String>,
}

/// Result of an image, read through all caches.
#[derive(Debug, Serialize)]
pub struct Image {
    /// Comparison of its observations with the model.
    pub verdict: Verdict,
    /// Bytes fetched and READs, for each cache.
    pub served: Vec<Served>,
    /// Faults of the daemon or of the counters.
    pub wrong: Vec<String>,
}

/// An image that an on-demand mount does not take.
#[derive(Debug, Serialize)]
pub struct LeftOut {
    /// The image.
    pub image: String,
    /// Bytes of its blocks.
    pub block_size: u32,
    /// Errno of its mount, which must be EINVAL.
    pub mount: Option<Errno>,
}

impl Image {
    /// Nothing differs, and everything adds up.
    pub fn holds(&self) -> bool {
        self.verdict.holds() && self.wrong.is_empty()
    }
}

impl LeftOut {
    /// The mount was refused, as it is to be.
    pub fn holds(&self) -> bool {
        self.mount == Some(Errno::EINVAL)
    }
}

/// The command `run --on-demand`: true when everything holds.
///
/// # Errors
/// When the guest could not run the job.
pub fn run(setup: &Setup, specs: &[ImageSpec]) -> Result<bool> {
    let report = look(setup, specs)?;
    print!("{}", render(&report));
    setup.report(&report)?;
    Ok(report.holds)
}

/// The rows of the matrix with these names.
///
/// # Errors
/// When one cannot be made.
pub fn rows(setup: &Setup, names: &[&str]) -> Result<Vec<ImageSpec>> {
    let mut specs = matrix(setup, &debian_root::tree(setup.cache())?, None)?;
    specs.retain(|spec| names.contains(&&*spec.name));
    if specs.len() != names.len() {
        bail!("the matrix lacks one of {}", names.join(", "));
    }
    Ok(specs)
}

/// Serves `specs` over HTTP and looks at each through every state of the cache.
///
/// # Errors
/// When the guest could not run the job.
pub fn look(setup: &Setup, specs: &[ImageSpec]) -> Result<Report> {
    let mut blocks = Vec::new();
    for spec in specs {
        blocks.push(block_size(&spec.primary)?);
    }
    let (fit, unfit): (Vec<_>, Vec<_>) = specs.iter().zip(blocks).partition(|(_, b)| *b == PAGE);
    let fit: Vec<ImageSpec> = fit.into_iter().map(|(spec, _)| spec.clone()).collect();
    let mut all = fit.clone();
    all.extend(unfit.iter().map(|(spec, _)| (*spec).clone()));
    let mkfs = setup.erofs_utils()?.mkfs;
    all.push(one_file(setup.cache(), &mkfs, SIZE >> 20)?);
    all.extend(rows(setup, &["plain-4k"])?);
    let drive = image_drive::pack(setup.cache(), &all)?;
    let mut packed: Vec<Row> = rows::packed(&all, &drive);
    let counted = packed.split_off(specs.len());
    let refused = packed.split_off(fit.len());
    let session = GuestSession::new(setup.cache())?;
    let caches = session.path().join("caches");
    disk::empty(&caches, DiskFs::Ext4, Journal::Without, CACHES)?;
    let job = Job {
        images: "/dev/vda".to_owned(),
        cache: "/dev/vdb".to_owned(),
        daemon: daemon::build(setup.workspace())?,
        limits: Limits::default(),
        rows: packed,
        refused,
        counted: counted
            .try_into()
            .map_err(|_| anyhow::anyhow!("two images are counted on"))?,
    };
    let boot = setup.boot()?.memory("2G").limit(LIMIT);
    let boot = boot.drive(&drive.file, true).drive(&caches, false);
    let (known, asked) = std::thread::scope(|scope| {
        let here = scope.spawn(|| host_observers::known(&fit, &job.limits.options()));
        let asked = session.call(boot, &job);
        (here.join(), asked)
    });
    let known = known.map_err(|_| anyhow::anyhow!("a reader of images panicked"))??;
    let answer = asked?;
    let mut images = Vec::new();
    for (n, (spec, known)) in fit.iter().zip(&known).enumerate() {
        let name = &job.rows[n].name;
        let of = |one: &&Served| one.sight.row == *name;
        let served: Vec<Served> = answer.served.iter().filter(of).cloned().collect();
        let mut seen = Vec::new();
        for one in &served {
            seen.push(seen_of(n, one, &session)?);
        }
        images.push(Image {
            verdict: verdict::on(spec, known, &seen.iter().collect::<Vec<_>>()),
            wrong: served.iter().flat_map(wrong).collect(),
            served,
        });
    }
    let left_out: Vec<LeftOut> = unfit
        .iter()
        .zip(answer.refused)
        .map(|((spec, block_size), (_, mount))| LeftOut {
            image: spec.name.clone(),
            block_size: *block_size,
            mount,
        })
        .collect();
    Ok(Report {
        holds: images.iter().all(Image::holds)
            && left_out.iter().all(LeftOut::holds)
            && answer.counts.is_none()
            && answer.lost.is_none()
            && answer.replaced.is_none(),
        images,
        left_out,
        counts: answer.counts,
        lost: answer.lost,
        replaced: answer.replaced,
    })
}

fn seen_of(image: usize, one: &Served, session: &GuestSession) -> Result<Seen> {
    Ok(Seen {
        image,
        outcome: one.sight.outcome(session.path())?,
        observer: one.sight.observer.clone(),
        unmount: one.sight.unmount,
        seconds: one.sight.seconds,
    })
}

/// Lists the faults of the daemon and of the counters in one observation.
fn wrong(one: &Served) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut say = |what: String| wrong.push(format!("{}: {what}", one.sight.observer));
    if let Err(error) = agree(&one.counters, &one.daemon) {
        say(error.to_string());
    }
    let done = &one.daemon;
    if done.bytes_written > one.missing {
        say(format!(
            "{} bytes were written where {} were missing",
            done.bytes_written, one.missing
        ));
    }
    match one.sight.observer.backing {
        Backing::Cache(Fill::Full) if one.missing != 0 || done.reads != 0 => say(format!(
            "{} bytes were missing and {} READs asked for them",
            one.missing, done.reads
        )),
        Backing::Cache(Fill::Empty | Fill::Half) if done.reads == 0 => {
            say("nothing was asked for".to_owned());
        }
        _ => {}
    }
    wrong
}

/// Bytes of the blocks of the image in the file `path`.
fn block_size(path: &Path) -> Result<u32> {
    let mut page = Vec::new();
    let file = File::open(path).with_context(|| path.display().to_string())?;
    file.take(PAGE.into()).read_to_end(&mut page)?;
    let parsed = ondine_erofs::SuperBlock::parse(&page, PAGE);
    let image = parsed.map_err(|defect| anyhow::anyhow!("{}: {defect:?}", path.display()))?;
    Ok(image.block_size())
}
