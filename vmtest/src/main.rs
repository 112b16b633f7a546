// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The program of host and guests: as pid 1 the init of a guest, as `vmtest guest NAME JOB ANSWER` a guest
//! program, otherwise the command line of `cargo vmtest`.

use std::process::ExitCode;

use vmtest::{cli, exit};
use vmtest_agent::{dispatch, init};

fn main() -> ExitCode {
    if init::is_init() {
        init::main();
    }
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let [guest, name, job, answer] = words.as_slice() else {
        return cli::main();
    };
    if guest != "guest" {
        return cli::main();
    }
    match dispatch::run(&name.to_string_lossy(), job.as_ref(), answer.as_ref()) {
        Ok(()) => exit::with(exit::HOLDS),
        Err(why) => {
            eprintln!("error: {why:#}");
            exit::with(exit::COULD_NOT_RUN)
        }
    }
}
