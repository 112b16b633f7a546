// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `check`: everything that must hold, one part after the other.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{bail, ensure, Context, Result};
use serde::Serialize;

use crate::cli::{COULD_NOT_BE_TRIED, DOES_NOT_HOLD, HOLDS};
use crate::setup::Setup;
use crate::{compare, gates};

/// What `check` takes.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct CheckArgs {
    /// Leave out what needs a virtual machine
    #[arg(long)]
    pub quick: bool,
}

/// One part: `Ok(None)` holds, `Ok(Some(why))` does not, an error means it could not be tried.
struct Part {
    name: &'static str,
    guest: bool,
    run: fn(&Setup) -> Result<Option<String>>,
}

/// All of them, the quickest to fail first.
const PARTS: &[Part] = &[
    Part {
        name: "unsafe only in its places",
        guest: false,
        run: unsafety,
    },
    Part {
        name: "formatting",
        guest: false,
        run: formatting,
    },
    Part {
        name: "unit and property tests",
        guest: false,
        run: tests,
    },
    Part {
        name: "lints",
        guest: false,
        run: lints,
    },
    Part {
        name: "the module cannot panic",
        guest: true,
        run: module,
    },
    Part {
        name: "guests tell the truth",
        guest: true,
        run: guests,
    },
    Part {
        name: "the module comes and goes",
        guest: true,
        run: reload,
    },
    Part {
        name: "every image, every observer",
        guest: true,
        run: images,
    },
];

#[derive(Serialize)]
struct Outcome {
    part: &'static str,
    /// `holds`, `does not hold`, `could not be tried` or `left out`.
    outcome: &'static str,
    why: Option<String>,
    seconds: f64,
}

const LEFT_OUT: &str = "left out";

/// Runs the parts; the exit code.
pub fn main(args: CheckArgs, setup: &Setup) -> Result<i32> {
    let mut outcomes = Vec::new();
    for part in PARTS {
        let begin = Instant::now();
        let (outcome, why) = if part.guest && args.quick {
            (LEFT_OUT, None)
        } else {
            eprintln!("== {}", part.name);
            match (part.run)(setup) {
                Ok(None) => ("holds", None),
                Ok(Some(why)) => ("does not hold", Some(why)),
                Err(why) => ("could not be tried", Some(format!("{why:#}"))),
            }
        };
        if let Some(why) = &why {
            eprintln!("{why}");
        }
        let seconds = begin.elapsed().as_secs_f64();
        outcomes.push(Outcome {
            part: part.name,
            outcome,
            why,
            seconds,
        });
    }
    print!("{}", table(&outcomes));
    setup.report(&outcomes)?;
    Ok(code(&outcomes))
}

fn code(outcomes: &[Outcome]) -> i32 {
    let any = |what: &str| outcomes.iter().any(|one| one.outcome == what);
    if any("does not hold") {
        DOES_NOT_HOLD
    } else if any("could not be tried") {
        COULD_NOT_BE_TRIED
    } else {
        HOLDS
    }
}

fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for one in outcomes {
        let _ = writeln!(
            text,
            "{:<30} {:<20} {:>7.1} s",
            one.part, one.outcome, one.seconds
        );
    }
    let count = |what: &[&str]| {
        outcomes
            .iter()
            .filter(|one| what.contains(&one.outcome))
            .count()
    };
    let _ = writeln!(
        text,
        "{} passed, {} failed, {} skipped",
        count(&["holds"]),
        count(&["does not hold", "could not be tried"]),
        count(&[LEFT_OUT])
    );
    text
}

fn unsafety(setup: &Setup) -> Result<Option<String>> {
    let faults = gates::unsafety::check(&setup.repo().join("kmod"))?;
    Ok((!faults.is_empty()).then(|| gates::listing(&faults)))
}

fn formatting(setup: &Setup) -> Result<Option<String>> {
    cargo(setup, &["fmt", "--all", "--check"])
}

fn tests(setup: &Setup) -> Result<Option<String>> {
    cargo(setup, &["test", "--workspace"])
}

fn lints(setup: &Setup) -> Result<Option<String>> {
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ];
    cargo(setup, &clippy)
}

fn cargo(setup: &Setup, args: &[&str]) -> Result<Option<String>> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(program)
        .args(args)
        .current_dir(setup.repo())
        .status()
        .context("cargo is not in PATH")?;
    Ok((!status.success()).then(|| format!("`cargo {}` ended with {status}", args.join(" "))))
}

fn module(setup: &Setup) -> Result<Option<String>> {
    setup.kernel()?;
    // The build is what the gates judge: a module that does not build does not hold either.
    Ok(setup.module().err().map(|why| format!("{why:#}")))
}

/// What a run reports must be what happened, or nothing else here means anything.
fn guests(setup: &Setup) -> Result<Option<String>> {
    let boot = setup.boot_without_module()?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("written-by-a-guest");
    let script = format!(
        "echo out; echo err >&2; touch '{}' 2>/dev/null && exit 1; touch /tmp/x $SCRATCH/y && exit 7",
        here.display()
    );
    let run = boot.run(["sh", "-c", &script])?;
    let truth = || -> Result<()> {
        ensure!(
            run.exit_code == Some(7),
            "the exit code was 7, reported {:?}",
            run.exit_code
        );
        ensure!(
            run.stdout == "out\n",
            "standard output was `out`, reported {:?}",
            run.stdout
        );
        ensure!(
            run.stderr == "err\n",
            "standard error was `err`, reported {:?}",
            run.stderr
        );
        ensure!(
            run.problems.is_empty(),
            "an idle guest complained:\n{}",
            run.complaint()
        );
        ensure!(!here.exists(), "the guest wrote to the host");
        let crash = boot.run(["sh", "-c", "echo c > /proc/sysrq-trigger; sleep 9"])?;
        ensure!(
            !crash.passed() && !crash.problems.is_empty(),
            "a panic went unnoticed"
        );
        Ok(())
    };
    Ok(truth().err().map(|why| format!("{why:#}")))
}

fn reload(setup: &Setup) -> Result<Option<String>> {
    let module = setup.module()?.display().to_string();
    let script = format!(
        "set -e; for i in $(seq 50); do rmmod ondine; insmod '{module}'; done; rmmod ondine; ! grep ondine /proc/filesystems"
    );
    let run = setup.boot()?.run(["sh", "-c", &script])?;
    Ok((!run.passed()).then(|| run.complaint()))
}

fn images(setup: &Setup) -> Result<Option<String>> {
    match compare::run(setup, &compare::RunArgs::default()) {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some("the accounts differ: see the table".to_owned())),
        Err(why) => bail!(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(outcome: &'static str) -> Outcome {
        Outcome {
            part: "p",
            outcome,
            why: None,
            seconds: 1.0,
        }
    }

    #[test]
    fn the_exit_code_tells_the_worst() {
        assert_eq!(code(&[outcome("holds"), outcome(LEFT_OUT)]), HOLDS);
        assert_eq!(
            code(&[outcome("holds"), outcome("could not be tried")]),
            COULD_NOT_BE_TRIED
        );
        let both = [outcome("could not be tried"), outcome("does not hold")];
        assert_eq!(code(&both), DOES_NOT_HOLD);
    }

    #[test]
    fn the_last_line_counts() {
        let text = table(&[
            outcome("holds"),
            outcome("could not be tried"),
            outcome(LEFT_OUT),
        ]);
        assert_eq!(text.lines().last(), Some("1 passed, 1 failed, 1 skipped"));
    }
}
