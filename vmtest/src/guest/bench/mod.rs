// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Measuring in the guest: one nanosecond of its clock is one instruction.

mod store;
mod work;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::job::{Backing, Observer, Row};
use super::mounts::{drop_caches, Mounted};
use store::Store;
use work::Work;

/// The order of `vmtest guest bench`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BenchJob {
    /// A drive with the files that [`crate::bench::stage`] lays out.
    pub drive: String,
    /// Repeats of what is cached, and of what is not.
    pub repeats: (u32, u32),
    /// Only workloads whose name contains this.
    pub only: Option<String>,
}

/// What is dropped before each repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing.
    Warm,
    /// Dentries and inodes.
    Names,
    /// Those and all pages.
    Cold,
}

/// One workload on one mount in one state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measure {
    /// The workload.
    pub work: String,
    /// What was mounted.
    pub mount: String,
    /// What was dropped before.
    pub state: State,
    /// Instructions of each repeat.
    pub instructions: Vec<u64>,
    /// Read requests that the store's device got, in the repeat with the fewest.
    pub reads: u64,
    /// Bytes of those.
    pub bytes: u64,
}

impl Measure {
    /// The fewest instructions.
    pub fn best(&self) -> u64 {
        self.instructions.iter().copied().min().unwrap_or(0)
    }
}

/// A tree or a file to measure, and its name in the table.
struct Place {
    name: &'static str,
    mounted: Option<Mounted>,
    path: std::path::PathBuf,
}

/// Does the job.
///
/// # Errors
/// When the store cannot be made, a mount is refused or a workload fails.
pub(super) fn run(job: &BenchJob) -> Result<Vec<Measure>> {
    let store = Store::fill(&job.drive)?;
    let mut measures = Vec::new();
    for name in NAMES {
        for place in [tree(&store, name)?, file(&store, name)?]
            .into_iter()
            .flatten()
        {
            let works = if place.path.is_dir() {
                work::ON_TREES
            } else {
                work::ON_FILES
            };
            for work in works {
                if job
                    .only
                    .as_deref()
                    .is_some_and(|only| !work.name.contains(only))
                {
                    continue;
                }
                for state in work.states {
                    measures.push(measure(job, &store, &place, work, *state)?);
                }
            }
            if let Some(mounted) = place.mounted {
                let left = mounted.unmount();
                anyhow::ensure!(left.is_ok(), "{} does not unmount: {left:?}", place.name);
            }
        }
        eprintln!("  measured {name}");
    }
    Ok(measures)
}

/// In the order of measuring.
const NAMES: &[&str] = &[
    "tmpfs",
    "ext4",
    "C file",
    "C file directio",
    "C loop",
    "ondine file",
    "ondine loop",
];

fn image(store: &Store, name: &str, image: &str, point: &Path) -> Result<Option<Mounted>> {
    let (fs, backing, options) = match name {
        "C file" => ("erofs", Backing::File, ""),
        "C file directio" => ("erofs", Backing::File, "directio"),
        "C loop" => ("erofs", Backing::Loop, ""),
        "ondine file" => ("ondine", Backing::File, ""),
        "ondine loop" => ("ondine", Backing::Loop, ""),
        _ => return Ok(None),
    };
    let row = Row {
        name: image.to_owned(),
        primary: store.path(&format!("{image}.erofs")).display().to_string(),
        devices: vec![store.path(&format!("{image}.blob")).display().to_string()],
        options: (!options.is_empty())
            .then(|| options.to_owned())
            .into_iter()
            .collect(),
        observers: Vec::new(),
    };
    let observer = Observer::new(fs, backing);
    let mounted = Mounted::image(&row, &observer, point)?
        .map_err(|errno| anyhow::anyhow!("{name}: mount gives {errno}"))?;
    Ok(Some(mounted))
}

fn tree(store: &Store, name: &'static str) -> Result<Option<Place>> {
    // Below the root directory of the programs.
    let point = store.tools.point.join("mnt");
    let mounted = match image(store, name, "tree", &point)? {
        Some(mounted) => mounted,
        None => {
            let native = store.path("native");
            let from = if name == "tmpfs" {
                &store.tmpfs.point
            } else {
                &native
            };
            Mounted::with("none", from, &point, "", rustix::mount::MountFlags::BIND)?
                .map_err(|errno| anyhow::anyhow!("{name}: bind mount gives {errno}"))?
        }
    };
    Ok(Some(Place {
        name,
        mounted: Some(mounted),
        path: point,
    }))
}

/// The large file: below a mount, or (as `ext4`) the blob itself.
fn file(store: &Store, name: &'static str) -> Result<Option<Place>> {
    let mounted = image(store, name, "big", Path::new("/run/ondine/bench"))?;
    let path = match (&mounted, name) {
        (Some(mounted), _) => mounted.point.join("big"),
        (None, "tmpfs") => return Ok(None),
        _ => store.path("big.blob"),
    };
    Ok(Some(Place {
        name,
        mounted,
        path,
    }))
}

fn measure(
    job: &BenchJob,
    store: &Store,
    place: &Place,
    work: &Work,
    state: State,
) -> Result<Measure> {
    let run = || {
        (work.run)(store, &place.path).with_context(|| format!("{} on {}", work.name, place.name))
    };
    // Fills every cache.
    run()?;
    let repeats = if state == State::Warm {
        job.repeats.0
    } else {
        job.repeats.1
    };
    let mut instructions = Vec::new();
    let mut fewest: Option<(u64, u64)> = None;
    for _ in 0..repeats.max(1) {
        match state {
            State::Warm => {}
            State::Names => std::fs::write("/proc/sys/vm/drop_caches", "2")?,
            State::Cold => drop_caches()?,
        }
        let before = store.reads()?;
        let begin = Instant::now();
        run()?;
        instructions.push(u64::try_from(begin.elapsed().as_nanos())?);
        let after = store.reads()?;
        let took = (after.0 - before.0, after.1 - before.1);
        fewest = Some(fewest.map_or(took, |least| least.min(took)));
    }
    let (reads, bytes) = fewest.unwrap_or_default();
    Ok(Measure {
        work: work.name.to_owned(),
        mount: place.name.to_owned(),
        state,
        instructions,
        reads,
        bytes,
    })
}
