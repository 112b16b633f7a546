// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The command `check`: runs all tests and gates, part by part; prints a line for each item, then the count.

mod disks;
mod guest;
mod host;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{bail, Result};
use serde::Serialize;
use vmtest_lab::{vm::Complaint, Setup};

use crate::exit::{COULD_NOT_RUN, DOES_NOT_HOLD, HOLDS};

/// Arguments of `check`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// Leave out the parts that need a virtual machine
    #[arg(long)]
    pub quick: bool,

    /// Also the parts that take hours: everything on every file system and in the kernel san, faults many times
    #[arg(long, conflicts_with = "quick")]
    pub nightly: bool,

    /// Only the parts whose name contains this (the final count covers these alone)
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,

    /// Rounds of loading, mounting, using, unmounting and unloading
    ///
    /// With fewer than 10 rounds, a leak of one object per round is lost in the noise.
    #[arg(long, value_name = "COUNT", default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(10..))]
    pub rounds: u32,

    /// Only this driver in the guests
    ///
    /// Items of the other driver are listed as not run.
    #[arg(long, value_name = "FSTYPE", value_parser = ["ondine", "erofs"])]
    pub driver: Option<String>,
}

impl CheckArgs {
    /// True if `--driver` allows observers with the file system `fs`.
    fn wants(&self, fs: &str) -> bool {
        self.driver.as_deref().is_none_or(|only| only == fs)
    }
}

/// Result of one test or gate.
#[derive(Clone, Debug, Serialize)]
struct Item {
    /// Name of the item, printed in its line.
    name: String,
    /// Reason of the failure.
    failed: Option<String>,
    /// True if the item failed because it could not run.
    incomplete: bool,
    /// Reason why the item was skipped: neither a failure nor a success.
    not_run: Option<String>,
}

impl Item {
    fn new(name: impl Into<String>, failed: Option<String>) -> Self {
        Self {
            name: name.into(),
            failed,
            incomplete: false,
            not_run: None,
        }
    }

    fn not_run(name: impl Into<String>, why: String) -> Self {
        Self {
            not_run: Some(why),
            ..Self::new(name, None)
        }
    }
}

/// A named group of items, selected by `--only`.
struct Part {
    name: &'static str,
    needs: Needs,
    about: About,
    /// True if only `--nightly`, or its whole name, selects it.
    nightly: bool,
    run: fn(&Setup, &CheckArgs) -> Result<Vec<Item>>,
}

/// Kernel that a part needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// No kernel.
    Nothing,
    /// A built kernel, to compile against. Such a part uses all processors.
    Build,
    /// A running kernel.
    Guest,
}

/// Drivers that a part tests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    /// Any driver, or none.
    Neither,
    /// Only ondine.
    Ondine,
    /// ondine and the C driver, with the same tests.
    Both,
}

impl Part {
    /// Runs the part, prints its items and returns them.
    fn report(&self, setup: &Setup, args: &CheckArgs) -> Vec<Item> {
        let begin = Instant::now();
        eprintln!("== {}", self.name);
        let narrowed = self.narrowed(args);
        let mut items = match &narrowed {
            Some((_, false)) => Vec::new(),
            _ => (self.run)(setup, args)
                .unwrap_or_else(|error| vec![not_finished(self.name, &error)]),
        };
        items.extend(narrowed.map(|(item, _)| item));
        let lines: String = items.iter().map(|item| line(item) + "\n").collect();
        // One write, so that the lines of another part are not in between.
        print!("{lines}");
        eprintln!("== {}: {:.1} s", self.name, begin.elapsed().as_secs_f64());
        items
    }

    /// Returns the item for the tests that `--driver` leaves out, and true if the rest of the part still runs;
    /// `None` if nothing is left out.
    fn narrowed(&self, args: &CheckArgs) -> Option<(Item, bool)> {
        let only = args.driver.as_deref()?;
        let why = format!("--driver {only} leaves it out");
        match self.about {
            About::Ondine if only != "ondine" => Some((
                Item::not_run(format!("{}: all of it", self.name), why),
                false,
            )),
            About::Both => {
                let other = if only == "ondine" { "erofs" } else { "ondine" };
                let what = format!("{}: what {other} makes of it", self.name);
                Some((Item::not_run(what, why), true))
            }
            About::Neither | About::Ondine => None,
        }
    }
}

/// Returns the number of parts with guests that run at the same time: a guest keeps about one processor
/// busy, and up to 2 GiB of memory.
fn lanes() -> usize {
    thread::available_parallelism().map_or(1, |n| n.get().min(4))
}

const fn host(name: &'static str, run: fn(&Setup, &CheckArgs) -> Result<Vec<Item>>) -> Part {
    Part {
        name,
        needs: Needs::Nothing,
        about: About::Neither,
        nightly: false,
        run,
    }
}

const fn build(name: &'static str, run: fn(&Setup, &CheckArgs) -> Result<Vec<Item>>) -> Part {
    Part {
        name,
        needs: Needs::Build,
        about: About::Ondine,
        nightly: false,
        run,
    }
}

const fn guest(
    name: &'static str,
    about: About,
    run: fn(&Setup, &CheckArgs) -> Result<Vec<Item>>,
) -> Part {
    Part {
        name,
        needs: Needs::Guest,
        about,
        nightly: false,
        run,
    }
}

const fn nightly(name: &'static str, run: fn(&Setup, &CheckArgs) -> Result<Vec<Item>>) -> Part {
    Part {
        nightly: true,
        ..guest(name, About::Ondine, run)
    }
}

/// All parts, in the order in which they begin: the quickest first, but those that build the kernels `san` and
/// `oracle` early enough for others to run meanwhile.
const PARTS: &[Part] = &[
    host("unsafe", |setup, _| host::unsafety(setup)),
    host("licences", |setup, _| host::licences(setup)),
    host("structure", |setup, _| host::structure(setup)),
    host("formatting", |setup, _| host::formatting(setup)),
    host("tests", |setup, _| host::tests(setup)),
    host("lints", |setup, _| host::lints(setup)),
    host("docs", |setup, _| host::docs(setup)),
    build("module", |setup, _| host::module(setup)),
    build("module-lints", |setup, _| host::module_lints(setup)),
    guest("guests", About::Neither, |setup, _| guest::truth(setup)),
    guest("reload", About::Ondine, |setup, _| guest::reload(setup)),
    guest("matrix", About::Both, guest::matrix),
    guest("gallery", About::Both, guest::gallery),
    guest("on-demand", About::Ondine, guest::on_demand),
    guest("misses", About::Ondine, |setup, _| guest::misses(setup)),
    guest("flood", About::Ondine, |setup, _| guest::flood(setup)),
    guest("behaviours", About::Both, guest::behaviours),
    guest("conform", About::Ondine, |setup, _| guest::conform(setup)),
    guest("hostile", About::Ondine, guest::hostile),
    guest("density", About::Ondine, |setup, _| guest::density(setup)),
    guest("faults", About::Ondine, |setup, _| guest::faults(setup)),
    guest("cycles", About::Ondine, guest::cycles),
    guest("nydus", About::Both, guest::nydus),
    guest("disks", About::Ondine, |setup, _| disks::some(setup)),
    nightly("every-disk", |setup, _| disks::all(setup)),
    nightly("sanitized", guest::sanitized_parts),
    nightly("many-faults", |setup, _| guest::many_faults(setup)),
];

/// Runs the parts and returns the exit code.
///
/// # Errors
/// When the result cannot be written. A part that could not run becomes a failed item, so that the other parts
/// still run.
pub fn main(args: &CheckArgs, setup: &Setup) -> Result<i32> {
    let chosen = |part: &&Part| {
        let named = args.only.as_deref();
        let wanted = named.is_none_or(|only| part.name.contains(only));
        let now = !part.nightly || args.nightly || named == Some(part.name);
        wanted && now && !(args.quick && part.needs != Needs::Nothing)
    };
    let (chosen, left_out): (Vec<&Part>, Vec<&Part>) = PARTS.iter().partition(chosen);
    if let (Some(only), true) = (&args.only, chosen.is_empty()) {
        let names: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
        bail!(
            "no part that runs here has a name that contains {only:?}: there are {}",
            names.join(", ")
        );
    }
    let (guests, others): (Vec<&Part>, Vec<&Part>) = chosen
        .into_iter()
        .partition(|part| part.needs == Needs::Guest);
    let mut items = Vec::new();
    for part in others {
        items.extend(part.report(setup, args));
    }
    items.extend(in_lanes(&guests, |part| part.report(setup, args)));
    setup.report(&items)?;
    if !left_out.is_empty() {
        let names: Vec<&str> = left_out.iter().map(|part| part.name).collect();
        println!("left out: {}", names.join(", "));
    }
    println!("{}", closing(&items));
    Ok(code(&items))
}

/// Calls `run` for each part, for [`lanes`] parts at the same time, and returns the items in the order of the
/// parts.
fn in_lanes(parts: &[&Part], run: impl Fn(&Part) -> Vec<Item> + Sync) -> Vec<Item> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..lanes() {
            scope.spawn(|| loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(part) = parts.get(at) else { break };
                let items = run(part);
                done.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(at, items);
            });
        }
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.into_values().flatten().collect()
}

/// Returns the item for a part that ended early. A kernel warning counts as a failed test, any other error as a
/// part that could not run.
fn not_finished(part: &str, error: &anyhow::Error) -> Item {
    if error.is::<Complaint>() {
        return Item::new(part, Some(format!("{error:#}")));
    }
    Item {
        incomplete: true,
        ..Item::new(part, Some(format!("could not run: {error:#}")))
    }
}

fn line(item: &Item) -> String {
    let name = &item.name;
    match (&item.failed, &item.not_run) {
        (None, None) => format!("ok      {name}"),
        (None, Some(why)) => format!("not run {name}: {why}"),
        (Some(why), _) => format!(
            "FAILED  {name}\n        {}",
            why.replace('\n', "\n        ")
        ),
    }
}

/// The end of the report: what failed or did not run, once more, then the counts.
fn closing(items: &[Item]) -> String {
    let unwell = items
        .iter()
        .filter(|item| item.failed.is_some() || item.not_run.is_some());
    let lines: String = unwell.map(|item| line(item) + "\n").collect();
    let failed = items.iter().filter(|item| item.failed.is_some()).count();
    let not_run = items.iter().filter(|item| item.not_run.is_some()).count();
    let passed = items.len() - failed - not_run;
    format!("{lines}{passed} passed, {failed} failed, {not_run} not run")
}

fn code(items: &[Item]) -> i32 {
    if items
        .iter()
        .any(|item| item.failed.is_some() && !item.incomplete)
    {
        DOES_NOT_HOLD
    } else if items.iter().all(|item| item.not_run.is_some()) || items.iter().any(|i| i.incomplete)
    {
        COULD_NOT_RUN
    } else {
        HOLDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(failed: bool, incomplete: bool) -> Item {
        Item {
            incomplete,
            ..Item::new("i", failed.then(|| "why".to_owned()))
        }
    }

    #[test]
    fn the_exit_code_tells_the_worst() {
        assert_eq!(code(&[item(false, false)]), HOLDS);
        assert_eq!(code(&[item(false, false), item(true, true)]), COULD_NOT_RUN);
        assert_eq!(code(&[item(true, true), item(true, false)]), DOES_NOT_HOLD);
        assert_eq!(code(&[]), COULD_NOT_RUN);
        let not_run = Item::not_run("i", "why".to_owned());
        assert_eq!(code(std::slice::from_ref(&not_run)), COULD_NOT_RUN);
        assert_eq!(code(&[not_run, item(false, false)]), HOLDS);
    }

    fn args(driver: &str) -> CheckArgs {
        CheckArgs {
            quick: false,
            nightly: false,
            only: None,
            rounds: 10,
            driver: Some(driver.to_owned()),
        }
    }

    #[test]
    fn what_a_driver_leaves_out_is_told() {
        let lines = |driver: &str| -> Vec<(String, bool)> {
            let args = args(driver);
            let narrowed = PARTS.iter().filter_map(|part| part.narrowed(&args));
            narrowed.map(|(item, runs)| (line(&item), runs)).collect()
        };
        let erofs = lines("erofs");
        assert_eq!(erofs.len(), 19, "{erofs:?}");
        let all = "not run conform: all of it: --driver erofs leaves it out";
        assert!(erofs.contains(&(all.to_owned(), false)), "{erofs:?}");
        let ondine = lines("ondine");
        assert!(ondine.iter().all(|(_, runs)| *runs));
        let half = "not run matrix: what erofs makes of it: --driver ondine leaves it out";
        assert!(ondine.contains(&(half.to_owned(), true)), "{ondine:?}");
    }

    #[test]
    fn a_kernel_that_complains_is_no_part_that_could_not_be_tried() {
        let complaint = anyhow::Error::from(Complaint("BUG: bad".to_owned()));
        let item = not_finished("p", &complaint.context("in a guest"));
        assert_eq!(code(&[item]), DOES_NOT_HOLD);
        let item = not_finished("p", &anyhow::anyhow!("no disk"));
        assert_eq!(code(&[item]), COULD_NOT_RUN);
    }

    #[test]
    fn every_part_runs_once_and_items_keep_their_order() {
        let parts: Vec<&Part> = PARTS.iter().collect();
        let items = in_lanes(&parts, |part| vec![Item::new(part.name, None)]);
        let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
        let expected: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn the_report_ends_with_what_failed_and_the_counts() {
        let not_run = Item::not_run("i", "why".to_owned());
        assert_eq!(line(&not_run), "not run i: why");
        let all = [item(false, false), item(true, true), not_run];
        assert_eq!(
            closing(&all),
            "FAILED  i\n        why\nnot run i: why\n1 passed, 1 failed, 1 not run"
        );
    }
}
