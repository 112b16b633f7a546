// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Actor as the executor sees it: a process that executes operations and is watched for blocking.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::process::{kill_process, Pid, Signal};
use vmtest_wire::conform::job::Surroundings;
use vmtest_wire::conform::op::Op;
use vmtest_wire::conform::step::BLOCKED;

use super::idle::Idle;

/// Name of the actor's guest program. It reads its operations from standard input, not from a file.
pub(in super::super) const NAME: &str = "actor";

/// Time limit of any operation, under emulation and on a busy host.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// An actor process of a scenario.
#[derive(Debug)]
pub(super) struct Actor {
    child: Child,
    orders: ChildStdin,
    answers: OwnedFd,
    /// Received part of a result, up to its newline.
    partial: Vec<u8>,
    /// The operation in progress: true if it may block.
    under_way: Option<bool>,
    sleep: Sleep,
}

impl Actor {
    /// Starts an actor process and sends it the paths of `place`.
    ///
    /// # Errors
    /// The process cannot be started.
    pub(super) fn start(place: &Surroundings) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["guest", NAME, "-", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting an actor")?;
        let mut orders = child.stdin.take().context("its input")?;
        let answers = child.stdout.take().context("its output")?.into();
        send(&mut orders, place)?;
        Ok(Self {
            child,
            orders,
            answers,
            partial: Vec::new(),
            under_way: None,
            sleep: Sleep::default(),
        })
    }

    /// Starts the operation `op` in the process.
    ///
    /// # Errors
    /// The process has ended, or its previous operation is still in progress.
    pub(super) fn order(&mut self, op: &Op) -> Result<()> {
        ensure!(self.under_way.is_none(), "it is still at another operation");
        self.under_way = Some(op.may_block());
        self.sleep = Sleep::default();
        send(&mut self.orders, op).context("the actor process has ended")
    }

    /// Waits for the result of the operation in progress, or returns [`BLOCKED`] if it blocks.
    ///
    /// # Errors
    /// The process has ended, no operation is in progress, or it neither ends nor blocks within
    /// [`PATIENCE`].
    pub(super) fn settle(&mut self) -> Result<String> {
        let begin = Instant::now();
        self.stir();
        loop {
            if let Some(answer) = self.answer(Duration::from_millis(5))? {
                return Ok(answer);
            }
            if self.is_blocked()? {
                return Ok(BLOCKED.to_owned());
            }
            ensure!(
                begin.elapsed() < PATIENCE,
                "the operation neither ended nor blocked within {PATIENCE:?}"
            );
        }
    }

    /// Restarts the detection of blocking, after an event that may wake the process.
    pub(super) fn stir(&mut self) {
        self.sleep = Sleep::default();
    }

    /// Returns true if the operation in progress can block, and does.
    ///
    /// # Errors
    /// The process has ended.
    pub(super) fn is_blocked(&mut self) -> Result<bool> {
        Ok(self.under_way == Some(true) && self.sleep.is_lasting(self.child.id())?)
    }

    /// Returns the result of the operation in progress, if it arrives within `wait`.
    ///
    /// # Errors
    /// The process has ended, or no operation is in progress.
    pub(super) fn answer(&mut self, wait: Duration) -> Result<Option<String>> {
        ensure!(self.under_way.is_some(), "nothing is under way");
        let timeout = Timespec::try_from(wait)?;
        let mut polled = [PollFd::new(&self.answers, PollFlags::IN)];
        if poll(&mut polled, Some(&timeout))? == 0 {
            return Ok(None);
        }
        let mut buffer = [0; 4096];
        let count = rustix::io::read(&self.answers, &mut buffer)?;
        ensure!(count > 0, "the actor process has ended");
        self.partial.extend(&buffer[..count]);
        if self.partial.last() != Some(&b'\n') {
            return Ok(None);
        }
        let answer = serde_json::from_slice(&std::mem::take(&mut self.partial))?;
        self.under_way = None;
        Ok(Some(answer))
    }

    /// Sends a signal to the process.
    ///
    /// # Errors
    /// The process has ended.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    /// Waits until the process ends (true), or the guest is idle while it still exists (false).
    ///
    /// # Errors
    /// waitpid(2) fails, or as [`Idle::is_lasting`].
    pub(super) fn ends(&mut self) -> Result<bool> {
        let mut idle = Idle::default();
        loop {
            if self.child.try_wait()?.is_some() {
                return Ok(true);
            }
            if idle.is_lasting()? {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Returns the kernel function that the process sleeps in, empty if unknown.
    pub(super) fn wchan(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/wchan", self.child.id())).unwrap_or_default()
    }

    /// Returns the process id.
    ///
    /// # Errors
    /// None: a child process always has an id.
    pub(super) fn pid(&self) -> Result<Pid> {
        i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("a child without an id")
    }
}

fn send<T: serde::Serialize>(to: &mut ChildStdin, value: &T) -> Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(to.write_all(&line)?)
}

/// Detection of a process that stays asleep in an idle guest.
#[derive(Debug, Default)]
struct Sleep {
    idle: Idle,
    switches: String,
}

impl Sleep {
    fn is_lasting(&mut self, pid: u32) -> Result<bool> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| status.lines().find(|line| line.starts_with(name));
        let asleep = field("State:").is_some_and(|state| state.contains(['S', 'D']));
        // A task that woke up in between has a different number of context switches.
        let switches = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"]
            .map(|name| field(name).unwrap_or_default())
            .concat();
        if !asleep || switches != self.switches {
            *self = Self {
                idle: Idle::default(),
                switches,
            };
        }
        self.idle.is_lasting()
    }
}
