// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The command `doctor`: missing prerequisites of this machine, and the commands that install them.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde::Serialize;
use vmtest_lab::provision::packages;
use vmtest_lab::Setup;

use crate::exit::{DOES_NOT_HOLD, HOLDS};

/// Result of checking one prerequisite.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The prerequisite.
    pub thing: String,
    /// The fault; `None` if the prerequisite is met.
    pub fault: Option<String>,
    /// The command that fixes it; `None` if no fix is needed.
    pub remedy: Option<String>,
}

/// Checks all prerequisites and prints them, without changing anything. Returns the exit code.
pub fn main(setup: &Setup) -> Result<i32> {
    let findings = findings(setup);
    for finding in &findings {
        match (&finding.fault, &finding.remedy) {
            (None, _) => println!("ok       {}", finding.thing),
            (Some(fault), Some(remedy)) => {
                println!(
                    "missing  {}: {fault}\n         fix: {remedy}",
                    finding.thing
                );
            }
            (Some(fault), None) => println!("note     {}: {fault}", finding.thing),
        }
    }
    setup.report(&findings)?;
    let broken = findings
        .iter()
        .any(|one| one.fault.is_some() && one.remedy.is_some());
    Ok(if broken { DOES_NOT_HOLD } else { HOLDS })
}

fn findings(setup: &Setup) -> Vec<Finding> {
    let mut list = Vec::new();
    let mut add = |thing: &str, fault: Option<String>, remedy: Option<String>| {
        list.push(Finding {
            thing: thing.to_owned(),
            fault,
            remedy,
        });
    };
    match packages::missing() {
        Ok(missing) if missing.is_empty() => add("Debian packages", None, None),
        Ok(missing) => add(
            "Debian packages",
            Some(missing.join(" ")),
            Some(packages::remedy(&missing)),
        ),
        Err(why) => add(
            "Debian packages",
            Some(format!("{why:#}")),
            Some("use Debian 12 or later".to_owned()),
        ),
    }
    for program in ["rustc", "cargo"] {
        let there = Command::new(program).arg("--version").output().is_ok();
        add(
            program,
            (!there).then(|| "not in PATH".to_owned()),
            Some("rustup toolchain install stable".to_owned()),
        );
    }
    // What `check` without options makes and keeps.
    for (step, thing) in [
        ("source-", "Linux 7.3 source"),
        ("bindgen-", "bindgen"),
        ("virtme-ng-", "virtme-ng"),
        ("erofs-utils-", "erofs-utils"),
        ("nydus-", "nydus"),
        ("minbase-", "Debian root tree"),
        ("kernel-fast-", "kernel `fast`"),
        ("kernel-san-", "kernel `san`"),
        ("kernel-oracle-", "kernel `oracle`, Linux 6.12"),
    ] {
        let there = has_step(setup.cache().root(), step);
        add(
            thing,
            (!there).then(|| "made at its first use, or now by `cargo vmtest setup`".to_owned()),
            None,
        );
    }
    add("KVM", kvm_note(setup.cache().root()), None);
    list
}

fn has_step(cache: &Path, prefix: &str) -> bool {
    std::fs::read_dir(cache)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| {
            entry.file_name().to_string_lossy().starts_with(prefix)
                && entry.path().join(".done").exists()
        })
}

fn kvm_note(cache: &Path) -> Option<String> {
    if !Path::new("/dev/kvm").exists() {
        return Some("no /dev/kvm: guests are emulated, which works but is slower".to_owned());
    }
    let answers = std::fs::read_dir(cache.join("answers"))
        .into_iter()
        .flatten()
        .flatten();
    let no = answers.into_iter().any(|entry| {
        entry.file_name().to_string_lossy().starts_with("kvm-")
            && std::fs::read_to_string(entry.path()).is_ok_and(|text| text.trim() == "no")
    });
    no.then(|| "/dev/kvm exists, but a guest does not boot with it: guests are emulated".to_owned())
}
