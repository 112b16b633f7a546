// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Everything that a run of the harness needs on the host: kernels, the module, the daemon, images
//! and virtual machines.
//!
//! [`Setup`] builds these or finds them in the cache; [`vm::Boot`] runs one command in a fresh
//! guest.
//!
//! | module | contents |
//! | --- | --- |
//! | [`setup`] | the entry point of a command: kernel, module and guest for its options |
//! | [`workspace`] | the repository, the cache and the command line's options |
//! | [`cache`] | the build cache in `~/.cache/ondine` |
//! | [`step`] | a long operation: its progress line and its log |
//! | [`provision`] | installs and builds tools, kernels, the module and the daemon |
//! | [`kconfig`] | kernel configuration fragments |
//! | [`gates`] | static checks: panics, `unsafe`, import circles, licences |
//! | [`images`] | the image files that the suites mount |
//! | [`vm`] | virtual machines: starts QEMU, runs a command, reads the console |

#![forbid(unsafe_code)]

pub mod cache;
pub mod gates;
pub mod images;
pub mod kconfig;
pub mod provision;
pub mod setup;
pub mod step;
pub mod vm;
pub mod workspace;

pub use setup::Setup;
pub use workspace::Workspace;
