// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Looks into EROFS images with the reference model.
//!
//! Exit codes: 0 it holds, 1 the image is at fault, 2 it could not be tried.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let command = cli::Cli::parse();
    match cli::run(&command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => {
            eprintln!("ondine-model: {failure}");
            ExitCode::from(failure.code())
        }
    }
}
