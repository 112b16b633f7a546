// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The same kill on what mainline offers: the C driver on sparse files that a fanotify handler
//! fills. What it lets through is counted, not judged.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{anyhow, bail, ensure, Context, Result};
use serde::{Deserialize, Serialize};

use super::ground::Ground;
use super::readers::READERS;
use super::{watch, Figures};
use crate::guest::mounts::Mounted;
use crate::guest::sys::fanotify::PreContent;
use crate::vm::SCRATCH;

/// Longest time of a fill in microseconds.
const LATENCY_US: u64 = 4000;
const PAGE: usize = 4096;

/// What came of it.
pub(crate) const ZEROS: &str = "pages of zeros that readers took for data";

/// What a handler is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Handling {
    /// The sparse file.
    file: PathBuf,
    /// What it is to hold.
    source: PathBuf,
}

/// `vmtest guest handle`: fills the file as it is read, until it is killed.
///
/// # Errors
/// Those of the calls.
pub(crate) fn handle(handling: &Handling) -> Result<()> {
    let source = File::open(&handling.source)?;
    // Opened before the mark: writing through a later one would wait for ourselves.
    let to = OpenOptions::new().write(true).open(&handling.file)?;
    let group = PreContent::new().context("fanotify_init")?;
    group.mark(&to).context("fanotify_mark")?;
    println!("ready");
    loop {
        for access in group.wait()? {
            thread::sleep(Duration::from_micros(fastrand::u64(..LATENCY_US)));
            let end = access.range.end.min(source.metadata()?.len());
            if access.range.start < end {
                let mut bytes = vec![0; usize::try_from(end - access.range.start)?];
                source.read_exact_at(&mut bytes, access.range.start)?;
                to.write_all_at(&bytes, access.range.start)?;
            }
            group.allow(&access)?;
        }
    }
}

/// One kill.
pub(super) fn round(ground: &Ground, seed: u64, figures: &mut Figures) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let [bootstrap, blob] = &ground.names[..] else {
        bail!("the image has another number of blobs than one");
    };
    let (primary, sparse) = (ground.cache.join("bootstrap"), ground.cache.join("sparse"));
    fs::copy(ground.blobs.join(bootstrap), &primary)?;
    let source = ground.blobs.join(blob);
    File::create(&sparse)?.set_len(fs::metadata(&source)?.len())?;
    rustix::fs::sync();
    let handling = Handling {
        file: sparse.clone(),
        source,
    };
    let mut handler = start(ground, &handling)?;
    let options = format!("device={}", sparse.display());
    let mounted = Mounted::plain("erofs", &primary, &ground.point, &options)?
        .map_err(|errno| anyhow!("the C driver does not mount: {errno}"))?;

    let done = AtomicUsize::new(0);
    thread::scope(|scope| -> Result<()> {
        for n in 0..READERS {
            let (done, samples, point) = (&done, &ground.samples, &ground.point);
            scope.spawn(move || {
                for at in 0..samples.len() {
                    let sample = &samples[(at + n * 3) % samples.len()];
                    // What it holds is looked at when all is over.
                    let _ = fs::read(point.join(&sample.path));
                    done.fetch_add(1, Relaxed);
                }
            });
        }
        let moment = rng.usize(0..ground.samples.len());
        watch::until("the readers read", || done.load(Relaxed) >= moment)?;
        thread::sleep(Duration::from_micros(rng.u64(..LATENCY_US)));
        handler.kill()?;
        handler.wait()?;
        Ok(())
    })?;
    let zeros = zeros(ground)?;
    // A successor marks the file again, as one would do to repair it.
    let mut next = start(ground, &handling)?;
    let still = self::zeros(ground)?;
    next.kill()?;
    next.wait()?;
    ground.unmount(mounted)?;
    figures.add(ZEROS, zeros);
    figures.add("of them still zeros under a new handler", still);
    let pages: usize = ground
        .samples
        .iter()
        .map(|s| s.bytes.len().div_ceil(PAGE))
        .sum();
    figures.add("pages in all", pages as u64);
    Ok(())
}

fn start(ground: &Ground, handling: &Handling) -> Result<Child> {
    let job = Path::new(SCRATCH).join("handling.json");
    fs::write(&job, serde_json::to_vec(handling)?)?;
    let mut child = Command::new(&ground.program)
        .args(["guest", "handle"])
        .arg(&job)
        .arg("/dev/null")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let output = child.stdout.take().context("the handler's output")?;
    BufReader::new(output).read_line(&mut line)?;
    ensure!(
        line == "ready\n",
        "the handler did not start (it says why above)"
    );
    Ok(child)
}

/// Pages that read as zeros without an error; no sample holds a zero.
fn zeros(ground: &Ground) -> Result<u64> {
    let mut count = 0;
    for sample in ground.samples.iter() {
        let bytes = fs::read(ground.point.join(&sample.path))?;
        let empty = |page: &&[u8]| page.iter().all(|byte| *byte == 0);
        count += bytes.chunks(PAGE).filter(empty).count() as u64;
    }
    Ok(count)
}
