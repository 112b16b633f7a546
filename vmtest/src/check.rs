// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `check`: everything that must hold, one part after the other; a line for each thing that was
//! tried, then the count.

mod guest;
mod host;

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use crate::cli::{COULD_NOT_BE_TRIED, DOES_NOT_HOLD, HOLDS};
use crate::setup::Setup;

/// What `check` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// Leave out what needs a virtual machine
    #[arg(long)]
    pub quick: bool,

    /// Only the parts whose name contains this (the closing count is then of these alone)
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,

    /// Rounds of loading, mounting, using, unmounting and unloading
    ///
    /// With fewer than 10 a leak of one object a round would not stand out.
    #[arg(long, value_name = "COUNT", default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(10..))]
    pub rounds: u32,

    /// Only this driver (ondine or erofs) in the guests
    #[arg(long, value_name = "FSTYPE")]
    pub driver: Option<String>,
}

impl CheckArgs {
    /// Whether the guests' observers with this driver take part.
    fn wants(&self, fs: &str) -> bool {
        self.driver.as_deref().is_none_or(|only| only == fs)
    }
}

/// One thing that was tried.
#[derive(Clone, Debug, Serialize)]
struct Item {
    /// What.
    name: String,
    /// Why it does not hold.
    failed: Option<String>,
    /// It does not hold because it could not be tried.
    untried: bool,
    /// Why nobody tried it: it is no failure, and no success.
    not_run: Option<String>,
}

impl Item {
    fn new(name: impl Into<String>, failed: Option<String>) -> Self {
        Self {
            name: name.into(),
            failed,
            untried: false,
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

/// A part gives its items, or the reason why it could not be tried.
struct Part {
    name: &'static str,
    guest: bool,
    run: fn(&Setup, &CheckArgs) -> Result<Vec<Item>>,
}

const fn host(name: &'static str, run: fn(&Setup, &CheckArgs) -> Result<Vec<Item>>) -> Part {
    Part {
        name,
        guest: false,
        run,
    }
}

const fn guest(name: &'static str, run: fn(&Setup, &CheckArgs) -> Result<Vec<Item>>) -> Part {
    Part {
        name,
        guest: true,
        run,
    }
}

/// All of them, the quickest to fail first.
const PARTS: &[Part] = &[
    host("unsafe", |setup, _| host::unsafety(setup)),
    host("formatting", |setup, _| host::formatting(setup)),
    host("tests", |setup, _| host::tests(setup)),
    host("lints", |setup, _| host::lints(setup)),
    guest("module", |setup, _| host::module(setup)),
    guest("guests", |setup, _| guest::truth(setup)),
    guest("reload", |setup, _| guest::reload(setup)),
    guest("matrix", guest::matrix),
    guest("gallery", guest::gallery),
    guest("on-demand", guest::on_demand),
    guest("misses", |setup, _| guest::misses(setup)),
    guest("behaviours", guest::behaviours),
    guest("hostile", guest::hostile),
    guest("conform", |setup, _| guest::conform(setup)),
    guest("faults", |setup, _| guest::faults(setup)),
    guest("density", |setup, _| guest::density(setup)),
    guest("nydus", guest::nydus),
    guest("cycles", guest::cycles),
];

/// Runs the parts; the exit code.
///
/// # Errors
/// When the result cannot be written. A part that could not be tried is a failed item, so that the
/// others still run.
pub fn main(args: &CheckArgs, setup: &Setup) -> Result<i32> {
    let mut items = Vec::new();
    let mut left_out = Vec::new();
    for part in PARTS {
        let chosen = args
            .only
            .as_deref()
            .is_none_or(|only| part.name.contains(only));
        if !chosen || (args.quick && part.guest) {
            left_out.push(part.name);
            continue;
        }
        let begin = Instant::now();
        eprintln!("== {}", part.name);
        let done = (part.run)(setup, args).unwrap_or_else(|error| {
            let why = format!("could not be tried: {error:#}");
            vec![Item {
                untried: true,
                ..Item::new(part.name, Some(why))
            }]
        });
        for item in &done {
            println!("{}", line(item));
        }
        eprintln!("== {}: {:.1} s", part.name, begin.elapsed().as_secs_f64());
        items.extend(done);
    }
    setup.report(&items)?;
    if !left_out.is_empty() {
        println!("left out: {}", left_out.join(", "));
    }
    println!("{}", closing(&items));
    Ok(code(&items))
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

fn closing(items: &[Item]) -> String {
    let failed = items.iter().filter(|item| item.failed.is_some()).count();
    let not_run = items.iter().filter(|item| item.not_run.is_some()).count();
    let passed = items.len() - failed - not_run;
    format!("{passed} passed, {failed} failed, {not_run} not run")
}

fn code(items: &[Item]) -> i32 {
    if items
        .iter()
        .any(|item| item.failed.is_some() && !item.untried)
    {
        DOES_NOT_HOLD
    } else if items.iter().all(|item| item.not_run.is_some()) || items.iter().any(|i| i.untried) {
        COULD_NOT_BE_TRIED
    } else {
        HOLDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(failed: bool, untried: bool) -> Item {
        Item {
            untried,
            ..Item::new("i", failed.then(|| "why".to_owned()))
        }
    }

    #[test]
    fn the_exit_code_tells_the_worst() {
        assert_eq!(code(&[item(false, false)]), HOLDS);
        assert_eq!(
            code(&[item(false, false), item(true, true)]),
            COULD_NOT_BE_TRIED
        );
        assert_eq!(code(&[item(true, true), item(true, false)]), DOES_NOT_HOLD);
        assert_eq!(code(&[]), COULD_NOT_BE_TRIED);
        let not_run = Item::not_run("i", "why".to_owned());
        assert_eq!(code(std::slice::from_ref(&not_run)), COULD_NOT_BE_TRIED);
        assert_eq!(code(&[not_run, item(false, false)]), HOLDS);
    }

    #[test]
    fn the_closing_line_counts() {
        let not_run = Item::not_run("i", "why".to_owned());
        assert_eq!(line(&not_run), "not run i: why");
        let all = [
            item(false, false),
            item(true, true),
            item(true, false),
            not_run,
        ];
        assert_eq!(closing(&all), "1 passed, 2 failed, 1 not run");
    }
}
