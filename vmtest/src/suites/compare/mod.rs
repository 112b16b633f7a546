// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Comparing every observer's account of every image: the commands `run` and `diff`.

pub mod guest_observers;
pub mod host_observers;
pub mod pure_crate;
pub mod report;
pub mod verdict;

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure, Result};
use ondine_model::observation::Kind;
use serde::Serialize;
use vmtest_lab::images::image_drive::{self, Drive};
use vmtest_lab::images::{self, debian_root, ExpectedDifferences, ImageSpec, Tree};
use vmtest_lab::Setup;
use vmtest_wire::image::{Limits, Observer};

use crate::guest_call::GuestSession;
use verdict::Verdict;

/// Arguments of `run`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RunArgs {
    /// A directory to make images of, or an image; a Debian root tree unless told
    pub path: Option<PathBuf>,

    /// Only the images whose name contains this
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,

    /// Blobs of an image, in slot order
    #[arg(long, value_name = "BLOB")]
    pub device: Vec<PathBuf>,

    /// Only this driver
    #[arg(long, value_name = "FSTYPE", value_parser = ["ondine", "erofs"])]
    pub driver: Option<String>,

    /// Serve each image over HTTP instead, and look through an empty, a full and half a cache
    #[arg(long, conflicts_with = "driver")]
    pub on_demand: bool,
}

/// Arguments of `diff`.
#[derive(Clone, Debug, clap::Args)]
pub struct DiffArgs {
    /// The image
    pub image: PathBuf,

    /// Its blobs, in slot order
    #[arg(long, value_name = "BLOB")]
    pub device: Vec<PathBuf>,

    /// Differences to print
    #[arg(long, default_value_t = 20)]
    pub first: usize,
}

#[derive(Serialize)]
struct Report<'a> {
    holds: bool,
    images: &'a [Verdict],
}

/// The command `run` without `--on-demand`: true when no account differs.
///
/// # Errors
/// When the guest could not run the job.
pub fn run(setup: &Setup, args: &RunArgs) -> Result<bool> {
    let specs = specs(setup, args)?;
    let verdicts = verdicts(setup, &specs, args.driver.as_deref())?;
    print!("{}", report::render(&verdicts));
    report(setup, &verdicts)
}

/// The command `diff`: true when no account differs.
///
/// # Errors
/// When the guest could not run the job.
pub fn diff(setup: &Setup, args: &DiffArgs) -> Result<bool> {
    ensure!(
        !args.image.is_dir(),
        "{} is a directory: `cargo vmtest run {0}` makes images of it",
        args.image.display()
    );
    let verdicts = verdicts(setup, &[given(&args.image, &args.device)?], None)?;
    for verdict in &verdicts {
        print!("{}", report::differences(verdict, args.first));
        println!(
            "{}: {} paths, {} bytes, {} accounts compared with the model, {} differences",
            args.image.display(),
            verdict.paths,
            verdict.bytes,
            verdict.observers.len(),
            verdict.differences.len()
        );
    }
    report(setup, &verdicts)
}

fn report(setup: &Setup, verdicts: &[Verdict]) -> Result<bool> {
    let holds = verdicts.iter().all(Verdict::holds);
    setup.report(&Report {
        holds,
        images: verdicts,
    })?;
    Ok(holds)
}

/// Has every observer (or those of one driver) look at `specs` and compares the accounts.
///
/// # Errors
/// When the guest could not run the job.
pub fn verdicts(setup: &Setup, specs: &[ImageSpec], driver: Option<&str>) -> Result<Vec<Verdict>> {
    let drive = image_drive::pack(setup.cache(), specs)?;
    judge(setup, specs, &drive, Limits::default(), |spec| {
        let mut observers = host_observers::observers(spec).0;
        observers.retain(|o| driver.is_none_or(|only| o.fs == only));
        observers
    })
}

/// Has the observers that `who` names for each of `specs` look at it, within `limits`.
///
/// # Errors
/// When the guest could not run the job.
pub fn judge(
    setup: &Setup,
    specs: &[ImageSpec],
    drive: &Drive,
    limits: Limits,
    who: impl Fn(&ImageSpec) -> Vec<Observer>,
) -> Result<Vec<Verdict>> {
    let ondine = specs
        .iter()
        .any(|spec| who(spec).iter().any(|o| o.fs == "ondine"));
    let boot = if ondine {
        setup.boot()?
    } else {
        setup.boot_without_module()?
    };
    let (known, seen) = std::thread::scope(|scope| {
        let here = scope.spawn(|| host_observers::known(specs, &limits.options()));
        let there = guest_observers::in_guest(setup.cache(), boot, specs, drive, limits, &who);
        (here.join(), there)
    });
    let known = known.map_err(|_| anyhow::anyhow!("a reader of images panicked"))??;
    let seen = seen?;
    let of = |n: usize| seen.iter().filter(|s| s.image == n).collect::<Vec<_>>();
    let both = specs.iter().zip(&known).enumerate();
    Ok(both
        .map(|(n, (spec, known))| verdict::on(spec, known, &of(n)))
        .collect())
}

/// The gallery of the model's writer, judged; and the samples and files that no guest reads, with the
/// reason.
///
/// # Errors
/// When the guest could not run the job.
pub fn gallery(setup: &Setup, driver: Option<&str>) -> Result<(Vec<Verdict>, Vec<Unread>)> {
    let session = GuestSession::new(setup.cache())?;
    let (specs, huge) = images::model_gallery::images(session.path())?;
    let drive = image_drive::pack_in(setup.cache(), session.path(), &specs)?;
    // A file of gigabytes, all hole, takes minutes to digest under emulation; the in-process tests
    // read it.
    let limits = Limits {
        file_bytes: 512 << 20,
        ..Limits::default()
    };
    let verdicts = judge(setup, &specs, &drive, limits, |spec| {
        let mut observers = host_observers::observers(spec).0;
        observers.retain(|o| driver.is_none_or(|only| o.fs == only));
        observers
    })?;
    let too_large = "it is too large for a guest's drive";
    let mut left_out: Vec<_> = huge
        .into_iter()
        .map(|name| (name.to_owned(), too_large.to_owned()))
        .collect();
    for spec in &specs {
        left_out.extend(unread(spec, &limits));
    }
    Ok((verdicts, left_out))
}

/// A sample, or a file of one, that no guest reads; and why.
pub type Unread = (String, String);

/// The files of `spec` whose bytes are left out under `limits`.
fn unread(spec: &ImageSpec, limits: &Limits) -> Vec<Unread> {
    let entries = spec.expected.iter().flat_map(|tree| &tree.entries);
    let sizes = entries.filter_map(|(path, entry)| {
        let stat = entry.stat.as_ref().ok()?;
        let large = stat.kind == Kind::Regular && stat.size > limits.file_bytes;
        large.then_some((path, stat.size))
    });
    sizes
        .map(|(path, size)| {
            let why = format!("its {size} bytes take minutes to read under emulation");
            (format!("the bytes of {path} in {}", spec.name), why)
        })
        .collect()
}

/// The images that the arguments of `run` ask for.
///
/// # Errors
/// When an image is missing or cannot be made, or the arguments contradict one another.
pub fn specs(setup: &Setup, args: &RunArgs) -> Result<Vec<ImageSpec>> {
    match &args.path {
        Some(image) if !image.is_dir() => Ok(vec![given(image, &args.device)?]),
        _ if !args.device.is_empty() => bail!("--device goes with an image"),
        Some(dir) => matrix(setup, dir, args.only.as_deref()),
        None => matrix(
            setup,
            &debian_root::tree(setup.cache())?,
            args.only.as_deref(),
        ),
    }
}

/// The matrix of the tree at `root`.
///
/// # Errors
/// When an image cannot be made.
pub fn matrix(setup: &Setup, root: &Path, only: Option<&str>) -> Result<Vec<ImageSpec>> {
    let mkfs = setup.erofs_utils()?.mkfs;
    images::matrix(setup.cache(), &mkfs, &Tree::open(root)?, only)
}

/// Describes an image given on the command line.
fn given(image: &Path, devices: &[PathBuf]) -> Result<ImageSpec> {
    let there = |path: &Path| {
        path.canonicalize()
            .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
    };
    let name = image.file_name().unwrap_or(image.as_os_str());
    Ok(ImageSpec {
        name: name.to_string_lossy().into_owned(),
        primary: there(image)?,
        devices: devices.iter().map(|d| there(d)).collect::<Result<_>>()?,
        options: Vec::new(),
        source: None,
        terms: ExpectedDifferences::default(),
        expected: None,
    })
}
