// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Exit codes of all commands except `exec` and `shell`, which return the exit code of the guest's command.

use std::process::ExitCode;

/// The check passed.
pub const HOLDS: i32 = 0;
/// The check ran and failed.
pub const DOES_NOT_HOLD: i32 = 1;
/// The check could not run.
pub const COULD_NOT_RUN: i32 = 2;

/// Converts the lower eight bits of `code` to an exit code of this process.
pub fn with(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}
