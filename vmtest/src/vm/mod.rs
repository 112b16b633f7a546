// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Booting a test kernel and running one command in it.
//!
//! virtme-ng makes the machine: QEMU with the host's root as the guest's, read-only over 9p. The
//! first process of the guest is this very program ([`init`]), since a distribution's start-up
//! (temporary files, udev) costs eight seconds under emulation and nothing here needs it.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! # let setup: vmtest::Setup = unimplemented!();
//! let run = setup.boot()?.run(["sh", "-c", "mount -t ondine /run/host/tmp/a.erofs /mnt && ls /mnt"])?;
//! if !run.passed() {
//!     eprintln!("{}", run.complaint());
//! }
//! # Ok(()) }
//! ```

mod accel;
mod boot;
mod console;
pub mod init;
mod job;
mod launch;
mod outcome;
mod ports;
mod program;

pub use accel::kvm_works;
pub use boot::{Boot, Stdio};
pub use console::{scan, Problem};
pub use job::{HOST_VIEW, SCRATCH};
pub use outcome::GuestRun;
pub use program::program;
