// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Parts of `check` that need no guest: gates on the sources, the tests of all packages, the module's object.

use std::path::Path;
use std::process::Command;

use anyhow::{bail, Context, Result};
use vmtest_lab::{gates, Setup};

use super::Item;

/// Checks that rustfmt changes nothing, in the workspace and in `kmod/src`, which is not a member of it.
pub(super) fn formatting(setup: &Setup) -> Result<Vec<Item>> {
    let mut items = cargo(setup, "format", &["fmt", "--all", "--check"])?;
    let name = "format: rustfmt --check kmod/src";
    items.push(Item::new(
        name,
        unformatted(&setup.repo().join("kmod/src"))?,
    ));
    Ok(items)
}

/// Returns the first lines of rustfmt's diff of the Rust files below `dir`, formatted with the nearest
/// `rustfmt.toml` (under `kmod`, the kernel's); `None` if they are formatted.
fn unformatted(dir: &Path) -> Result<Option<String>> {
    let mut files = Vec::new();
    gates::files_below(dir, &mut files)?;
    files.retain(|file| file.extension().is_some_and(|end| end == "rs"));
    files.sort();
    if files.is_empty() {
        bail!("no Rust file below {}", dir.display());
    }
    // Name every file, so that files which no `mod` reaches are checked too.
    let done = Command::new("rustfmt")
        .args(["--edition", "2021", "--check"])
        .args(&files)
        .output()
        .context("starting rustfmt (install it with `rustup component add rustfmt`)")?;
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&done.stderr),
        String::from_utf8_lossy(&done.stdout)
    );
    Ok((!done.status.success()).then(|| head(&told, 30)))
}

/// Checks that clippy has no warnings.
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

/// Checks that rustdoc has no warnings for the workspace, such as broken links.
pub(super) fn docs(setup: &Setup) -> Result<Vec<Item>> {
    let words = [
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ];
    let mut cargo = command(setup, &words);
    cargo.env("RUSTDOCFLAGS", "-Dwarnings");
    outcome_of(cargo, "docs", &words)
}

/// Runs all tests of the workspace: unit, property and in-process differential tests. Each test is an item.
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

/// Parses a line of a test program's output; `None` if it is not the result of a test.
fn outcome(line: &str, all: &str) -> Option<Item> {
    let rest = line.strip_prefix("test ")?;
    let (name, word) = rest.rsplit_once(" ... ")?;
    // libtest-mimic pads names.
    let name = name.trim_end();
    let failed = match word.split(',').next()?.trim() {
        "ok" => None,
        "FAILED" => Some(panic_of(name, all)),
        // An ignored test is a failure: everything that a test may need is installed.
        _ => Some(format!("was not run: {word}")),
    };
    Some(Item::new(format!("test: {name}"), failed))
}

/// Returns the first lines of the failed test's output.
fn panic_of(name: &str, all: &str) -> String {
    // As libtest and libtest-mimic print it.
    let heads = [
        format!("---- {name} stdout ----"),
        format!("---- {name} ----"),
    ];
    let Some((_, after)) = heads.iter().find_map(|head| all.split_once(head)) else {
        return "failed".to_owned();
    };
    let text = after.split("\n---- ").next().unwrap_or(after);
    text.lines()
        .filter(|l| !l.is_empty())
        .take(8)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Checks that unsafe code is only in the allowed directories, with `SAFETY` comments.
pub(super) fn unsafety(setup: &Setup) -> Result<Vec<Item>> {
    let faults = gates::unsafety::check(&setup.repo().join("kmod"))?;
    let failed = (!faults.is_empty()).then(|| gates::listing(&faults));
    Ok(vec![Item::new("unsafe code only in its places", failed)])
}

/// Checks that each source file has the SPDX header of its directory.
pub(super) fn licences(setup: &Setup) -> Result<Vec<Item>> {
    let faults = gates::licences::check(setup.repo())?;
    let failed = (!faults.is_empty()).then(|| gates::listing(&faults));
    Ok(vec![Item::new(
        "each source file names its licence",
        failed,
    )])
}

/// Checks that files do not import each other in circles, and crates only lower ones.
pub(super) fn structure(setup: &Setup) -> Result<Vec<Item>> {
    let faults = gates::structure::check(setup.repo())?;
    let failed = (!faults.is_empty()).then(|| gates::listing(&faults));
    Ok(vec![Item::new(
        "no import circle, no import of the host by the guest",
        failed,
    )])
}

/// Checks that the module builds and that its object passes the gates. A build failure is a failed item.
pub(super) fn module(setup: &Setup) -> Result<Vec<Item>> {
    setup.kernel()?;
    let failed = setup.module().err().map(|error| format!("{error:#}"));
    Ok(vec![Item::new(
        "the module builds and cannot panic",
        failed,
    )])
}

/// Checks that clippy, with the kernel's lints, has no warnings for the module's Rust code, and rustdoc none for
/// its documentation.
pub(super) fn module_lints(setup: &Setup) -> Result<Vec<Item>> {
    let failed = setup.lint_module().err();
    let lints = Item::new(
        "the kernel's lints find nothing in the module",
        failed.map(|error| format!("{error:#}")),
    );
    let failed = setup.document_module().err();
    let docs = Item::new(
        "the module's documentation has no broken link",
        failed.map(|error| format!("{error:#}")),
    );
    Ok(vec![lints, docs])
}

fn command(setup: &Setup, words: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(words).current_dir(setup.repo());
    cargo
}

fn cargo(setup: &Setup, name: &str, words: &[&str]) -> Result<Vec<Item>> {
    outcome_of(command(setup, words), name, words)
}

fn outcome_of(mut cargo: Command, name: &str, words: &[&str]) -> Result<Vec<Item>> {
    let done = cargo.output().context("starting cargo")?;
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

fn head(text: &str, count: usize) -> String {
    text.lines().take(count).collect::<Vec<_>>().join("\n")
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

    #[test]
    fn lines_of_libtest_mimic_are_items() {
        let text = "running 3 tests\ntest a::longer ... ok\ntest b         ... FAILED\n\
                    test c         ... ignored (needs mkfs.erofs)\n\nfailures:\n\n\
                    ---- b ----\ntest panicked: left is right\n\n\nfailures:\n    b\n";
        let items: Vec<Item> = text.lines().filter_map(|l| outcome(l, text)).collect();
        assert_eq!(items.len(), 3);
        assert!(items[0].failed.is_none());
        assert!(items[1].failed.as_ref().unwrap().contains("left is right"));
        let reason = items[2].failed.as_ref().unwrap();
        assert!(reason.contains("not run") && reason.contains("needs mkfs.erofs"));
    }

    #[test]
    fn an_unformatted_file_shows_the_difference() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.rs");
        std::fs::write(&file, "fn f() {}\n").unwrap();
        assert_eq!(unformatted(dir.path()).unwrap(), None);
        // The kernel's style ends a list of imports with a comment, so that it stays vertical.
        let kernel = "use a::{\n    b,\n    c, //\n};\n";
        std::fs::write(&file, kernel).unwrap();
        assert_eq!(unformatted(dir.path()).unwrap(), None);
        std::fs::write(&file, "fn f() { }\n").unwrap();
        let told = unformatted(dir.path()).unwrap().unwrap();
        assert!(told.contains("-fn f() { }"), "{told}");
        std::fs::remove_file(&file).unwrap();
        assert!(unformatted(dir.path()).is_err());
    }
}
