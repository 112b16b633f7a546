// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The workloads.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{ensure, Result};

use super::State;

/// A workload.
pub(super) struct Work {
    /// Its name in the table.
    pub(super) name: &'static str,
    /// The states it is measured in.
    pub(super) states: &'static [State],
    /// Does it once.
    pub(super) run: fn(&Path) -> Result<()>,
}

/// On the root tree.
pub(super) const ON_TREES: &[Work] = &[
    Work {
        name: "tar to nowhere",
        states: &[State::Warm, State::Names, State::Cold],
        run: |path| shell("tar -cf /dev/null -C \"$0\" .", path),
    },
    Work {
        name: "find -ls",
        states: &[State::Warm, State::Names, State::Cold],
        run: |path| shell("find \"$0\" -ls >/dev/null", path),
    },
    Work {
        name: "tar through cat",
        states: &[State::Warm, State::Cold],
        run: |path| shell("tar -cf - -C \"$0\" . | cat >/dev/null", path),
    },
];

/// On the large file.
pub(super) const ON_FILES: &[Work] = &[
    Work {
        name: "sequential 256 MiB",
        states: &[State::Warm, State::Cold],
        run: sequential,
    },
    Work {
        name: "random 4 KiB",
        states: &[State::Warm, State::Cold],
        run: random,
    },
];

/// Bytes of the large file that are read.
const LARGE: u64 = 256 << 20;
/// Random reads.
const RANDOM: u64 = 8192;

/// Runs a line of shell with `path` as its `$0`. What tar says of sockets is not shown.
fn shell(line: &str, path: &Path) -> Result<()> {
    let status = Command::new("sh")
        .arg("-c")
        .arg(line)
        .arg(path)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "`{line}` ended with {status}");
    Ok(())
}

/// Brings the programs themselves back into memory: their files lie elsewhere.
pub(super) fn touch_programs() -> Result<()> {
    let line = "tar --version >/dev/null; find --version >/dev/null; cat /dev/null; ls -ln /dev/null >/dev/null; find /dev/null -ls > /dev/null";
    shell(line, Path::new("/"))
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
