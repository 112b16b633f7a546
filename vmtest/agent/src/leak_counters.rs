// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Counts of kernel objects and free memory, to find leaks.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{ensure, Context, Result};

use super::mounts::drop_caches;

/// Kernel objects in use, and free memory.
pub(crate) struct Count {
    /// Objects in use by slab cache, and the numbers of mounts, vmalloc areas and file systems.
    pub(crate) objects: BTreeMap<String, u64>,
    /// Free memory in bytes, see [`free`].
    pub(crate) free: u64,
}

impl Count {
    /// Drops all caches and counts.
    ///
    /// # Errors
    /// A file in /proc cannot be read, or /proc/slabinfo has too few caches.
    pub(crate) fn now() -> Result<Self> {
        shrink()?;
        let mut objects = BTreeMap::new();
        let slabs = fs::read_to_string("/proc/slabinfo").context("/proc/slabinfo")?;
        for line in slabs.lines().skip(2) {
            let mut words = line.split_whitespace();
            if let (Some(name), Some(active)) = (words.next(), words.next()) {
                objects.insert(format!("slab {name}"), active.parse()?);
            }
        }
        ensure!(
            objects.len() > 20,
            "/proc/slabinfo has only {} caches",
            objects.len()
        );
        // Areas that are freed, such as stacks of threads, stay until there are many of them.
        objects.remove("slab vmap_area");
        let lines = |path: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            text.lines().filter(|l| !l.contains("unpurged")).count() as u64
        };
        objects.insert("mounts".to_owned(), lines("/proc/self/mounts"));
        objects.insert("vmalloc areas".to_owned(), lines("/proc/vmallocinfo"));
        objects.insert("file systems".to_owned(), lines("/proc/filesystems"));
        Ok(Self {
            objects,
            free: free()?,
        })
    }
}

/// Growth that is never a leak: objects allocated by other activities of the guest.
pub(crate) const UNREST: u64 = 4;

/// The kinds of objects that leak, each with its three numbers: before the rounds of a test, after half
/// of them, and after all.
///
/// Kernel caches grow now and then by a step, but a leak grows with the number of rounds. So only a
/// growth by more than `room` in both halves is a leak.
pub(crate) fn grown(counts: &[Count; 3], room: u64) -> Vec<(String, [u64; 3])> {
    let grown = counts[2].objects.keys().filter_map(|name| {
        let of = |count: &Count| count.objects.get(name).copied().unwrap_or(0);
        let numbers = counts.each_ref().map(of);
        let leaks = numbers.is_sorted_by(|then, now| *now > then + room);
        leaks.then(|| (name.clone(), numbers))
    });
    grown.collect()
}

/// Frees what the kernel only keeps in case that it is used again: cached files, and free objects of slab caches.
///
/// # Errors
/// `/proc/sys/vm/drop_caches` cannot be written.
pub(crate) fn shrink() -> Result<()> {
    // Repeated, so that objects waiting for a grace period or a workqueue, or in KASAN's
    // quarantine, are freed first.
    for _ in 0..3 {
        drop_caches()?;
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    for cache in fs::read_dir("/sys/kernel/slab")
        .into_iter()
        .flatten()
        .flatten()
    {
        // Some caches cannot be shrunk.
        let _ = fs::write(cache.path().join("shrink"), "1");
    }
    Ok(())
}

/// Returns the bytes that are free or accounted for in /proc/meminfo: file and program pages, slabs
/// (counted separately by object), and the per-CPU lists of free pages, which `MemFree` leaves out.
fn free() -> Result<u64> {
    let memory = fs::read_to_string("/proc/meminfo")?;
    let mut kilobytes = 0;
    for name in [
        "MemFree:",
        "Buffers:",
        "Cached:",
        "AnonPages:",
        "Slab:",
        "PageTables:",
        "KernelStack:",
    ] {
        let line = memory.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
        kilobytes += number
            .with_context(|| format!("no {name} in /proc/meminfo"))?
            .parse::<u64>()?;
    }
    Ok(kilobytes * 1024 + listed()?)
}

/// Returns the bytes in the per-CPU lists of free pages, which `MemFree` leaves out.
///
/// # Errors
/// `/proc/zoneinfo` cannot be read.
pub(crate) fn listed() -> Result<u64> {
    let zones = fs::read_to_string("/proc/zoneinfo")?;
    let counts = zones
        .lines()
        .filter_map(|line| line.trim().strip_prefix("count:"));
    let pages: u64 = counts
        .filter_map(|count| count.trim().parse::<u64>().ok())
        .sum();
    Ok(pages * 4096)
}
