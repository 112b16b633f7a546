// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The daemon `ondined`: its command line (`ondined --help`) around [`ondined::session`].

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use ondined::backend::{Backend, Http, HttpOptions, Local};
use ondined::misbehaviour::{Plan, Rule};
use ondined::protocol::{Device, DEVICE};
use ondined::session::{bind, raise_descriptor_limit, Options, Session, StopHandle};
use rustix::io::Errno;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

/// Limit of open descriptors below which the daemon warns: enough for a thousand images of twenty
/// unshared blobs each.
const FEW_DESCRIPTORS: u64 = 20_000;

/// Fetch the bytes that mounted images miss, on demand
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring a cache online and answer the kernel until SIGINT or SIGTERM. Prints "ready" once images
    /// can be mounted
    Serve(Serve),
}

#[derive(Args)]
struct Serve {
    /// Directory of the cache. Its file system must support O_TMPFILE and xattrs; tested on ext4
    #[arg(long)]
    dir: PathBuf,
    /// Name (tag) of the cache [default: CacheFiles]
    #[arg(long)]
    tag: Option<String>,
    #[command(flatten)]
    blobs: Blobs,
    /// Number of requests that are answered concurrently
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Seconds for which a request is tried again after its first failure, if that may pass by itself: an
    /// origin that is away, is busy (429, 5xx), or asks for patience (Retry-After)
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u32,
    /// Fetch each blob as a whole in the background once it is open
    #[arg(long)]
    prefetch: bool,
    /// Device node of the driver
    #[arg(long, default_value = DEVICE)]
    device: PathBuf,
    #[command(flatten)]
    misbehaviour: Misbehaviour,
    /// Write the session's counters to this file, as JSON, at exit
    #[arg(long)]
    stats: Option<PathBuf>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Blobs {
    /// Serve the blobs from the files of this directory
    #[arg(long)]
    local: Option<PathBuf>,
    /// Serve the blobs below this URL. The server must support range requests
    #[arg(long)]
    http: Option<String>,
}

#[derive(Args)]
struct Misbehaviour {
    /// Inject a fault, for tests of the kernel's side: KIND[#N|%P]:ACTION[=VALUE], as in
    /// read#3:late=50. KIND is open, close or read. The rule applies to the N-th message of this kind
    /// (from 1), to P percent at random, or to all. Actions: late=MS, twice, wrong-id, wrong-object,
    /// short=BYTES, empty, never, close-early, refuse=ERRNO, die=STEP (received, before-write,
    /// after-write, before-answer, after-answer)
    #[arg(long, value_name = "RULE")]
    misbehave: Vec<Rule>,
    /// Read rules from a JSON file, {"seed": N, "rules": ["RULE", ...]}. They precede those of
    /// --misbehave
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Seed for the rules with a percentage [default: random, logged]
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let Command::Serve(serve) = Arguments::parse().command;
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_env_filter(
            EnvFilter::builder()
                .with_default_directive(LevelFilter::INFO.into())
                .from_env_lossy(),
        )
        .init();
    match serve.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ondined: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Serve {
    fn run(self) -> Result<()> {
        raise_descriptors()?;
        let backend = self.blobs.backend()?;
        let dir = fs::canonicalize(&self.dir).with_context(|| self.dir.display().to_string())?;
        let options = Options {
            threads: self.threads.into(),
            prefetch: self.prefetch,
            patience: Duration::from_secs(self.patience.into()),
            records: Some(dir.clone()),
            plan: self.misbehaviour.plan()?,
        };
        let device = open(&self.device)?;
        bind(&device, &dir, self.tag.as_deref())?;
        let session = Session::new(device, backend, options)?;
        stop_on_signals(session.stop_handle()?)?;
        println!("ready");
        io::stdout().flush()?;
        let ended = session.run();
        if let Some(file) = &self.stats {
            let json = serde_json::to_vec_pretty(&session.statistics())?;
            fs::write(file, json).with_context(|| file.display().to_string())?;
        }
        Ok(ended?)
    }
}

impl Blobs {
    fn backend(&self) -> Result<Box<dyn Backend>> {
        Ok(match (&self.local, &self.http) {
            (Some(root), _) => Box::new(Local::new(root)?),
            (None, url) => {
                let url = url.as_deref().unwrap_or_default();
                Box::new(Http::new(url, HttpOptions::default())?)
            }
        })
    }
}

impl Misbehaviour {
    fn plan(self) -> Result<Plan> {
        let mut plan = match &self.plan {
            None => Plan {
                seed: fastrand::u64(..),
                rules: Vec::new(),
            },
            Some(file) => fs::read(file)
                .map_err(anyhow::Error::from)
                .and_then(|json| Ok(serde_json::from_slice(&json)?))
                .with_context(|| format!("reading the rules in {}", file.display()))?,
        };
        plan.rules.extend(self.misbehave);
        plan.seed = self.seed.unwrap_or(plan.seed);
        if !plan.rules.is_empty() {
            tracing::warn!("injecting faults: {}", serde_json::to_string(&plan)?);
        }
        Ok(plan)
    }
}

/// Opens the device and explains why it cannot be opened.
fn open(path: &Path) -> Result<Device> {
    Device::open(path).map_err(|errno| {
        let hint = match errno {
            Errno::NOENT | Errno::NXIO | Errno::NODEV => {
                "; load ondine.ko, or name the device with --device"
            }
            Errno::BUSY => "; another process has it open, or an object of it; stop that daemon",
            Errno::PERM | Errno::ACCESS => "; opening it takes CAP_SYS_ADMIN",
            _ => "",
        };
        anyhow::anyhow!("{}: {errno}{hint}", path.display())
    })
}

/// Raises the limit of open descriptors, and warns if it stays low.
fn raise_descriptors() -> Result<()> {
    let limit = raise_descriptor_limit().context("raising the limit of open descriptors")?;
    if let Some(limit) = limit.filter(|limit| *limit < FEW_DESCRIPTORS) {
        tracing::warn!(
            "the limit is {limit} descriptors: each blob of a mounted image takes one, and an OPEN \
             fails without; raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd)"
        );
    }
    Ok(())
}

/// Makes the first SIGINT or SIGTERM stop the session after the received requests were answered, and the
/// second one exit at once.
fn stop_on_signals(stop: StopHandle) -> Result<()> {
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stopping))?;
        signal_hook::flag::register(signal, Arc::clone(&stopping))?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || signals.forever().for_each(|_| stop.stop()))?;
    Ok(())
}
