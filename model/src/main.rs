// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Inspects EROFS images with the reference model.
//!
//! Exit status: 0 if the image is sound, 1 if it has defects, 2 if it could not be examined.

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
