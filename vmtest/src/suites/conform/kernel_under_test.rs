// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The two sides, and playing scenarios on one of them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, Context, Result};
use serde::Serialize;
use vmtest_lab::images::disk;
use vmtest_lab::vm::{Boot, GuestRun};
use vmtest_lab::workspace::KernelName;
use vmtest_lab::Setup;
use vmtest_wire::conform::job::{ConformJob, Line, Part, Surroundings};
use vmtest_wire::conform::step::Step;
use vmtest_wire::disk::{DiskFs, Journal};

use super::images;
use super::matcher::holds;
use super::scenario::Scenario;
use crate::guest_call::GuestSession;

/// Kernel implementation under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Linux 6.12's own code.
    Oracle,
    /// ondine.ko on 7.3.
    Ondine,
    /// ondine.ko in the place of the kernel's own driver: an unmodified `mount -t erofs -o fsid=`; its
    /// device has another name, as beside a kernel's own cachefiles.
    InPlaceOfErofs,
}

/// Device name for [`Side::InPlaceOfErofs`].
const OTHER_DEVICE: &str = "ondine";

/// Result of a scenario.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    /// The result of each step; none when it was not played.
    pub(super) results: Vec<String>,
    /// Steps with another result than is due: number from 0, what was due.
    pub(super) wrong: Vec<(usize, String)>,
    /// Why it was not played to its end, or what it has left behind.
    pub(super) trouble: Option<Trouble>,
    /// Seconds in the guest.
    pub(super) seconds: f64,
}

/// Reason why a scenario was not played, or not to its end.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Trouble {
    /// The scenario does not apply to this side, with the reason.
    LeftOut(String),
    /// The guest died in the scenario.
    Died(String),
    /// The guest was unusable after the scenario.
    Spoiled(String),
}

impl Trouble {
    /// The reason.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::LeftOut(why) | Self::Died(why) | Self::Spoiled(why) => why,
        }
    }
}

/// Bytes of the drive with the caches.
const DRIVE: u64 = 96 << 20;

impl Outcome {
    fn new(trouble: Option<Trouble>) -> Self {
        Self {
            results: Vec::new(),
            wrong: Vec::new(),
            trouble,
            seconds: 0.0,
        }
    }

    /// True if every step had its expected result, or the scenario does not apply to this side.
    pub(super) fn holds(&self) -> bool {
        self.wrong.is_empty() && matches!(self.trouble, None | Some(Trouble::LeftOut(_)))
    }
}

impl Side {
    /// Name of the side, as printed.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Oracle => "oracle",
            Self::Ondine => "ondine",
            Self::InPlaceOfErofs => "ondine as erofs",
        }
    }

    fn steps(self, scenario: &Scenario, disk: DiskFs) -> Vec<Step> {
        match self {
            Self::Oracle => scenario.steps.clone(),
            Self::Ondine | Self::InPlaceOfErofs => scenario.ondines_steps(disk),
        }
    }

    fn boot(self, setup: &Setup) -> Result<Boot> {
        match self {
            Self::Oracle => setup.with_kernel(KernelName::Oracle)?.boot_without_module(),
            Self::Ondine => setup.boot(),
            Self::InPlaceOfErofs => Ok(setup
                .boot()?
                .append("initcall_blacklist=erofs_module_init")
                .module_param("fstype=erofs")
                .module_param(format!("device={OTHER_DEVICE}"))),
        }
    }

    fn device(self) -> PathBuf {
        match self {
            Self::Oracle | Self::Ondine => ondined::protocol::DEVICE.into(),
            Self::InPlaceOfErofs => Path::new("/dev").join(OTHER_DEVICE),
        }
    }

    fn file_system(self) -> &'static str {
        match self {
            Self::Oracle | Self::InPlaceOfErofs => "erofs",
            Self::Ondine => "ondine",
        }
    }
}

/// Plays all `scenarios` with caches on `fs`; an outcome for each. A guest serves until one of them has spoiled it.
///
/// # Errors
/// When no guest could be started, or one did not come so far as to play.
pub(super) fn play(
    setup: &Setup,
    side: Side,
    fs: DiskFs,
    scenarios: &[Scenario],
) -> Result<Vec<Outcome>> {
    let session = GuestSession::new(setup.cache())?;
    let here = |name: &str| session.path().join(name);
    let blobs = images::write_all(&here("blobs"), &here("tree"))?;
    let job = ConformJob {
        place: Surroundings {
            device: side.device(),
            fs: side.file_system().to_owned(),
            ours: side != Side::Oracle,
            blobs: here("blobs"),
            tree: here("tree"),
            cache: PathBuf::new(),
        },
        drive: "/dev/vda".into(),
        disk: fs,
        results: here("results"),
        parts: Vec::new(),
    };
    let boot = side.boot(setup)?;
    let mut outcomes: Vec<Option<Outcome>> = scenarios
        .iter()
        .map(|scenario| match &scenario.not_on_oracle {
            Some(why) if side == Side::Oracle => {
                Some(Outcome::new(Some(Trouble::LeftOut(why.clone()))))
            }
            _ => None,
        })
        .collect();
    loop {
        let left: Vec<usize> = (0..outcomes.len())
            .filter(|n| outcomes[*n].is_none())
            .collect();
        if left.is_empty() {
            return Ok(outcomes.into_iter().flatten().collect());
        }
        let parts = left.iter().map(|n| Part {
            name: scenarios[*n].name.clone(),
            steps: side.steps(&scenarios[*n], fs),
        });
        let job = ConformJob {
            parts: parts.collect(),
            ..job.clone()
        };
        eprintln!("{}: {} scenarios", side.as_str(), left.len());
        let (lines, run) = one_guest(&session, &boot, &job)?;
        let ours = side != Side::Oracle;
        let played = judge(&lines, &run, &job.parts, |expected, seen| {
            holds(expected, seen, &blobs, ours)
        });
        if played.is_empty() {
            run.require()?;
            bail!("the guest played nothing");
        }
        for (n, outcome) in left.into_iter().zip(played) {
            if let Some(trouble) = &outcome.trouble {
                eprintln!(
                    "{}: {}: {}",
                    side.as_str(),
                    scenarios[n].name,
                    trouble.why()
                );
            }
            outcomes[n] = Some(outcome);
        }
    }
}

fn one_guest(
    session: &GuestSession,
    boot: &Boot,
    job: &ConformJob,
) -> Result<(Vec<Line>, GuestRun)> {
    File::create(&job.results)?;
    let store = session.path().join("store");
    disk::empty(&store, job.disk, Journal::Without, DRIVE)?;
    let limit = Duration::from_secs(600 + 60 * job.parts.len() as u64);
    let boot = boot.clone().limit(limit).drive(&store, false);
    let (_, run) = session.attempt(boot, job)?;
    let text = fs::read_to_string(&job.results)?;
    // The last line may be cut short with the guest.
    let lines = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    let lines = lines
        .map(|line| serde_json::from_str(line).context("the guest's results"))
        .collect::<Result<_>>()?;
    Ok((lines, run))
}

/// The outcomes of the parts that were begun, in their order; `holds` compares what is expected with what
/// was seen.
fn judge(
    lines: &[Line],
    run: &GuestRun,
    parts: &[Part],
    holds: impl Fn(&str, &str) -> bool,
) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    for line in lines {
        match line {
            Line::Begun(_) => outcomes.push(Outcome::new(Some(Trouble::Died(run.complaint())))),
            Line::Played { results, seconds } => {
                let Some((last, part)) = outcomes
                    .len()
                    .checked_sub(1)
                    .zip(parts.get(outcomes.len() - 1))
                else {
                    continue;
                };
                let wrong = part.steps.iter().enumerate().filter_map(|(n, step)| {
                    let seen = results.get(n).map_or("", String::as_str);
                    (!holds(&step.expected, seen)).then(|| (n, step.expected.clone()))
                });
                outcomes[last] = Outcome {
                    results: results.clone(),
                    wrong: wrong.collect(),
                    trouble: None,
                    seconds: *seconds,
                };
            }
            Line::Spoiled(why) => {
                if let Some(last) = outcomes.last_mut() {
                    last.trouble = Some(Trouble::Spoiled(why.clone()));
                }
            }
        }
    }
    if let Some(last) = outcomes.last_mut().filter(|_| !run.problems.is_empty()) {
        last.trouble = Some(Trouble::Died(run.complaint()));
    }
    outcomes
}
