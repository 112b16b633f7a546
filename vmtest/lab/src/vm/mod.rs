// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Virtual machines: boots a test kernel and runs one command in it.
//!
//! virtme-ng starts QEMU with the host's root file system as the guest's root, read-only over 9p. The
//! guest's first process is this program itself (`vmtest_agent::init`), not a distribution's init:
//! that would take eight seconds under emulation, and no command needs its services.
//!
//! | module | contents |
//! | --- | --- |
//! | [`boot`] | the description of a guest |
//! | [`run`] | starts QEMU, waits for the end, enforces the limits |
//! | [`ports`] | streams between host and guest |
//! | [`console`] | the search for kernel errors |
//! | [`outcome`] | the result of a run |
//! | [`accel`] | detection of a working KVM |
//! | [`self_exe`] | the copy of this program that guests run |
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! # let setup = vmtest_lab::Setup::new(Default::default())?;
//! let run = setup.boot()?.run(["sh", "-c", "mount -t ondine /run/host/tmp/a.erofs /mnt && ls /mnt"])?;
//! if !run.passed() {
//!     eprintln!("{}", run.complaint());
//! }
//! # Ok(()) }
//! ```

mod accel;
mod boot;
mod console;
mod outcome;
mod ports;
mod run;
mod self_exe;

pub use accel::kvm_works;
pub use boot::{Boot, Stdio};
pub use console::{scan, Problem, FILE_SYSTEM};
pub use outcome::{Complaint, GuestRun};
pub use self_exe::program;
