// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The harness: provision, boot, compare, measure, report.
//!
//! [`Setup`] makes and finds what a run needs, [`vm::Boot`] runs one command in a fresh guest.

pub mod bench;
pub mod check;
pub mod cli;
pub mod compare;
pub mod conform;
pub mod doctor;
pub mod exec;
pub mod faults;
pub mod gates;
pub mod guest;
pub mod images;
pub mod observe;
pub mod on_demand;
pub mod provision;
pub mod setup;
pub mod vm;

pub use setup::Setup;
