// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Playing one scenario, and leaving the guest as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, ensure, Context, Result};
use rustix::process::Signal;

use super::actor::{Actor, PATIENCE};
use super::idle::{self, Idle};
use super::worker::Descriptor;
use super::{Line, Part, Place, MOUNTS};
use crate::conform::op::{Access, Op, Unmount};
use crate::conform::step::{self, Deed, Step, BLOCKED, OK, STARTED};

/// A scenario that takes longer is cut short.
const LIMIT: Duration = Duration::from_secs(240);

/// Plays `part`; the results of its steps, and whether the guest is as it was, or why not.
///
/// # Errors
/// When something other than the scenario fails.
pub(super) fn play(part: &Part, place: &Place) -> Result<(Line, Result<(), String>)> {
    let begin = Instant::now();
    fs::create_dir_all(&place.cache)?;
    let mut stage = Stage {
        place,
        actors: BTreeMap::new(),
    };
    let mut results = Vec::new();
    for step in &part.steps {
        // What goes wrong in the executor is a result too: of a scenario that went another way.
        let result = if begin.elapsed() < LIMIT {
            stage.step(step).unwrap_or_else(|why| format!("({why:#})"))
        } else {
            format!("(not tried after {LIMIT:?})")
        };
        results.push(result);
    }
    let played = Line::Played {
        results,
        seconds: begin.elapsed().as_secs_f64(),
    };
    let left = stage.clear().map_err(|why| format!("{why:#}"));
    Ok((played, left))
}

/// The actors of a scenario under way.
struct Stage<'a> {
    place: &'a Place,
    actors: BTreeMap<String, Actor>,
}

impl Stage<'_> {
    fn step(&mut self, step: &Step) -> Result<String> {
        match &step.deed {
            Deed::Does(op) => self.does(&step.actor, op),
            Deed::Wait => self.actor(&step.actor)?.settle(),
            Deed::Kill(signal) => self.kill(&step.actor, *signal),
            Deed::Starts(op) => {
                self.actor(&step.actor)?.order(op)?;
                Ok(STARTED.to_owned())
            }
            Deed::Serve { whom, starving } => self.serve(&step.actor, whom, *starving),
            Deed::Quiet => Self::quiet(),
            Deed::Drain => self.drain(&step.actor),
            Deed::Take { from, handle } => self.take(&step.actor, from, handle),
        }
    }

    fn actor(&mut self, name: &str) -> Result<&mut Actor> {
        if !self.actors.contains_key(name) {
            let actor = Actor::start(self.place)?;
            self.actors.insert(name.to_owned(), actor);
        }
        self.actors.get_mut(name).context("an actor")
    }

    fn does(&mut self, name: &str, op: &Op) -> Result<String> {
        let actor = self.actor(name)?;
        actor.order(op)?;
        actor.settle()
    }

    fn kill(&mut self, name: &str, signal: step::Signal) -> Result<String> {
        let actor = self.actor(name)?;
        match signal {
            step::Signal::User => {
                actor.signal(Signal::USR1)?;
                return actor.settle();
            }
            step::Signal::Interrupt => actor.signal(Signal::INT)?,
            step::Signal::Kill => actor.signal(Signal::KILL)?,
        }
        if !actor.ends()? {
            return Ok("stays".to_owned());
        }
        self.actors.remove(name);
        Ok("gone".to_owned())
    }

    /// The result of `whom`'s operation, every message answered by `daemon`.
    fn serve(&mut self, daemon: &str, whom: &str, starving: bool) -> Result<String> {
        let begin = Instant::now();
        let mut result = None;
        self.actor(whom)?.stir();
        while begin.elapsed() < PATIENCE {
            let messages = self.does(daemon, &Op::Turn { starving })?;
            let actor = self.actor(whom)?;
            if result.is_none() {
                result = actor.answer(Duration::ZERO)?;
            }
            if messages != OK {
                actor.stir();
                continue;
            }
            // What the operation has set off may still bring a message.
            match &result {
                Some(result) if idle::now()? => return Ok(result.clone()),
                None if actor.is_blocked()? => return Ok(BLOCKED.to_owned()),
                _ => {}
            }
        }
        bail!("no end of it")
    }

    /// The messages that came, sorted: which come first is up to the kernel's threads.
    fn drain(&mut self, daemon: &str) -> Result<String> {
        let mut all = BTreeSet::new();
        let mut idle = Idle::default();
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let messages = self.does(daemon, &Op::Turn { starving: false })?;
            if messages != OK {
                all.extend(messages.split(", ").map(str::to_owned));
                idle = Idle::default();
            } else if idle.is_lasting()? {
                break;
            }
        }
        if all.is_empty() {
            return Ok("nothing".to_owned());
        }
        Ok(all.into_iter().collect::<Vec<_>>().join(", "))
    }

    fn quiet() -> Result<String> {
        let mut idle = Idle::default();
        let begin = Instant::now();
        while !idle.is_lasting()? {
            ensure!(
                begin.elapsed() < PATIENCE,
                "the guest does not come to rest"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(OK.to_owned())
    }

    fn take(&mut self, name: &str, from: &str, handle: &str) -> Result<String> {
        let answer = self.does(
            from,
            &Op::Number {
                handle: handle.to_owned(),
            },
        )?;
        let Descriptor { number, object } =
            serde_json::from_str(&answer).map_err(|_| anyhow!("{answer}"))?;
        let pid = self.actor(from)?.pid()?.as_raw_nonzero().get();
        let handle = handle.to_owned();
        let op = Op::Take {
            pid,
            number,
            handle,
            object,
        };
        self.does(name, &op)
    }

    /// Ends all actors, unmounts everything, and sees the device free and the cache gone.
    fn clear(mut self) -> Result<()> {
        for (name, mut actor) in std::mem::take(&mut self.actors) {
            // It may have ended by itself.
            let _ = actor.signal(Signal::KILL);
            ensure!(
                actor.ends()?,
                "{name} cannot be killed, asleep in {}",
                actor.wchan()
            );
        }
        for point in mounts()?.into_iter().rev() {
            let op = Op::Umount {
                name: point.clone(),
                how: Unmount::Plain,
            };
            let result = self.does("cleaner", &op)?;
            ensure!(result == OK, "unmounting {point}: {result}");
        }
        let handle = || "dev".to_owned();
        let open = Op::Open {
            handle: handle(),
            access: Access::Both,
        };
        if self.does("cleaner", &open)? != OK {
            // The last object may go a little later.
            Self::quiet()?;
            let result = self.does("cleaner", &open)?;
            ensure!(result == OK, "the device does not open again: {result}");
        }
        let closed = self.does("cleaner", &Op::Close { handle: handle() })?;
        ensure!(closed == OK, "closing the device: {closed}");
        empty(&self.place.cache).context("emptying the cache")?;
        self.kill("cleaner", step::Signal::Kill).map(drop)
    }
}

/// Removes what is in a cache but for the directories of volumes, hundreds for each: making them
/// again would take longer than a scenario.
fn empty(cache: &Path) -> Result<()> {
    for entry in fs::read_dir(cache)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            fs::remove_file(entry.path())?;
        } else if entry.file_name() == "cache" {
            remove_files(&entry.path())?;
        } else {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn remove_files(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_files(&entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The names of what is mounted below [`MOUNTS`], in order of mounting.
fn mounts() -> Result<Vec<String>> {
    let table = fs::read_to_string("/proc/self/mounts")?;
    let points = table
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1));
    let names = points.filter_map(|point| point.strip_prefix(MOUNTS)?.strip_prefix('/'));
    Ok(names.map(str::to_owned).collect())
}
