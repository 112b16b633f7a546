// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The command line: a contract, written down in the README.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::provision::packages;
use crate::setup::{Options, Setup};
use crate::{bench, check, compare, conform, doctor, exec, faults, guest};

/// What was asked held.
pub const HOLDS: i32 = 0;
/// It was tried, and does not hold.
pub const DOES_NOT_HOLD: i32 = 1;
/// It could not be tried.
pub const COULD_NOT_BE_TRIED: i32 = 2;

#[derive(Debug, Parser)]
#[command(
    name = "cargo vmtest",
    about = "Builds kernels and ondine.ko, boots virtual machines, and compares what they see",
    after_help = "Exit code: 0 holds, 1 does not hold, 2 could not be tried (exec: the command's own)."
)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The main job: mount images with every driver and compare what they show with the model
    Run(compare::RunArgs),
    /// Compare every observer on one image
    Diff(compare::DiffArgs),
    /// Everything that must hold: unit, property and VM tests
    Check(check::CheckArgs),
    /// The on-demand protocol's scenarios, against ondine and against the C code of Linux 6.12
    Conform(conform::ConformArgs),
    /// Measure: instructions and device reads of every driver, side by side
    Bench(bench::BenchArgs),
    /// Let daemons die and misbehave, disks fail, tasks be killed and power be cut while images are read
    Faults(faults::FaultArgs),
    /// Mount a thousand images of twenty blobs in one guest: what each mount and each blob costs
    Density(faults::density::DensityArgs),
    /// Make everything the other commands need (they do so themselves): all kernels, or with --kernel
    /// that one alone, tools, nydus, the root tree of images
    Setup {
        /// Look for newer releases of Linux and erofs-utils
        #[arg(long)]
        refresh: bool,
    },
    /// Say what is missing on this machine and the command that mends it
    Doctor,
    /// Run a command in a guest with ondine.ko loaded (nothing is loaded with --kernel oracle); its
    /// exit code is returned
    Exec(ExecArgs),
    /// The same, interactive
    Shell(GuestArgs),
    /// What the other commands run inside the guest
    #[command(hide = true)]
    Guest {
        /// The program
        what: String,
        /// Its orders
        job: PathBuf,
        /// Where its answer goes
        answer: PathBuf,
    },
}

/// What a guest is given.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct GuestArgs {
    /// Let the guest write this directory of the host (may be repeated)
    #[arg(long, value_name = "DIR")]
    pub rw: Vec<PathBuf>,
    /// A parameter of the module, such as fstype=erofs (may be repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    pub param: Vec<String>,
    /// Load no module
    #[arg(long)]
    pub no_module: bool,
    /// Processors of the guest
    #[arg(long, default_value_t = 2)]
    pub cpus: u32,
    /// Memory of the guest
    #[arg(long)]
    pub memory: Option<String>,
    /// One more parameter for the guest's kernel (may be repeated)
    #[arg(long, value_name = "PARAM")]
    pub append: Vec<String>,
}

/// What `exec` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct ExecArgs {
    /// What the guest is given.
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Seconds after which the guest is ended
    #[arg(long, default_value_t = 3600)]
    pub limit: u64,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(why) => {
            let _ = why.print();
            let code = if why.use_stderr() {
                COULD_NOT_BE_TRIED
            } else {
                HOLDS
            };
            return exit(code);
        }
    };
    match run(cli) {
        Ok(code) => exit(code),
        Err(why) => {
            eprintln!("error: {why:#}");
            exit(COULD_NOT_BE_TRIED)
        }
    }
}

fn exit(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}

fn run(cli: Cli) -> Result<i32> {
    if let Command::Guest { what, job, answer } = &cli.command {
        guest::run(what, job, answer)?;
        return Ok(HOLDS);
    }
    let setup = Setup::new(cli.options)?;
    // Trees and images are made before any kernel is asked for, with the same packages.
    let whole = match &cli.command {
        Command::Run(_) | Command::Diff(_) | Command::Bench(_) | Command::Conform(_) => true,
        Command::Check(args) => !args.quick,
        _ => false,
    };
    if whole {
        packages::ensure(setup.cache())?;
    }
    let holds = |yes: bool| if yes { HOLDS } else { DOES_NOT_HOLD };
    match cli.command {
        Command::Run(args) => Ok(holds(compare::run(&setup, &args)?)),
        Command::Diff(args) => Ok(holds(compare::diff(&setup, &args)?)),
        Command::Bench(args) => Ok(holds(bench::run(&setup, &args)?)),
        Command::Conform(args) => conform::main(&args, &setup),
        Command::Check(args) => check::main(&args, &setup),
        Command::Density(args) => Ok(holds(faults::density::main(&setup, &args)?)),
        Command::Faults(args) => faults::main(&setup, &args),
        Command::Guest { .. } => unreachable!("done above, without a setup"),
        Command::Setup { refresh } => {
            setup.everything(refresh)?;
            println!("everything is there: {}", setup.cache().root().display());
            Ok(HOLDS)
        }
        Command::Doctor => doctor::main(&setup),
        Command::Exec(args) => exec::main(args, &setup),
        Command::Shell(args) => exec::shell(args, &setup),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_guests_command_is_taken_whole() {
        let cli = Cli::try_parse_from([
            "x", "exec", "--kernel", "san", "--rw", "/d", "--", "ls", "--kernel",
        ]);
        let Ok(Cli {
            options,
            command: Command::Exec(args),
        }) = cli
        else {
            panic!("exec was not understood");
        };
        assert_eq!(options.kernel().as_str(), "san");
        assert_eq!(args.command, ["ls", "--kernel"]);
        assert_eq!(args.guest.rw, [PathBuf::from("/d")]);
    }

    #[test]
    fn two_kernels_are_one_too_many() {
        let both = ["x", "doctor", "--kernel-src", "/a", "--kernel-build", "/b"];
        assert!(Cli::try_parse_from(both).is_err());
    }
}
