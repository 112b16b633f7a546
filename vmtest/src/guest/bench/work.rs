// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The workloads.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{ensure, Result};

use super::{State, Store};
use crate::guest::sys;

/// A workload.
pub(super) struct Work {
    /// Its name in the table.
    pub(super) name: &'static str,
    /// The states it is measured in.
    pub(super) states: &'static [State],
    /// Does it once.
    pub(super) run: fn(&Store, &Path) -> Result<()>,
}

/// On the root tree.
pub(super) const ON_TREES: &[Work] = &[
    Work {
        name: "tar to nowhere",
        states: &[State::Warm, State::Names, State::Cold],
        run: |store, _| shell(store, "tar -cf /dev/null -C /mnt ."),
    },
    Work {
        name: "find -ls",
        states: &[State::Warm, State::Names, State::Cold],
        run: |store, _| shell(store, "find /mnt -ls >/dev/null"),
    },
    Work {
        name: "tar through cat",
        states: &[State::Warm, State::Cold],
        run: |store, _| shell(store, "tar -cf - -C /mnt . | cat >/dev/null"),
    },
];

/// On the large file.
pub(super) const ON_FILES: &[Work] = &[
    Work {
        name: "sequential 256 MiB",
        states: &[State::Warm, State::Cold],
        run: |_, path| sequential(path),
    },
    Work {
        name: "random 4 KiB",
        states: &[State::Warm, State::Cold],
        run: |_, path| random(path),
    },
];

/// Bytes of the large file that are read.
const LARGE: u64 = 256 << 20;
/// Random reads.
const RANDOM: u64 = 8192;

/// Runs a line of shell with the programs of the tree on tmpfs, which is their root directory; what
/// is measured is on `/mnt`. What tar says of sockets is not shown.
fn shell(store: &Store, line: &str) -> Result<()> {
    let mut command = Command::new("/bin/sh");
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command
        .arg("-c")
        .arg(line)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    sys::in_root(&mut command, &store.tools.point);
    let status = command.status()?;
    ensure!(status.success(), "`{line}` ended with {status}");
    Ok(())
}

fn sequential(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    let mut buffer = vec![0; 128 << 10];
    let mut at = 0;
    while at < LARGE {
        let count = file.read_at(&mut buffer, at)? as u64;
        ensure!(count > 0, "the file ends at {at}");
        at += count;
    }
    Ok(())
}

fn random(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    let mut buffer = [0; 4096];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..RANDOM {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let page = state % (LARGE / 4096);
        file.read_exact_at(&mut buffer, page * 4096)?;
    }
    Ok(())
}
