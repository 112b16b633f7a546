// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What is checked without a guest: the sources, the tests of every package, the module's object.

use std::process::Command;

use anyhow::{Context, Result};

use super::Item;
use crate::{gates, Setup};

/// rustfmt has nothing to change.
pub(super) fn formatting(setup: &Setup) -> Result<Vec<Item>> {
    cargo(setup, "format", &["fmt", "--all", "--check"])
}

/// clippy has nothing to say.
pub(super) fn lints(setup: &Setup) -> Result<Vec<Item>> {
    let words = [
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-Dwarnings",
    ];
    cargo(setup, "lints", &words)
}

/// Every test of the workspace: unit, property and in-process differential. Each one is an item.
pub(super) fn tests(setup: &Setup) -> Result<Vec<Item>> {
    let done = command(setup, &["test", "--workspace", "--no-fail-fast"])
        .env("ONDINE_MKFS_EROFS", setup.erofs_utils()?.mkfs)
        .output()
        .context("starting cargo")?;
    let text = String::from_utf8_lossy(&done.stdout);
    let mut items: Vec<Item> = text
        .lines()
        .filter_map(|line| outcome(line, &text))
        .collect();
    let all_held = items.iter().all(|item| item.failed.is_none());
    if all_held && (!done.status.success() || items.is_empty()) {
        let told = String::from_utf8_lossy(&done.stderr);
        items.push(Item::new(
            "tests: building and running them",
            Some(tail(&told, 20)),
        ));
    }
    Ok(items)
}

/// One line of a test program, when it tells of a test.
fn outcome(line: &str, all: &str) -> Option<Item> {
    let rest = line.strip_prefix("test ")?;
    let (name, word) = rest.rsplit_once(" ... ")?;
    let failed = match word.split(',').next()?.trim() {
        "ok" => None,
        "FAILED" => Some(panic_of(name, all)),
        // An ignored test was not run: it is no success, and the line says so.
        _ => Some(format!("was not run: {word}")),
    };
    Some(Item::new(format!("test: {name}"), failed))
}

/// What the test printed before it failed.
fn panic_of(name: &str, all: &str) -> String {
    let head = format!("---- {name} stdout ----");
    let Some((_, after)) = all.split_once(&head) else {
        return "failed".to_owned();
    };
    let text = after.split("\n---- ").next().unwrap_or(after);
    text.lines()
        .filter(|l| !l.is_empty())
        .take(8)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Unsafe code is only where it may be, and argues for itself.
pub(super) fn unsafety(setup: &Setup) -> Result<Vec<Item>> {
    let faults = gates::unsafety::check(&setup.repo().join("kmod"))?;
    let failed = (!faults.is_empty()).then(|| gates::listing(&faults));
    Ok(vec![Item::new("unsafe code only in its places", failed)])
}

/// The module builds, and its object passes the gates: a module that does not build does not hold.
pub(super) fn module(setup: &Setup) -> Result<Vec<Item>> {
    setup.kernel()?;
    let failed = setup.module().err().map(|error| format!("{error:#}"));
    Ok(vec![Item::new(
        "the module builds and cannot panic",
        failed,
    )])
}

fn command(setup: &Setup, words: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(words).current_dir(setup.repo());
    cargo
}

fn cargo(setup: &Setup, name: &str, words: &[&str]) -> Result<Vec<Item>> {
    let done = command(setup, words).output().context("starting cargo")?;
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    let failed = (!done.status.success()).then(|| tail(&told, 30));
    Ok(vec![Item::new(
        format!("{name}: cargo {}", words.join(" ")),
        failed,
    )])
}

fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_test_program_are_items() {
        let text = "running 3 tests\ntest a::b ... ok\ntest c ... FAILED\ntest d ... ignored, slow\n\
                    ---- c stdout ----\nthread 'c' panicked at x.rs:1:\nleft is right\n\nfailures:\n";
        let items: Vec<Item> = text.lines().filter_map(|l| outcome(l, text)).collect();
        assert_eq!(items.len(), 3);
        assert!(items[0].failed.is_none());
        assert!(items[1].failed.as_ref().unwrap().contains("left is right"));
        assert!(items[2].failed.as_ref().unwrap().contains("not run"));
    }
}
