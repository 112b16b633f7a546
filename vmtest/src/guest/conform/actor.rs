// SPDX-License-Identifier: Apache-2.0 OR MIT

//! An actor from outside: a process that is sent operations and watched.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::process::{kill_process, Pid, Signal};

use super::idle::Idle;
use super::Place;
use crate::conform::op::Op;
use crate::conform::step::BLOCKED;

/// Everything ends within this time, emulation and a busy host included.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// A process of a scenario.
#[derive(Debug)]
pub(super) struct Actor {
    child: Child,
    orders: ChildStdin,
    answers: OwnedFd,
    /// What came of an answer so far.
    partial: Vec<u8>,
    /// The operation under way, by whether it may block.
    under_way: Option<bool>,
    sleep: Sleep,
}

impl Actor {
    /// Starts a process.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(place: &Place) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["guest", "act", "-", "-"])
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

    /// Has it do `op`.
    ///
    /// # Errors
    /// When it is gone, or still at the operation before.
    pub(super) fn order(&mut self, op: &Op) -> Result<()> {
        ensure!(self.under_way.is_none(), "it is still at another operation");
        self.under_way = Some(op.may_block());
        self.sleep = Sleep::default();
        send(&mut self.orders, op).context("it is gone")
    }

    /// The result of the operation under way, or that it is blocked.
    ///
    /// # Errors
    /// When the process is gone, or nothing is under way, or there is no end to it.
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
            ensure!(begin.elapsed() < PATIENCE, "no end in {PATIENCE:?}");
        }
    }

    /// Forgets for how long it has been asleep: something has happened that may wake it.
    pub(super) fn stir(&mut self) {
        self.sleep = Sleep::default();
    }

    /// Whether the operation under way can block, and does.
    ///
    /// # Errors
    /// When the process is gone.
    pub(super) fn is_blocked(&mut self) -> Result<bool> {
        Ok(self.under_way == Some(true) && self.sleep.is_lasting(self.child.id())?)
    }

    /// The result of the operation under way, if it comes within `wait`.
    ///
    /// # Errors
    /// When the process is gone, or nothing is under way.
    pub(super) fn answer(&mut self, wait: Duration) -> Result<Option<String>> {
        ensure!(self.under_way.is_some(), "nothing is under way");
        let timeout = Timespec::try_from(wait)?;
        let mut polled = [PollFd::new(&self.answers, PollFlags::IN)];
        if poll(&mut polled, Some(&timeout))? == 0 {
            return Ok(None);
        }
        let mut buffer = [0; 4096];
        let count = rustix::io::read(&self.answers, &mut buffer)?;
        ensure!(count > 0, "it is gone");
        self.partial.extend(&buffer[..count]);
        if self.partial.last() != Some(&b'\n') {
            return Ok(None);
        }
        let answer = serde_json::from_slice(&std::mem::take(&mut self.partial))?;
        self.under_way = None;
        Ok(Some(answer))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process is gone.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    /// Whether the process ends, rather than stay in a guest at rest.
    ///
    /// # Errors
    /// Those of waitpid(2).
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

    /// The kernel function that the process sleeps in; empty when that is not known.
    pub(super) fn wchan(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/wchan", self.child.id())).unwrap_or_default()
    }

    /// Its process id.
    ///
    /// # Errors
    /// Never: a child has one.
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

/// Whether a process is asleep in a guest that is idle.
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
        // A task that woke in between has another number of switches.
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
