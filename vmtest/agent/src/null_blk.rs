// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Disks in memory: null_blk devices, created through configfs.

use std::fs;
use std::path::Path;

use anyhow::{ensure, Context, Result};

/// Creates a memory-backed null_blk device of `megabytes` MiB and returns its name.
pub(crate) fn disk(megabytes: u64) -> Result<String> {
    let config = Path::new("/sys/kernel/config/nullb");
    ensure!(
        config.exists(),
        "the guest's kernel has no null_blk (CONFIG_BLK_DEV_NULL_BLK)"
    );
    let known = disks()?;
    let dir = config.join("n0");
    fs::create_dir(&dir).context("creating a null_blk device in configfs")?;
    for (name, value) in [
        ("size", megabytes.to_string().as_str()),
        ("memory_backed", "1"),
        ("blocksize", "4096"),
        // Requests complete in the submitting context: no interrupt, no timer.
        ("irqmode", "0"),
        ("submit_queues", "1"),
        ("power", "1"),
    ] {
        fs::write(dir.join(name), value).with_context(|| format!("null_blk's {name}"))?;
    }
    // The name of a device created through configfs differs between kernels.
    let new = disks()?.into_iter().find(|name| !known.contains(name));
    new.context("null_blk created no disk")
}

fn disks() -> Result<Vec<String>> {
    fs::read_dir("/sys/block")?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}
