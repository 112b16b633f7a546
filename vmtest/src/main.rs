// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `cargo vmtest`: see [`vmtest::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    if vmtest::vm::init::is_init() {
        vmtest::vm::init::main();
    }
    vmtest::cli::main()
}
