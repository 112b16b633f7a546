// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The command line, as documented in `README.md`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use vmtest_lab::provision::packages;
use vmtest_lab::workspace::Options;
use vmtest_lab::Setup;

use crate::exec::{self, ExecArgs, GuestArgs};
use crate::exit::{self, COULD_NOT_RUN, DOES_NOT_HOLD, HOLDS};
use crate::suites::{bench, compare, conform, density, faults, on_demand};
use crate::{check, doctor};

#[derive(Debug, Parser)]
#[command(
    name = "cargo vmtest",
    about = "Builds kernels and ondine.ko, boots virtual machines, and compares what they see",
    after_help = "Exit code: 0 passed, 1 failed, 2 could not run (exec, shell: the exit code of the guest's command)."
)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Mount images with every driver and compare the trees that they show with the model
    Run(compare::RunArgs),
    /// Compare every observer on one image
    Diff(compare::DiffArgs),
    /// Run all tests and gates: unit, property and VM tests
    Check(check::CheckArgs),
    /// Play the scenarios of the on-demand protocol on ondine and on the C code of Linux 6.12
    Conform(conform::ConformArgs),
    /// Measure instructions and device reads of every driver, side by side
    Bench(bench::BenchArgs),
    /// Read images while daemons die and misbehave, disks fail, tasks are killed and the power is cut
    Faults(faults::FaultArgs),
    /// Mount a thousand images of twenty blobs in one guest and measure the cost of each mount and blob
    Density(density::DensityArgs),
    /// Build and download everything that the other commands need (they do so on first use): kernels (with
    /// --kernel only that one), tools, nydus, the Debian root tree
    Setup {
        /// Look for newer releases of Linux and erofs-utils
        #[arg(long)]
        refresh: bool,
    },
    /// List missing prerequisites of this machine and the commands that install them
    Doctor,
    /// Build the documentation of the module's kernel crate, with the kernel's flags, in target/doc-kmod
    Doc,
    /// Run a command in a guest with ondine.ko loaded (no module with --kernel oracle) and return its
    /// exit code
    Exec(ExecArgs),
    /// Open an interactive shell in a guest with ondine.ko loaded (no module with --kernel oracle)
    Shell(GuestArgs),
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(why) => {
            let _ = why.print();
            let code = if why.use_stderr() {
                COULD_NOT_RUN
            } else {
                HOLDS
            };
            return exit::with(code);
        }
    };
    match run(cli) {
        Ok(code) => exit::with(code),
        Err(why) => {
            eprintln!("error: {why:#}");
            exit::with(COULD_NOT_RUN)
        }
    }
}

fn run(cli: Cli) -> Result<i32> {
    let setup = Setup::new(cli.options)?;
    // Trees and images need the packages too, and are built before the first kernel installs them.
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
        Command::Run(args) if args.on_demand => {
            let specs = compare::specs(&setup, &args)?;
            Ok(holds(on_demand::run(&setup, &specs)?))
        }
        Command::Run(args) => Ok(holds(compare::run(&setup, &args)?)),
        Command::Diff(args) => Ok(holds(compare::diff(&setup, &args)?)),
        Command::Bench(args) => Ok(holds(bench::run(&setup, &args)?)),
        Command::Conform(args) => conform::main(&args, &setup),
        Command::Check(args) => check::main(&args, &setup),
        Command::Density(args) => Ok(holds(density::main(&setup, &args)?)),
        Command::Faults(args) => faults::main(&setup, &args),
        Command::Setup { refresh } => {
            setup.everything(refresh)?;
            println!("everything is set up: {}", setup.cache().root().display());
            Ok(HOLDS)
        }
        Command::Doctor => doctor::main(&setup),
        Command::Doc => {
            println!("{}", setup.document_module()?.display());
            Ok(HOLDS)
        }
        Command::Exec(args) => exec::main(args, &setup),
        Command::Shell(args) => exec::shell(args, &setup),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

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
