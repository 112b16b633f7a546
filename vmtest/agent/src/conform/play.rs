// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Execution of one scenario, and the cleanup of the guest after it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, ensure, Context, Result};
use rustix::process::Signal;
use vmtest_wire::conform::job::{Line, Part, Surroundings};
use vmtest_wire::conform::op::{Access, Op, Unmount};
use vmtest_wire::conform::step::{self, Action, Step, BLOCKED, OK, STARTED};

use super::actor::{Actor, PATIENCE};
use super::idle::{self, Idle};
use super::worker::Descriptor;
use super::MOUNTS;

/// Time limit of a scenario; its remaining steps are not tried.
const LIMIT: Duration = Duration::from_secs(240);

/// Runs the steps of `part`. Returns their results, and an error if the guest could not be cleaned
/// up.
///
/// # Errors
/// A failure outside of the scenario.
pub(super) fn play(part: &Part, place: &Surroundings) -> Result<(Line, Result<(), String>)> {
    let begin = Instant::now();
    fs::create_dir_all(&place.cache)?;
    let mut stage = Stage {
        place,
        actors: BTreeMap::new(),
        restored: part.steps.iter().any(Step::restores),
    };
    let mut results = Vec::new();
    for step in &part.steps {
        // A failure of the executor is a step's result as well: the scenario went another way than
        // expected.
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

/// Actors and state of a running scenario.
struct Stage<'a> {
    place: &'a Surroundings,
    actors: BTreeMap<String, Actor>,
    /// True if a step writes `restore`: a daemon may then get a message twice.
    restored: bool,
}

impl Stage<'_> {
    fn step(&mut self, step: &Step) -> Result<String> {
        match &step.deed {
            Action::Do(op) => self.does(&step.actor, op),
            Action::Wait => self.actor(&step.actor)?.settle(),
            Action::Kill(signal) => self.kill(&step.actor, *signal),
            Action::Start(op) => {
                self.actor(&step.actor)?.order(op)?;
                Ok(STARTED.to_owned())
            }
            Action::Serve { actor, starving } => self.serve(&step.actor, actor, *starving),
            Action::Quiet => Self::quiet(),
            Action::Drain => self.drain(&step.actor),
            Action::Take { from, handle } => self.take(&step.actor, from, handle),
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

    /// Returns the result of the operation that `actor` has in progress, while `daemon` answers all
    /// messages.
    fn serve(&mut self, daemon: &str, actor: &str, starving: bool) -> Result<String> {
        let begin = Instant::now();
        let mut result = None;
        self.actor(actor)?.stir();
        while begin.elapsed() < PATIENCE {
            let restored = self.restored;
            let messages = self.does(daemon, &Op::Turn { starving, restored })?;
            let answered = |said: &str| {
                let kinds = ["OPEN ", "CLOSE ", "READ "];
                said == OK || kinds.iter().any(|kind| said.starts_with(kind))
            };
            ensure!(answered(&messages), "{daemon} answers: {messages}");
            let worker = self.actor(actor)?;
            if result.is_none() {
                result = worker.answer(Duration::ZERO)?;
            }
            if messages != OK {
                worker.stir();
                continue;
            }
            // The end of the operation may have caused another message.
            match &result {
                Some(result) if idle::now()? => return Ok(result.clone()),
                None if worker.is_blocked()? => return Ok(BLOCKED.to_owned()),
                _ => {}
            }
        }
        bail!("the operation of {actor} did not end in time")
    }

    /// Reads all pending messages and returns them sorted: their order depends on the kernel's
    /// threads.
    fn drain(&mut self, daemon: &str) -> Result<String> {
        let mut all = BTreeSet::new();
        let mut idle = Idle::default();
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let turn = Op::Turn {
                starving: false,
                restored: self.restored,
            };
            let messages = self.does(daemon, &turn)?;
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

    /// Kills all actors, unmounts everything, waits until the device can be opened again, and
    /// empties the cache.
    fn clear(mut self) -> Result<()> {
        for (name, mut actor) in std::mem::take(&mut self.actors) {
            // The actor may have ended by itself.
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
            // The last object may be released a little later.
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

/// Removes the files in a cache, but not the directories of volumes: each has hundreds of
/// subdirectories, and creating them again would take longer than a scenario.
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

/// Returns the names of the mounts below [`MOUNTS`], in order of mounting.
fn mounts() -> Result<Vec<String>> {
    let table = fs::read_to_string("/proc/self/mounts")?;
    let points = table
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1));
    let names = points.filter_map(|point| point.strip_prefix(MOUNTS)?.strip_prefix('/'));
    Ok(names.map(str::to_owned).collect())
}
