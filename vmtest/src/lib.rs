// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The harness' command line and its suites.
//!
//! A suite builds images and boots guests with [`vmtest_lab`], sends a task of [`vmtest_wire`] to a program of
//! [`vmtest_agent`] in the guest, and judges its answer.
//!
//! | module | contents |
//! | --- | --- |
//! | [`cli`] | the commands and their arguments |
//! | [`exit`] | exit codes |
//! | [`check`] | the command `check`: all tests and gates |
//! | [`disk_args`] | the option `--disk` |
//! | [`doctor`] | the command `doctor` |
//! | [`exec`] | the commands `exec` and `shell` |
//! | [`guest_call`] | a call of a guest program and its answer |
//! | [`suites`] | one module for each suite |

#![forbid(unsafe_code)]

pub mod check;
pub mod cli;
pub mod disk_args;
pub mod doctor;
pub mod exec;
pub mod exit;
pub mod guest_call;
pub mod suites;

pub use vmtest_lab::Setup;
