// SPDX-License-Identifier: Apache-2.0 OR MIT

//! RAFS images that an unmodified nydusd serves, to ondine and to the C driver of Linux 6.12: what
//! both show is compared with what the model makes of the bootstrap and the decoded blob.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, Context, Result};
use ondine_model::observation::{diff_outcomes, Entry, Errno, Kind, Observation, Scope, Text};
use vmtest_lab::images::rafs::{self, LeftOut, Rafs};
use vmtest_lab::images::{debian_root, disk, ImageSpec};
use vmtest_lab::provision::nydus;
use vmtest_lab::workspace::KernelName;
use vmtest_lab::Setup;
use vmtest_wire::disk::{DiskFs, Journal};
use vmtest_wire::image::{Limits, MountOutcome, Outcome};
use vmtest_wire::nydus::{Image, MountReport, NydusJob, Restart, Served};

use super::compare::host_observers::{self, Known};
use super::compare::{report, verdict};
use crate::guest_call::GuestSession;

/// Bytes of the drive for the cache.
const STORE: u64 = 2 << 30;
/// Time limit of a guest.
const LIMIT: Duration = Duration::from_secs(1800);
/// Differences that are told of one account.
const SHOWN: usize = 3;

/// Description of a test, and the reason if it failed.
pub type Row = (String, Option<String>);

/// A driver that mounts what nydusd serves.
struct Side {
    setup: Setup,
    fs: &'static str,
    name: &'static str,
}

/// Tests all images with the drivers (`ondine`, `erofs`) that `wants` selects. Returns the results, and the
/// samples that were left out with the reason.
///
/// # Errors
/// When the guest could not run the job.
pub fn run(setup: &Setup, wants: impl Fn(&str) -> bool) -> Result<(Vec<Row>, Vec<LeftOut>)> {
    let cache = setup.cache();
    let nydus = nydus::ensure(cache)?;
    let (mut images, left_out) = rafs::samples(setup.repo(), cache)?;
    images.push(rafs::converted(
        cache,
        &nydus,
        "minbase",
        &debian_root::tree(cache)?,
    )?);
    let specs: Vec<ImageSpec> = images.iter().map(|image| image.spec.clone()).collect();
    let known = host_observers::known(&specs, &Limits::default().options())?;
    let mut rows: Vec<Row> = specs.iter().zip(&known).map(here).collect();
    for side in sides(setup, wants)? {
        let asked = Asked {
            side: &side,
            images: &images,
            known: &known,
        };
        rows.extend(asked.rows(&nydus.daemon)?);
    }
    Ok((rows, left_out))
}

fn sides(setup: &Setup, wants: impl Fn(&str) -> bool) -> Result<Vec<Side>> {
    let mut sides = Vec::new();
    if wants("ondine") {
        sides.push(Side {
            setup: Setup::new(setup.options().clone())?,
            fs: "ondine",
            name: "ondine",
        });
    }
    if wants("erofs") {
        sides.push(Side {
            setup: setup.with_kernel(KernelName::Oracle)?,
            fs: "erofs",
            name: "C erofs, Linux 6.12",
        });
    }
    Ok(sides)
}

/// Compares the observations that need no guest.
fn here((spec, known): (&ImageSpec, &Known)) -> Row {
    let verdict = verdict::on(spec, known, &[]);
    let name = format!(
        "RAFS image: {} ({} accounts of {} paths equal the model's)",
        spec.name,
        verdict.observers.len(),
        verdict.paths
    );
    let failed = (!verdict.holds()).then(|| report::differences(&verdict, SHOWN));
    (name, failed)
}

/// The images to mount on one side, with the expected trees.
struct Asked<'a> {
    side: &'a Side,
    images: &'a [Rafs],
    known: &'a [Known],
}

impl Asked<'_> {
    fn rows(&self, program: &Path) -> Result<Vec<Row>> {
        let setup = &self.side.setup;
        let session = GuestSession::new(setup.cache())?;
        let store = session.path().join("store");
        disk::empty(&store, DiskFs::Ext4, Journal::Without, STORE)?;
        let boot = match self.side.fs {
            "ondine" => setup.boot()?,
            _ => setup.boot_without_module()?,
        };
        let boot = boot.memory("2G").limit(LIMIT).drive(&store, false);
        let served = session.call(boot, &self.job(program)?)?;
        self.judged(&served, session.path())
    }

    fn job(&self, program: &Path) -> Result<NydusJob> {
        let model = self.last_model()?;
        let mut files: Vec<(PathBuf, u64)> = Vec::new();
        for (path, entry) in &model.entries {
            let regular = entry.stat.as_ref().ok().filter(|s| s.kind == Kind::Regular);
            if let (Some(stat), Ok(path)) = (regular, std::str::from_utf8(path.as_bytes())) {
                files.push((path.into(), stat.size));
            }
        }
        let (before, rest) = files.split_at(files.len() / 4);
        let beyond = rest.iter().max_by_key(|(_, size)| size);
        let image = |image: &Rafs| Image {
            name: image.spec.name.clone(),
            bootstrap: image.spec.primary.clone(),
            blobs: image.stored.0.clone(),
            names: image.stored.1.clone(),
            sums: image.sums.clone(),
        };
        Ok(NydusJob {
            program: program.to_owned(),
            drive: "/dev/vda".into(),
            fs: self.side.fs.to_owned(),
            images: self.images.iter().map(image).collect(),
            before: before.iter().map(|(path, _)| path.clone()).collect(),
            beyond: beyond.context("no file to read")?.0.clone(),
        })
    }

    fn last_model(&self) -> Result<&Observation> {
        let known = self.known.last().context("no image")?;
        known
            .model
            .as_ref()
            .map_err(|errno| anyhow::anyhow!("the model refuses the last image: {errno}"))
    }

    fn judged(&self, served: &Served, session: &Path) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let each = self.images.iter().zip(self.known).zip(&served.alone);
        for ((image, known), sight) in each {
            rows.push(self.row(&image.spec.name, sight, image, known, session)?);
        }
        let (Some(image), Some(known)) = (self.images.first(), self.known.first()) else {
            bail!("no image");
        };
        let name = &image.spec.name;
        for (sight, which) in served.shared.iter().zip(["first", "second"]) {
            let what = format!("{name}, {which} of two in a domain");
            rows.push(self.row(&what, sight, image, known, session)?);
        }
        rows.push(self.once(image, &served.shared)?);
        let (Some(image), Some(known)) = (self.images.last(), self.known.last()) else {
            bail!("no image");
        };
        rows.extend(self.restart(image, known, &served.restart, session)?);
        for (_, failed) in &mut rows {
            if let Some(why) = failed {
                why.push_str(&format!("nydusd said:\n{}", served.log));
            }
        }
        Ok(rows)
    }

    /// `what` one mount of an image shows.
    fn row(
        &self,
        what: &str,
        sight: &MountReport,
        of: &Rafs,
        known: &Known,
        session: &Path,
    ) -> Result<Row> {
        let seen: Outcome = match &sight.account {
            MountOutcome::Refused(errno) => Err(*errno),
            MountOutcome::Tree(file) => Ok(Observation::from_json(&std::fs::read_to_string(
                session.join(file),
            )?)?),
        };
        let name = format!(
            "nydusd serves {what} [{}]: {} paths, {}, {} bytes fetched, {} cached, {:.1} s",
            self.side.name,
            known.model.as_ref().map_or(0, Observation::paths),
            digests(sight, seen.as_ref().ok(), of, known),
            sight.fetched,
            sight.filled,
            sight.seconds
        );
        Ok((name, self.compare(&known.model, &seen, sight)))
    }

    /// Two mounts that share a blob have it fetched once.
    fn once(&self, image: &Rafs, sights: &[MountReport]) -> Result<Row> {
        let [first, second] = sights else {
            bail!("two mounts were asked for");
        };
        let bootstrap = std::fs::metadata(&image.spec.primary)?.len();
        let again = second.fetched.saturating_sub(first.fetched);
        let more = second.filled.saturating_sub(bootstrap);
        let failed = (first.fetched == 0 || again > 0 || more > 0).then(|| {
            format!(
                "{} bytes are fetched for the first; for the second {again}, and {more} are cached\n",
                first.fetched
            )
        });
        let name = format!(
            "nydusd fetches a blob once for two mounts of a domain [{}]",
            self.side.name
        );
        Ok((name, failed))
    }

    /// A daemon dies. In ondine what was read stays readable, and the same mount reads everything
    /// over the next daemon; the C driver withdraws the cache, and only a new mount reads again.
    fn restart(
        &self,
        image: &Rafs,
        known: &Known,
        seen: &Restart,
        session: &Path,
    ) -> Result<Vec<Row>> {
        let side = self.side.name;
        let gone = Err(Errno::ENOBUFS);
        let wanted = match self.side.fs {
            "ondine" => (Ok(()), Err(Errno::EIO), Ok(())),
            _ => (gone, gone, gone),
        };
        let found = (seen.known, seen.unknown, seen.then);
        let mut rows = vec![(
            format!(
                "nydusd is killed [{side}]: reading what is cached: {}, what is not: {}; \
                 with another nydusd, through the same mount: {}",
                told(found.0),
                told(found.1),
                told(found.2)
            ),
            (found != wanted).then(|| {
                format!(
                    "wanted: {}, {}, {}\n",
                    told(wanted.0),
                    told(wanted.1),
                    told(wanted.2)
                )
            }),
        )];
        let name = &image.spec.name;
        for (sight, which) in [(seen.old.as_ref(), "old"), (seen.new.as_ref(), "new")] {
            if let Some(sight) = sight {
                let what = format!("{name} after a restart, the {which} mount");
                rows.push(self.row(&what, sight, image, known, session)?);
            }
        }
        Ok(rows)
    }

    fn compare(&self, model: &Outcome, seen: &Outcome, sight: &MountReport) -> Option<String> {
        let scope = Scope::all("the model", self.side.name);
        let differences = diff_outcomes(model, seen, &scope);
        let mut lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
        lines.extend(
            sight
                .wrong
                .iter()
                .map(|file| format!("wrong sha256: {file}")),
        );
        lines.extend(sight.unmount.map(|errno| format!("unmount gives {errno}")));
        if lines.is_empty() {
            return None;
        }
        let count = lines.len();
        lines.truncate(SHOWN);
        Some(format!("{}\n{count} in all\n", lines.join("\n")))
    }
}

/// Counts the files whose digests match the source tree of the image, or the list of checksums that came with it.
fn digests(sight: &MountReport, seen: Option<&Observation>, of: &Rafs, known: &Known) -> String {
    let Some(source) = &known.source else {
        let right = seen.map_or(0, |_| of.sums.len() - sight.wrong.len());
        return format!("{right} of {} sha256 right", of.sums.len());
    };
    let files = || {
        source
            .entries
            .iter()
            .filter(|(_, entry)| entry.content.is_some())
    };
    let same = |(path, entry): &(&Text, &Entry)| {
        seen.and_then(|seen| seen.entries.get(*path))
            .is_some_and(|found| found.content == entry.content)
    };
    let (right, all) = (files().filter(same).count(), files().count());
    format!("{right} of {all} digests are the source tree's")
}

fn told(result: Result<(), Errno>) -> String {
    match result {
        Ok(()) => "succeeds".to_owned(),
        Err(errno) => errno.to_string(),
    }
}
