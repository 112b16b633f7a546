// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A flood of requests by one user, and the goals for what others notice of it.

use std::time::Duration;

use anyhow::Result;
use vmtest_lab::Setup;
use vmtest_wire::flood::{Flood, FloodJob};

use super::misses::{Goal, Row};
use crate::guest_call::GuestSession;

/// Hints and killed readers: more than the request table held before it had a limit.
const FLOOD: FloodJob = FloodJob {
    hints: 100_000,
    readers: 10_000,
};
/// Time limit of the guest.
const LIMIT: Duration = Duration::from_secs(1200);

/// READs of one mount that the daemon has not read, beyond those that tasks wait for.
const QUEUED: f64 = 64.0;
/// Memory that may be missing after the flood, in MiB.
const MEMORY_MIB: f64 = 16.0;
/// Messages until the daemon has that of another mount's miss.
const MESSAGES: f64 = 4.0;
/// Duration of a poll(2) and of the close(2) of the device, in milliseconds.
const CALL_MS: f64 = 10.0;

/// Floods a mount in a guest. A kernel that warns, or kills a process for lack of memory, is an error.
///
/// # Errors
/// When the guest could not run the job, or its kernel complained.
pub fn measure(setup: &Setup) -> Result<Vec<Row>> {
    eprintln!(
        "flooding a mount: {} hints, {} killed readers",
        FLOOD.hints, FLOOD.readers
    );
    let boot = setup.boot()?.memory("1G").limit(LIMIT);
    let session = GuestSession::new(setup.cache())?;
    Ok(figures(&session.call(boot, &FLOOD)?))
}

fn figures(flood: &Flood) -> Vec<Row> {
    let row = |what: &str, value: f64, most: Option<f64>| Row {
        what: what.to_owned(),
        value,
        goal: most.map(Goal::AtMost),
    };
    let mib = flood.memory as f64 / f64::from(1 << 20);
    vec![
        row("us for each hint", flood.hint_us, None),
        row(
            "requests that the daemon has not read",
            flood.queued as f64,
            Some(QUEUED),
        ),
        row(
            "seconds until killed readers are gone, longest",
            flood.kill_seconds,
            None,
        ),
        row("MiB of memory missing", mib, Some(MEMORY_MIB)),
        row(
            "processes killed for lack of memory",
            flood.oom_kills as f64,
            Some(0.0),
        ),
        row(
            "ms of a poll(2) of the device",
            flood.poll_us / 1e3,
            Some(CALL_MS),
        ),
        row(
            "messages until another mount's miss",
            flood.messages as f64,
            Some(MESSAGES),
        ),
        row(
            "ms of the close(2) of the device",
            flood.close_us / 1e3,
            Some(CALL_MS),
        ),
    ]
}
