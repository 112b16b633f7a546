// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The commands `exec` and `shell`: a command or a shell in a guest with the module loaded.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{ensure, Result};
use vmtest_lab::vm::{Boot, Stdio};
use vmtest_lab::Setup;

/// Guest options of `exec` and `shell`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct GuestArgs {
    /// Give the guest write access to this directory of the host (may be repeated)
    #[arg(long, value_name = "DIR")]
    pub rw: Vec<PathBuf>,
    /// Module parameter, such as fstype=erofs (may be repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    pub param: Vec<String>,
    /// Do not load the module
    #[arg(long)]
    pub no_module: bool,
    /// Number of CPUs of the guest
    #[arg(long, default_value_t = 2)]
    pub cpus: u32,
    /// Memory size of the guest, such as 2G
    #[arg(long)]
    pub memory: Option<String>,
    /// Kernel command-line parameter of the guest (may be repeated)
    #[arg(long, value_name = "PARAM")]
    pub append: Vec<String>,
}

/// Arguments of `exec`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExecArgs {
    /// Options of the guest.
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Time limit in seconds, after which the guest is killed
    #[arg(long, default_value_t = 3600)]
    pub limit: u64,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}

/// Runs the command and returns its exit code. A kernel warning is printed and fails a command that exited
/// with 0.
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

/// Runs an interactive shell and returns its exit code.
pub fn shell(args: GuestArgs, setup: &Setup) -> Result<i32> {
    guest(&args, setup)?
        .limit(Duration::from_secs(7 * 24 * 3600))
        .shell()
}

fn guest(args: &GuestArgs, setup: &Setup) -> Result<Boot> {
    // Before a build that takes minutes.
    for dir in &args.rw {
        ensure!(
            dir.is_dir(),
            "--rw {} is no directory: make it first",
            dir.display()
        );
    }
    if let Some(module) = &setup.options().module {
        ensure!(module.is_file(), "--module {} is no file", module.display());
    }
    let mut boot = if args.no_module || !setup.options().kernel().takes_module() {
        setup.boot_without_module()?
    } else {
        setup.boot()?
    };
    boot = boot.cpus(args.cpus);
    // The guest sees the host's programs: pass the caller's search path.
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
