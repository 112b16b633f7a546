// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `ondined`: see `ondined --help`.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use ondined::backend::{Backend, Http, HttpOptions, Local};
use ondined::plan::{Plan, Rule};
use ondined::protocol::{Device, DEVICE};
use ondined::session::{bind, raise_descriptor_limit, Options, Session, StopHandle};
use rustix::io::Errno;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

/// Fewer than this are worth a word: a thousand images of twenty blobs that they share with nobody
/// need about as many.
const FEW_DESCRIPTORS: u64 = 20_000;

/// Fetch what mounted images miss
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring a cache online and answer the kernel until SIGINT or SIGTERM; prints "ready" once images
    /// can be mounted
    Serve(Serve),
}

#[derive(Args)]
struct Serve {
    /// Directory of the cache, on a file system with O_TMPFILE and xattrs; tested on ext4
    #[arg(long)]
    dir: PathBuf,
    /// Name of the cache [default: the kernel's]
    #[arg(long)]
    tag: Option<String>,
    #[command(flatten)]
    blobs: Blobs,
    /// Requests that are answered at once
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Fetch each blob whole, in the background, once it is open
    #[arg(long)]
    prefetch: bool,
    /// Device of the kernel's side
    #[arg(long, default_value = DEVICE)]
    device: PathBuf,
    #[command(flatten)]
    misbehaviour: Misbehaviour,
    /// File for what was done, in numbers, as JSON, at the end
    #[arg(long)]
    stats: Option<PathBuf>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Blobs {
    /// Directory whose files are the blobs
    #[arg(long)]
    local: Option<PathBuf>,
    /// URL below which the blobs are; the server must know range requests
    #[arg(long)]
    http: Option<String>,
}

#[derive(Args)]
struct Misbehaviour {
    /// Do something wrong, for tests of the kernel's side: KIND[#N|%P]:ACTION[=VALUE], as in
    /// read#3:late=50. KIND is open, close or read; N counts from 1, P is percent. Actions: late=MS,
    /// twice, wrong-id, wrong-object, short=BYTES, empty, never, close-early, refuse=ERRNO, die=STEP
    /// (received, before-write, after-write, before-answer, after-answer)
    #[arg(long, value_name = "RULE")]
    misbehave: Vec<Rule>,
    /// Rules from a JSON file, {"seed": N, "rules": ["RULE", ...]}, before those of --misbehave
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Decides rules with a chance [default: random, printed]
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
        allow_descriptors()?;
        let backend = self.blobs.backend()?;
        let options = Options {
            threads: self.threads.into(),
            prefetch: self.prefetch,
            plan: self.misbehaviour.plan()?,
        };
        let dir = fs::canonicalize(&self.dir).with_context(|| self.dir.display().to_string())?;
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
                .with_context(|| format!("the plan {}", file.display()))?,
        };
        plan.rules.extend(self.misbehave);
        plan.seed = self.seed.unwrap_or(plan.seed);
        if !plan.rules.is_empty() {
            tracing::warn!("misbehaving: {}", serde_json::to_string(&plan)?);
        }
        Ok(plan)
    }
}

fn open(path: &Path) -> Result<Device> {
    Device::open(path).map_err(|errno| {
        let hint = match errno {
            Errno::NOENT | Errno::NXIO | Errno::NODEV => "; is the kernel's side loaded?",
            Errno::BUSY => "; another daemon has it, or a descriptor of one of its objects",
            Errno::PERM | Errno::ACCESS => "; it needs CAP_SYS_ADMIN",
            _ => "",
        };
        anyhow::anyhow!("{}: {errno}{hint}", path.display())
    })
}

/// Raises the limit of descriptors; says so if that does not go far.
fn allow_descriptors() -> Result<()> {
    let limit = raise_descriptor_limit().context("the limit of descriptors")?;
    if let Some(limit) = limit.filter(|limit| *limit < FEW_DESCRIPTORS) {
        tracing::warn!(
            "only {limit} descriptors: each blob of a mounted image takes one, and those beyond \
             fail to open; raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd)"
        );
    }
    Ok(())
}

/// The first signal lets what was received be answered, the second does not.
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
