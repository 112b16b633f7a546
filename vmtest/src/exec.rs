// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `exec` and `shell`: anybody's command in a guest with the module loaded.

use std::time::Duration;

use anyhow::Result;

use crate::cli::{ExecArgs, GuestArgs};
use crate::setup::Setup;
use crate::vm::{Boot, Stdio};

/// Runs the command; its exit code. A complaint of the kernel is printed first and fails a
/// command that ended with 0.
pub fn main(args: ExecArgs, setup: &Setup) -> Result<i32> {
    let run = guest(&args.guest, setup)?
        .stdio(Stdio::Passed)
        .limit(Duration::from_secs(args.limit))
        .run(&args.command)?;
    setup.report(&run)?;
    if !run.problems.is_empty() || run.exit_code.is_none() {
        eprint!("{}", run.complaint());
    }
    Ok(run.code())
}

/// An interactive shell; its exit code.
pub fn shell(args: GuestArgs, setup: &Setup) -> Result<i32> {
    guest(&args, setup)?
        .limit(Duration::from_secs(7 * 24 * 3600))
        .shell()
}

fn guest(args: &GuestArgs, setup: &Setup) -> Result<Boot> {
    let mut boot = if args.no_module || !setup.options().kernel().takes_module() {
        setup.boot_without_module()?
    } else {
        setup.boot()?
    };
    boot = boot.cpus(args.cpus);
    // The host's programs are all there: the caller's search path finds them.
    if let Ok(path) = std::env::var("PATH") {
        boot = boot.env("PATH", path);
    }
    if let Some(memory) = &args.memory {
        boot = boot.memory(memory);
    }
    for dir in &args.rw {
        boot = boot.rw(dir);
    }
    for param in &args.param {
        boot = boot.module_param(param);
    }
    for param in &args.append {
        boot = boot.append(param);
    }
    Ok(boot)
}
